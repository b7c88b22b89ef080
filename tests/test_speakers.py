import os
import subprocess
import sys
import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from device.config import SpeakerConfig
from device.drivers.speaker_alsa import BLOCK, AlsaSpeaker, PromptQueue
from device.drivers.speaker_wav import WavSpeaker
from device.errors import DriverError, DriverUnavailable, StoreError
from device.voice import RATE_HZ, load_prompts

NS = 1_000_000_000


@pytest.fixture(scope="module")
def prompts():
    return load_prompts()


def samples(file):
    with wave.open(str(file)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, RATE_HZ)
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2")


def wav(tmp_path, **config):
    return WavSpeaker(SpeakerConfig(type="wav", **config), tmp_path / "said.wav", start_ns=5 * NS)


def test_a_prompt_is_at_its_sample_and_silence_elsewhere(tmp_path, prompts):
    with wav(tmp_path) as speaker:
        end = speaker.say(("knees_out",), 5 * NS + 2 * NS)
        speaker.say(("better",), 5 * NS + 10 * NS)
    said = samples(tmp_path / "said.wav")
    knees, better = prompts.sounds["knees_out"], prompts.sounds["better"]
    expected = np.zeros(10 * RATE_HZ + len(better), np.int16)
    expected[2 * RATE_HZ : 2 * RATE_HZ + len(knees)] = knees
    expected[10 * RATE_HZ :] = better
    np.testing.assert_array_equal(said, expected)
    assert end == pytest.approx(7 * NS + len(knees) * NS / RATE_HZ, abs=NS / RATE_HZ)


def test_a_prompt_asked_for_while_another_is_said_follows_it(tmp_path, prompts):
    with wav(tmp_path) as speaker:
        first_end = speaker.say(("knees_out",), 5 * NS)
        second_end = speaker.say(("better",), 5 * NS + 1000)
        assert speaker.say(("chest_up",), second_end) > second_end
    expected = np.concatenate([prompts.sounds[name] for name in ("knees_out", "better", "chest_up")])
    np.testing.assert_array_equal(samples(tmp_path / "said.wav"), expected)
    assert 5 * NS < first_end < second_end


def test_the_file_is_valid_after_every_prompt_and_after_a_crash(tmp_path, prompts):
    speaker = wav(tmp_path)
    speaker.open()
    assert len(samples(tmp_path / "said.wav")) == 0
    for i in range(3):
        speaker.say(("better",), 5 * NS + i * NS)
        assert len(samples(tmp_path / "said.wav")) == i * RATE_HZ + len(prompts.sounds["better"])
    # A crash after the samples and before the sizes: what was complete before is still there.
    with (tmp_path / "said.wav").open("ab") as file:
        file.write(bytes(999))
    assert len(samples(tmp_path / "said.wav")) == 2 * RATE_HZ + len(prompts.sounds["better"])
    speaker.close()


def test_a_prompt_before_the_start_is_said_at_the_start(tmp_path, prompts):
    with wav(tmp_path) as speaker:
        speaker.say(("better",), 0)
    np.testing.assert_array_equal(samples(tmp_path / "said.wav"), prompts.sounds["better"])


def test_a_speaker_that_is_opened_again_goes_on_behind_what_was_said(tmp_path, prompts):
    speaker = wav(tmp_path)
    for second in (0, 5):
        with speaker:
            speaker.say(("better",), 5 * NS + second * NS)
    said = samples(tmp_path / "said.wav")
    better = prompts.sounds["better"]
    np.testing.assert_array_equal(said[: len(better)], better)
    np.testing.assert_array_equal(said[5 * RATE_HZ :], better)


def test_the_volume_is_that_of_the_config(tmp_path, prompts):
    with wav(tmp_path, volume=0.25) as speaker:
        speaker.say(("better",), 0)
    assert np.abs(samples(tmp_path / "said.wav")).max() == pytest.approx(np.abs(prompts.sounds["better"]).max() / 4, abs=1)


def test_a_folder_that_is_not_there_says_so(tmp_path):
    with pytest.raises(StoreError, match=r"speaker\.device"):
        WavSpeaker(SpeakerConfig(type="wav"), tmp_path / "nowhere" / "said.wav").open()


