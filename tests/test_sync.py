"""Camera against bands: the offset is found while the trainee moves, and not claimed where nothing tells of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scripted import CATALOGUE, PROMPTS, START_NS, ScriptedModel

from device.bench.clocks import found_offset
from device.config import Config, with_settings
from device.messages import NS_PER_S, ClockPing, ImuBatch, Pose
from device.runtime.core import Core
from device.runtime.offset_file import FILE_NAME, load_offset, offset_of, recorded, save_offset
from device.runtime.sync import UNKNOWN, CameraOffset, CameraSync, OffsetCorrection
from device.runtime.timebase import UNCONVERTED
from device.sim_clock.session import sensed_session

MS = 1_000_000


def still(seconds: float, *, broken: bool = False) -> list[Pose | ImuBatch]:
    """Somebody who stands: the same pose with a little noise, and gravity. `broken`: every third message is not finite."""
    rng = np.random.default_rng(1)
    body = rng.normal(size=(33, 3)) * 0.4
    messages: list[Pose | ImuBatch] = []
    for i in range(round(seconds * 12.5)):
        t_ns = i * 80 * MS
        for band in range(4):
            values = rng.normal(size=(8, 6), scale=0.03) + np.array([9.81, 0, 0, 0, 0, 0])
            values[3, i % 6] = np.nan if broken and i % 3 == 0 else values[3, i % 6]
            times = t_ns + np.arange(8, dtype=np.int64) * 10 * MS
            messages.append(ImuBatch(int(times[-1]), 0, 8 * i, band, 1, times, values.astype(np.float32)))
        world = (body + rng.normal(size=(33, 3), scale=0.005)).astype(np.float32)
        world[i % 33] = np.nan if broken and i % 3 == 1 else world[i % 33]
        messages.append(Pose(t_ns, 0, i, np.full((33, 4), 0.9, np.float32), world, 640, 480, True))
    return messages


@pytest.mark.parametrize("late_ms", [-150, 120])
def test_the_offset_is_found_from_ten_seconds_of_an_exercise(late_ms: int) -> None:
    session = sensed_session(3, "jumping_jack", repetitions=8, late_ns=late_ms * MS)
    found = found_offset(session, session.trainee.sets[0].start_ns + 10 * NS_PER_S)
    assert found.known
    assert abs(found.offset_ns - late_ms * MS) < 10 * MS
    assert found.sigma_ns < 6 * MS


@pytest.mark.parametrize("broken", [False, True])
def test_who_stands_still_tells_nothing(broken: bool) -> None:
    sync = CameraSync()
    for message in still(15, broken=broken):
        sync.push(message)
    assert not sync.estimate.known
    assert sync.estimate.sigma_ns > 20 * MS


def test_what_was_found_before_stands_until_motion_tells_otherwise() -> None:
    before = CameraOffset(60 * MS, 6 * MS)
    sync = CameraSync(before)
    assert sync.estimate == before
    for message in still(10):
        sync.push(message)
    assert sync.estimate.known
    assert abs(sync.estimate.offset_ns - 60 * MS) < 6 * MS


def test_a_correction_is_taken_over_without_mixing_up_samples() -> None:
    correction = OffsetCorrection()
    correction.target_ns = 80 * MS
    times = []
    for i in range(60):
        stamps = i * 80 * MS + np.arange(8, dtype=np.int64) * 10 * MS
        times.append(correction.apply(ImuBatch(int(stamps[-1]), 0, 8 * i, 1, 1, stamps, np.zeros((8, 6), np.float32))).times_ns)
    assert (np.diff(np.concatenate(times)) > 0).all()
    assert times[-1][0] == 59 * 80 * MS - 80 * MS


def core(**signals: object) -> Core:
    return Core(with_settings(Config(), signals=signals), ScriptedModel([]), CATALOGUE, START_NS, prompts=PROMPTS)


def test_the_core_converts_what_is_on_a_bands_clock_and_only_that() -> None:
    one = core()
    zeros = np.zeros((8, 6), np.float32)
    raw = ImuBatch(START_NS, UNCONVERTED, 0, 0, 1, np.arange(8, dtype=np.int64) * 10 * MS, zeros)
    one.push(ClockPing(0, 1, START_NS - 20 * MS, 60 * MS, START_NS))
    one.push(raw)
    one.push(ImuBatch(START_NS, 0, 0, 1, 1, START_NS - 70 * MS + raw.times_ns, zeros))
    state = one.timebase.state(0)
    assert state is not None
    assert state.pings == 1
    assert abs(state.offset_ns - (START_NS - 70 * MS)) < 20 * MS
    assert one.timebase.state(1) is None


def test_a_fixed_offset_is_used_as_it_is() -> None:
    fixed = core(sync="fixed", camera_offset_ms=35.0)
    assert fixed.camera_offset == CameraOffset(35 * MS, 0)
    for message in still(5):
        fixed.push(message)
    assert fixed.camera_offset == CameraOffset(35 * MS, 0)


def test_what_is_known_is_kept_per_unit_a_little_less_sure(tmp_path: Path) -> None:
    store = tmp_path / "sessions.sqlite"
    assert load_offset(store) == UNKNOWN
    save_offset(store, UNKNOWN)
    assert list(tmp_path.iterdir()) == []
    save_offset(store, CameraOffset(-42 * MS, 3 * MS))
    kept = load_offset(store)
    assert kept.offset_ns == -42 * MS
    assert kept.known
    assert kept.sigma_ns > 3 * MS
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"offset_ns": "a", "sigma_ns": 1}', '{"offset_ns": 0, "sigma_ns": -5}', "\0"])
def test_a_broken_file_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert load_offset(tmp_path / "sessions.sqlite") == UNKNOWN


def test_a_recording_says_what_its_core_began_with() -> None:
    began = CameraOffset(12 * MS, 4 * MS)
    assert offset_of(recorded(began)) == began
    assert offset_of(recorded(UNKNOWN)) == UNKNOWN
    assert offset_of({"camera_offset": "soon"}) == UNKNOWN
