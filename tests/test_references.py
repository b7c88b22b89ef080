"""What the coach makes of recordings stays as it is, unless somebody means to change it."""

import re
from pathlib import Path

import pytest
import references
from references import SCENES, UPDATE, Scene, as_bytes, described, differing, main, recording_of, replayed, settled

from device.config import Config
from device.messages import Advanced, ClockPing, Cue, ImuBatch, Pose, Repetition
from device.runtime.bundle import Bundle
from device.runtime.live import config_bundle


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return config_bundle(Config())


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_recording_gives_what_it_gave(scene: Scene, bundle: Bundle) -> None:
    difference = differing(scene, settled(scene, described(scene, recording_of(scene), bundle)))
    assert not difference, f"The coach makes something else of {scene.name}. {UPDATE}\n{difference}"


def test_a_replay_gives_the_same_bytes_twice(bundle: Bundle) -> None:
    recording = recording_of(SCENES[-1])
    once = replayed(recording, bundle)
    assert any(isinstance(message, Cue) for message in once)
    assert any(isinstance(message, Repetition) for message in once)
    assert as_bytes(once) == as_bytes(replayed(recording, bundle))


def test_the_recordings_hold_what_they_are_named_for() -> None:
    for scene in SCENES:
        messages = list(recording_of(scene).events())
        assert any(isinstance(m, Advanced) for m in messages)
        assert any(isinstance(m, Pose) for m in messages) == scene.seen
        assert any(isinstance(m, ClockPing) for m in messages) == scene.felt
        sessions = {(m.band, m.session) for m in messages if isinstance(m, ImuBatch)}
        assert len(sessions) == 4 * scene.felt + (scene.rebooting is not None)
    assert sum(file.stat().st_size for file in references.FOLDER.iterdir()) < 300_000


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One scene, in a folder of its own."""
    scene = SCENES[3]
    for file in (references.reference(scene), references.packed(scene)):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(references, "FOLDER", tmp_path)
    monkeypatch.setattr(references, "SCENES", (scene,))
    return tmp_path


def test_a_change_is_shown_line_by_line_and_accepted_deliberately(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = copy / "jumping_jack.txt"
    before = file.read_text()
    changed = re.sub(r"repetition #2 of .*", "repetition #2 of squat", before)
    file.write_text(changed)
    assert main(["--check"]) == 1
    shown = capsys.readouterr().out
    assert "\n-" in shown
    assert "repetition #2 of squat\n+" in shown
    assert "repetition #2 of jumping_jack" in shown
    assert "1 of 1 differ" in shown
    assert file.read_text() == changed
    assert main([]) == 0
    assert file.read_text() == before
    capsys.readouterr()
    assert main(["--check"]) == 0
    assert "as it was" in capsys.readouterr().out


LINE = "    3.6 repetition #1 of squat, both, 2.0 to 3.6: left_hip -26, right_hip -24\n"


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (LINE.replace("-26", "-27").replace("2.0", "1.9"), True),
        (LINE.replace("-26", "-28"), False),
        (LINE.replace("2.0", "2.2"), False),
        (LINE.replace("-26", "+26"), False),
        (LINE.replace("#1", "#2"), False),
        (LINE.replace("right_hip", "right_knee"), False),
        (LINE.replace(", right_hip -24", ""), False),
        (LINE + LINE, False),
    ],
)
@pytest.mark.usefixtures("copy")
def test_times_and_angles_may_be_off_by_their_last_digit_and_nothing_else(found: str, same: bool) -> None:
    scene = references.SCENES[0]
    references.reference(scene).write_text(LINE)
    assert (differing(scene, settled(scene, found)) == "") == same
    assert (settled(scene, found) == LINE) == same


def test_a_reference_that_is_absent_is_made(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = copy / "jumping_jack.txt"
    before = file.read_text()
    file.unlink()
    assert main([]) == 0
    assert file.read_text() == before
    assert f"+{before.splitlines()[0]}" in capsys.readouterr().out


def test_checking_and_recording_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--check", "--record"])
    assert stopped.value.code == 2
    assert "--record" in capsys.readouterr().err