def test_a_full_disk_is_a_store_error_and_the_file_stays_valid(tmp_path):
    import resource

    def fill():
        with wav(tmp_path) as speaker:
            for i in range(1000):
                speaker.say(("better",), 5 * NS + i * NS)

    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    try:
        with pytest.raises(StoreError, match="Make room"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert len(samples(tmp_path / "said.wav")) > 2 * RATE_HZ


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_full_from_the_start_says_so():
    with pytest.raises(StoreError, match="can't be written"):
        WavSpeaker(SpeakerConfig(type="wav"), Path("/dev/full")).open()


def test_a_closed_speaker_says_nothing(tmp_path):
    with pytest.raises(DriverError, match="not open"):
        wav(tmp_path).say(("better",), 0)
    with pytest.raises(DriverError, match="not open"):
        AlsaSpeaker(SpeakerConfig()).say(("better",), 0)


def played(queue, seconds, start_ns=0):
    """What a stream that takes a block at a time hears from `queue`."""
    blocks = []
    for i in range(int(seconds * RATE_HZ / BLOCK) + 1):
        block = np.full(BLOCK, 77, np.int16)
        queue.fill(block, start_ns + i * BLOCK * NS // RATE_HZ)
        blocks.append(block)
    return np.concatenate(blocks)


def test_the_stream_hears_each_sound_at_its_time_and_silence_elsewhere():
    queue = PromptQueue()
    a, b = np.arange(1, 1001, dtype=np.int16), np.arange(2001, 2301, dtype=np.int16)
    assert queue.put(a, NS // 10) == NS // 10 + 1000 * NS // RATE_HZ
    queue.put(b, NS // 2)
    heard = played(queue, 1.0)
    at_a, at_b = np.flatnonzero(heard == 1)[0], np.flatnonzero(heard == 2001)[0]
    assert at_a == pytest.approx(RATE_HZ / 10, abs=1)
    assert at_b == pytest.approx(RATE_HZ / 2, abs=1)
    np.testing.assert_array_equal(heard[at_a : at_a + 1000], a)
    np.testing.assert_array_equal(heard[at_b : at_b + 300], b)
    assert np.count_nonzero(heard) == 1300


def test_the_stream_hears_sounds_one_after_the_other():
    queue = PromptQueue()
    a, b = np.full(1000, 5, np.int16), np.full(700, 6, np.int16)
    assert queue.put(b[:0], 0) == 0
    end = queue.put(b, queue.put(a, 0) - 10_000_000)
    assert queue.free_at_ns() == end
    heard = played(queue, 0.2)
    np.testing.assert_array_equal(heard[:1700], np.concatenate([a, b]))
    assert not heard[1700:].any()


def test_a_sound_that_begins_late_is_over_late():
    queue = PromptQueue()
    planned = queue.put(np.full(2000, 5, np.int16), 0)
    played(queue, 0.05, start_ns=NS)
    assert queue.free_at_ns() == pytest.approx(planned + NS, abs=NS // 500)


def test_the_queue_bears_two_threads():
    queue = PromptQueue()
    one = np.full(50, 3, np.int16)
    thread = threading.Thread(target=lambda: [queue.put(one, 0) for _ in range(200)])
    thread.start()
    first = played(queue, 0.5)
    thread.join()
    assert np.count_nonzero(np.concatenate([first, played(queue, 1.0)])) == 200 * 50


def test_a_sound_device_that_is_not_there_says_what_to_do():
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError):
        expected = "pip install sounddevice and apt install libportaudio2"
    else:
        expected = "no such device.*speaker.type to none"
    with pytest.raises(DriverUnavailable, match=expected):
        AlsaSpeaker(SpeakerConfig(device="no such device")).open()


ALSA_CONFIG = Path("/usr/share/alsa/alsa.conf")

PLAY = """
import time
from device.config import SpeakerConfig
from device.drivers.speaker_alsa import AlsaSpeaker
from device.errors import DriverUnavailable
speaker = AlsaSpeaker(SpeakerConfig())
try:
    speaker.open()
except DriverUnavailable as error:
    raise SystemExit(f"skip: {error}")
speaker.say(("knees_out", "better"), 0)
deadline = time.monotonic() + 10
while speaker._queue._waiting and time.monotonic() < deadline:
    time.sleep(0.001)
speaker.close()
"""


@pytest.mark.skipif(not ALSA_CONFIG.exists(), reason="ALSA is not installed")
def test_portaudio_plays_the_prompts_into_an_alsa_device(tmp_path, prompts):
    raw = tmp_path / "heard.raw"
    config = f'<{ALSA_CONFIG}>\npcm.!default {{ type file slave.pcm "null" file "{raw}" format "raw" }}\n'
    (tmp_path / "alsa.conf").write_text(config)
    environment = {**os.environ, "ALSA_CONFIG_PATH": str(tmp_path / "alsa.conf")}
    done = subprocess.run([sys.executable, "-c", PLAY], check=False, env=environment, capture_output=True, text=True, timeout=30)
    if "skip: " in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    heard = np.fromfile(raw, "<i2")
    # This device takes samples as fast as they come: only their order is heard, not their time.
    heard = heard[heard != 0]
    said = np.concatenate([prompts.sounds["knees_out"], prompts.sounds["better"]])
    np.testing.assert_array_equal(heard, said[said != 0])
