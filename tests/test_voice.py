import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

import device.exercises
from device.errors import MediaError
from device.exercises.loader import load_exercises
from device.runtime.absence import PROMPTS
from device.voice import GAP_NS, RATE_HZ, folder, load_prompts, read_sound, read_texts
from device.voice.make import SILENCE, level, main, make_prompts, read_voice, speak

LANGUAGES = sorted(path.name for path in folder("en").parent.iterdir() if (path / "prompts.toml").exists())
SPOKEN_BY_THE_COACH = {*PROMPTS, "set_done", "good_form", "remember", "repetitions", "many"} | {f"count_{i}" for i in range(31)}


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request):
    return request.param


def test_every_prompt_of_the_list_has_its_sound(language):
    prompts = load_prompts(language)
    assert set(prompts.sounds) == set(prompts.texts) == {file.stem for file in folder(language).glob("*.wav")}


def test_the_coach_finds_every_prompt_that_it_names(language):
    assert set(read_texts(folder(language))) >= SPOKEN_BY_THE_COACH


def test_every_exercise_has_its_plural_and_its_cues(language):
    texts = read_texts(folder(language))
    for exercise in load_exercises().values():
        assert f"{exercise.name}s" in texts
        for cue in exercise.cues:
            assert {cue.prompt, cue.praise} <= set(texts)


def test_the_english_prompts_say_what_the_exercises_show():
    texts = read_texts(folder("en"))
    files = Path(device.exercises.__file__).parent.glob("*.toml")
    cues = [cue for file in files for cue in tomllib.loads(file.read_text())["cues"]]
    assert cues
    assert {cue["prompt"]: texts.get(cue["prompt"]) for cue in cues} == {cue["prompt"]: cue["text"] for cue in cues}


def test_sounds_are_levelled_trimmed_and_not_clipped(language):
    for name, sound in load_prompts(language).sounds.items():
        peak = np.abs(sound.astype(int)).max()
        assert 20 * np.log10(peak / 32767) == pytest.approx(-3, abs=0.5), name
        heard = np.flatnonzero(np.abs(sound.astype(int)) > SILENCE * peak)
        assert heard[0] < 0.060 * RATE_HZ, name
        assert len(sound) - heard[-1] < 0.060 * RATE_HZ, name
        assert abs(int(sound[0])) < 200 > abs(int(sound[-1])), name
        assert 0.2 < len(sound) / RATE_HZ < 3.0, name


def test_the_prompts_are_small_enough_to_ship(language):
    assert sum(file.stat().st_size for file in folder(language).iterdir()) < 3_500_000


def test_a_sentence_is_its_prompts_with_gaps():
    prompts = load_prompts()
    gap = GAP_NS * RATE_HZ // 1_000_000_000
    sentence = prompts.sentence(("count_10", "squats"))
    ten, squats = prompts.sounds["count_10"], prompts.sounds["squats"]
    np.testing.assert_array_equal(sentence[: len(ten)], ten)
    assert not sentence[len(ten) : len(ten) + gap].any()
    np.testing.assert_array_equal(sentence[len(ten) + gap :], squats)
    assert prompts.duration_ns(("count_10", "squats")) == len(sentence) * 1_000_000_000 // RATE_HZ
    assert prompts.duration_ns(()) == 0


def test_an_unknown_prompt_is_left_out_and_warned_of(caplog):
    prompts = load_prompts()
    np.testing.assert_array_equal(prompts.sentence(("better", "bettr")), prompts.sounds["better"])
    assert "'bettr'" in caplog.text


def test_an_unknown_language_says_where_languages_are():
    with pytest.raises(MediaError, match=r"speaker\.language"):
        load_prompts("xx")


def copy_list(tmp_path, prompts='better = "Better"\n'):
    (tmp_path / "prompts.toml").write_text('[voice]\nespeak = "en-us"\nwords_per_minute = 180\npitch = 45\n[prompts]\n' + prompts)
    return tmp_path


@pytest.mark.parametrize("prompts", ["better = 3\n", '"no name" = "x"\n', '"../x" = "x"\n', "better = \n"])
def test_a_wrong_list_says_so(tmp_path, prompts):
    with pytest.raises(MediaError, match=r"prompts\.toml"):
        read_texts(copy_list(tmp_path, prompts))


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound at all, but long enough to be read as a header of one"])
def test_a_broken_sound_says_how_to_make_it(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(MediaError, match=r"device\.voice\.make"):
        read_sound(tmp_path / "a.wav")


def test_a_sound_of_another_rate_is_refused(tmp_path):
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(bytes(100))
    with pytest.raises(MediaError, match="22050"):
        read_sound(tmp_path / "a.wav")


def test_silence_is_no_prompt():
    with pytest.raises(MediaError, match="silence"):
        level(np.zeros(1000, np.int16))


needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


@needs_espeak
def test_the_shipped_sounds_are_those_of_the_list():
    where = folder("en")
    voice, texts = read_voice(where), read_texts(where)
    for name in ("knees_out", "remember", "count_27", "curl_all_the_way"):
        made = level(speak(texts[name], voice))
        assert len(read_sound(where / f"{name}.wav")) == pytest.approx(len(made), rel=0.2)


@needs_espeak
def test_a_new_prompt_is_made_and_one_that_left_the_list_goes(tmp_path):
    where = copy_list(tmp_path)
    (where / "old.wav").write_bytes(b"")
    assert make_prompts(where) == 1
    assert {file.name for file in where.glob("*.wav")} == {"better.wav"}
    assert len(read_sound(where / "better.wav")) > 0.2 * RATE_HZ


@needs_espeak
def test_a_folder_of_ones_own_takes_the_place_of_a_language(tmp_path):
    assert main(["--language", str(copy_list(tmp_path))]) == 0
    prompts = load_prompts(str(tmp_path))
    assert prompts.texts == {"better": "Better"}
    assert prompts.duration_ns(("better",)) > 200_000_000


@needs_espeak
def test_a_sound_recorded_by_hand_stays_when_others_are_made(tmp_path):
    where = copy_list(tmp_path, 'better = "Better"\ngood = "Good"\n')
    (where / "good.wav").write_bytes(b"by hand")
    assert make_prompts(where, ["better"]) == 1
    assert (where / "good.wav").read_bytes() == b"by hand"


def test_an_unknown_prompt_or_language_ends_the_command_with_a_message(capsys):
    assert main(["no_such_prompt"]) == 1
    assert "no_such_prompt" in capsys.readouterr().err
    assert main(["--language", "xx"]) == 1
