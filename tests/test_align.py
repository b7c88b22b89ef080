"""Alignment: the grid, interpolation, waiting, gaps, hostile input, and streaming against batch."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from device.config import SignalsConfig
from device.messages import NS_PER_S, ImuBatch, Pose, Sensed, Tick
from device.runtime.align import POSES_KEPT, SAMPLES_KEPT, Aligner, AlignerCounters, Grid, ImuTrack, PoseTrack, resample

MS = 1_000_000
START = 5 * NS_PER_S
SIGNALS = SignalsConfig()


def pose(t_ns: int, x: float = 0.0, present: bool = True, visibility: float = 1.0) -> Pose:
    image = np.full((33, 4), visibility, dtype=np.float32)
    world = np.full((33, 3), x if present else np.nan, dtype=np.float32)
    return Pose(t_ns, 0, 0, image, world, 640, 480, present)


def batch(times_ns: NDArray[np.int64], values: NDArray[np.float64], band: int = 0, seq: int = 0, session: int = 1) -> ImuBatch:
    return ImuBatch(int(times_ns[0]), 0, seq, band, session, times_ns, values.astype(np.float32))


def times(first_ms: float, last_ms: float, step_ms: float) -> NDArray[np.int64]:
    after_start: NDArray[np.int64] = np.round(np.arange(first_ms, last_ms + 1e-6, step_ms) * MS).astype(np.int64)
    return after_start + START


def complete_signals(seed: int = 1) -> tuple[PoseTrack, list[ImuTrack]]:
    """3 s of jittered poses at 15 Hz, some without a person, and of four bands at 100 Hz."""
    rng = np.random.default_rng(seed)
    pose_times = times(-40, 3300, 1000 / 15) + rng.integers(-5 * MS, 5 * MS, size=51)
    world = rng.normal(size=(51, 33, 3)).astype(np.float32).cumsum(axis=0)
    present = np.ones(51, dtype=np.bool_)
    present[20:24] = False
    world[~present] = np.nan
    tracks = []
    for _ in range(4):
        imu_times = times(-50, 3300, 10) + rng.integers(-2 * MS, 2 * MS, size=336)
        tracks.append(ImuTrack(imu_times, rng.normal(size=(336, 6)).cumsum(axis=0).astype(np.float32)))
    return PoseTrack(pose_times, world, rng.random((51, 33)).astype(np.float32), present), tracks


def messages(track: PoseTrack, bands: list[ImuTrack]) -> list[tuple[int, Sensed]]:
    """(arrival, message): poses 60 ms after the frame, packets of 8 samples 20 ms after the last one."""
    arrivals: list[tuple[int, Sensed]] = []
    for t, world, visibility, present in zip(*track, strict=True):
        image = np.concatenate([np.zeros((33, 3), dtype=np.float32), visibility[:, None]], axis=1)
        arrivals.append((int(t) + 60 * MS, Pose(int(t), 0, 0, image, world, 640, 480, bool(present))))
    for band, (imu_times, values) in enumerate(bands):
        for i in range(0, len(imu_times), 8):
            part = slice(i, i + 8)
            arrivals.append((int(imu_times[part][-1]) + 20 * MS, batch(imu_times[part], values[part], band, seq=i)))
    return sorted(arrivals, key=lambda a: a[0])


def stream(aligner: Aligner, arrivals: list[tuple[int, Sensed]]) -> list[Tick]:
    ticks = []
    for arrival_ns, message in arrivals:
        aligner.push(message)
        ticks += aligner.ticks(arrival_ns)
    return ticks


def test_the_grid_does_not_drift() -> None:
    grid = Grid(START, 30.0)
    assert [grid.time_ns(k) - START for k in (1, 2, 3, 30, 30 * 86_400 * 30)] == [
        33_333_333,
        66_666_667,
        100_000_000,
        NS_PER_S,
        86_400 * 30 * NS_PER_S,
    ]
    assert Grid(0, 29.97).time_ns(2997) == 100 * NS_PER_S


def test_streaming_equals_batch_on_complete_signals() -> None:
    track, bands = complete_signals()
    ticks = stream(Aligner(SIGNALS, START), messages(track, bands))
    whole = resample(SIGNALS, START, len(ticks), track, list(bands))
    assert len(ticks) > 90
    assert [t.seq for t in ticks] == list(range(len(ticks)))
    assert 0.8 < whole.pose_present.mean() < 1
    np.testing.assert_array_equal([t.pose_present for t in ticks], whole.pose_present)
    np.testing.assert_array_equal([t.imu_present for t in ticks], whole.imu_present)
    np.testing.assert_allclose([t.world for t in ticks], whole.world, atol=1e-5)
    np.testing.assert_allclose([t.visibility for t in ticks], whole.visibility, atol=1e-6)
    np.testing.assert_allclose([t.imu for t in ticks], whole.imu, atol=1e-5)
    assert [t.t_ns for t in ticks] == Grid(START, SIGNALS.tick_hz).times_ns(len(ticks)).tolist()


def test_streaming_does_not_depend_on_how_often_ticks_are_asked_for() -> None:
    arrivals = messages(*complete_signals())
    often = stream(Aligner(SIGNALS, START), arrivals)
    aligner = Aligner(SIGNALS, START)
    once = []
    for arrival_ns, message in arrivals:
        once += aligner.ticks(arrival_ns - 1)
        aligner.push(message)
    once += aligner.ticks(arrivals[-1][0])
    assert len(once) == len(often)
    np.testing.assert_array_equal([t.world for t in once], [t.world for t in often])
    np.testing.assert_array_equal([t.imu for t in once], [t.imu for t in often])


def test_poses_are_interpolated_linearly() -> None:
    aligner = Aligner(SIGNALS, START)
    for t_ms, x in ((0, 0.0), (100, 3.0)):
        aligner.push(pose(START + t_ms * MS, x, visibility=x / 3))
    ticks = aligner.ticks(START + 100 * MS)
    np.testing.assert_allclose([t.world[0, 0] for t in ticks], [0, 1, 2, 3], atol=1e-6)
    np.testing.assert_allclose([t.visibility[5] for t in ticks], [0, 1 / 3, 2 / 3, 1], atol=1e-6)
    assert all(t.pose_present for t in ticks)


def test_a_pose_without_a_person_makes_its_neighbourhood_absent_and_keeps_the_last_body() -> None:
    aligner = Aligner(SIGNALS, START)
    for i, present in enumerate((True, True, False, True, True)):
        aligner.push(pose(START + i * 66 * MS, float(i), present))
    ticks = aligner.ticks(START + 4 * 66 * MS)
    assert [t.pose_present for t in ticks] == [True, True, False, False, False, False, True, True]
    assert np.isfinite([t.world for t in ticks]).all()
    assert ticks[5].world[0, 0] == ticks[1].world[0, 0]


def test_a_band_faster_than_the_grid_is_averaged_not_picked() -> None:
    imu_times = times(-100, 2100, 5)
    buzz = np.sin(2 * np.pi * 31.0 * (imu_times - START) / NS_PER_S)[:, None] * np.ones(6)
    signals = SignalsConfig(imu_smoothing=1.0)
    aligned = resample(signals, START, 60, None, [ImuTrack(imu_times, buzz), None, None, None])
    assert np.abs(aligned.imu[:, 0]).max() < 0.1
    assert not aligned.imu_present[:, 1:].any()


def test_averaging_moves_nothing_in_time() -> None:
    imu_times = times(-100, 1200, 10)
    ramp = ((imu_times - START) / NS_PER_S)[:, None] * np.ones(6)
    aligned = resample(SignalsConfig(imu_smoothing=1.0), START, 30, None, [ImuTrack(imu_times, ramp)])
    np.testing.assert_allclose(aligned.imu[:, 0, 0], np.arange(30) / 30, atol=1e-6)


def test_smoothing_weighs_the_newest_by_eq_10_and_starts_anew_after_a_gap() -> None:
    imu_times = np.concatenate([times(-100, 500, 10), times(1500, 2000, 10)])
    step = np.where(imu_times < START + 200 * MS, 0.0, 1.0)[:, None] * np.ones(6)
    step[imu_times > START + NS_PER_S] = 5.0
    aligned = resample(SIGNALS, START, 60, None, [ImuTrack(imu_times, step)])
    np.testing.assert_allclose(aligned.imu[8:11, 0, 0], 1 - (1 - aligned.imu[7, 0, 0]) * 0.4 ** np.arange(1, 4), atol=1e-6)
    gap = ~aligned.imu_present[:, 0]
    assert gap[16:45].all()
    assert not gap[45:].any()
    assert (aligned.imu[gap, 0] == aligned.imu[15, 0]).all()
    np.testing.assert_allclose(aligned.imu[45:, 0], 5.0, atol=1e-6)


def test_a_tick_waits_for_every_live_source_and_no_longer_than_max_wait() -> None:
    aligner = Aligner(SIGNALS, START)
    aligner.push(pose(START))
    aligner.push(batch(times(-20, 60, 10), np.zeros((9, 6))))
    assert [t.seq for t in aligner.ticks(START + 70 * MS)] == [0]
    aligner.push(pose(START + 50 * MS))
    assert [t.seq for t in aligner.ticks(START + 80 * MS)] == [1]
    assert aligner.ticks(START + 66 * MS + 149 * MS) == []
    overdue = aligner.ticks(START + 67 * MS + 150 * MS)
    assert [t.seq for t in overdue] == [2]
    assert aligner.counters.overdue_ticks == 1


def test_a_dead_source_is_not_waited_for() -> None:
    aligner = Aligner(SIGNALS, START)
    aligner.push(pose(START))
    aligner.ticks(START)
    delays = []
    for k in range(40):
        now = START + k * 20 * MS
        aligner.push(batch(np.array([now], dtype=np.int64), np.zeros((1, 6)), seq=k))
        delays += [now - t.t_ns for t in aligner.ticks(now)]
    assert max(delays) < 175 * MS
    assert max(delays[-6:]) < 40 * MS


def test_a_late_source_is_held_and_then_absent() -> None:
    aligner = Aligner(SIGNALS, START)
    for t_ms in (0, 66, 132):
        aligner.push(pose(START + t_ms * MS, t_ms / 132))
    ticks = aligner.ticks(START + 700 * MS)
    held = [t for t in ticks if t.t_ns > START + 132 * MS]
    assert all(t.world[0, 0] == 1.0 for t in held)
    assert [t.pose_present for t in held] == [t.t_ns - START <= 382 * MS for t in held]
    assert not all(t.pose_present for t in held)


def test_a_gap_longer_than_max_gap_is_absent_even_when_both_ends_are_known() -> None:
    aligner = Aligner(SIGNALS, START)
    aligner.push(pose(START, 0.0))
    aligner.push(pose(START + 260 * MS, 1.0))
    aligner.push(pose(START + 500 * MS, 2.0))
    ticks = aligner.ticks(START + 500 * MS)
    assert [t.pose_present for t in ticks] == [True] + [False] * 7 + [True] * 8


def test_a_late_sample_serves_later_ticks() -> None:
    aligner = Aligner(SIGNALS, START)
    aligner.push(pose(START, 0.0))
    assert len(aligner.ticks(START + 190 * MS)) == 2
    aligner.push(pose(START + 40 * MS, 1.0))
    aligner.push(pose(START + 140 * MS, 1.0))
    ticks = aligner.ticks(START + 200 * MS)
    assert [t.world[0, 0] for t in ticks] == [1.0, 1.0, 1.0]


def test_nothing_at_all_still_ticks() -> None:
    ticks = Aligner(SIGNALS, START).ticks(START + NS_PER_S)
    assert len(ticks) == 26
    assert not any(t.pose_present or t.imu_present.any() or t.world.any() or t.imu.any() for t in ticks)


def test_repeated_and_disordered_samples_are_dropped_and_counted() -> None:
    aligner = Aligner(SIGNALS, START)
    first = batch(times(0, 70, 10), np.ones((8, 6)), seq=0)
    aligner.push(first)
    aligner.push(first)
    aligner.push(batch(times(40, 110, 10), np.full((8, 6), 2.0), seq=4))
    aligner.push(batch(times(0, 70, 10), np.full((8, 6), 9.0), seq=0, session=2))
    aligner.push(pose(START + 10 * MS))
    aligner.push(pose(START))
    assert (aligner.counters.duplicate, aligner.counters.out_of_order) == (12, 9)
    aligner.push(batch(times(120, 400, 10)[::-1].copy(), np.ones((29, 6)), seq=99, session=3))
    assert aligner.counters.out_of_order == 37
    assert max(float(t.imu.max()) for t in aligner.ticks(START + NS_PER_S)) <= 2.0


def test_far_future_and_broken_samples_are_dropped_and_counted() -> None:
    aligner = Aligner(SIGNALS, START)
    aligner.push(pose(START + 11 * NS_PER_S))
    values = np.ones((8, 6))
    values[3, 2] = np.inf
    aligner.push(batch(times(0, 70, 10), values))
    assert (aligner.counters.future, aligner.counters.not_finite) == (1, 1)
    aligner.push(pose(START + 50 * MS))
    ticks = aligner.ticks(START + 60 * MS)
    assert len(ticks) == 2
    assert all(np.isfinite(t.imu).all() for t in ticks)


@pytest.mark.parametrize("t_ns", [-(2**63), 0, -START, START - 11 * NS_PER_S])
def test_samples_from_long_before_the_start_are_dropped_and_counted(t_ns: int) -> None:
    start = 20 * NS_PER_S
    aligner = Aligner(SIGNALS, start)
    aligner.push(pose(t_ns))
    aligner.push(batch(np.array([t_ns], dtype=np.int64), np.ones((1, 6))))
    assert aligner.counters.out_of_order == 2
    assert not any(t.pose_present or t.imu_present.any() for t in aligner.ticks(start + NS_PER_S))


def test_a_batch_without_samples_changes_nothing() -> None:
    aligner = Aligner(SIGNALS, START)
    aligner.push(ImuBatch(START, 0, 0, 2, 1, np.empty(0, dtype=np.int64), np.empty((0, 6), dtype=np.float32)))
    assert not any(t.imu_present.any() for t in aligner.ticks(START + NS_PER_S))
    assert aligner.counters == AlignerCounters()


def test_memory_is_bounded_when_nobody_asks_for_ticks() -> None:
    aligner = Aligner(SIGNALS, START)
    for k in range(POSES_KEPT + 50):
        aligner.push(pose(START + k * 10 * MS, float(k)))
    n = SAMPLES_KEPT + 80
    for i in range(0, n, 8):
        aligner.push(batch(START + np.arange(i, i + 8, dtype=np.int64) * 2 * MS, np.ones((8, 6)), seq=i))
    assert aligner.counters.overflow == 50 + 80
    ticks = aligner.ticks(START + (POSES_KEPT + 49) * 10 * MS)
    assert not ticks[0].pose_present
    assert ticks[-1].world[0, 0] == pytest.approx(POSES_KEPT + 49, abs=4)
    huge = START + np.arange(3 * n, dtype=np.int64) * MS
    aligner.push(batch(huge, np.full((3 * n, 6), 2.0), band=1))
    assert aligner.counters.overflow == 130 + 3 * n - SAMPLES_KEPT


def test_a_band_with_gaps_and_jitter_is_the_same_in_a_stream() -> None:
    patient = SignalsConfig(max_wait_ms=1000)
    rng = np.random.default_rng(4)
    gaps = 0
    for _ in range(20):
        # Now and then a step that is longer than the longest gap that counts, or than the period of a tick.
        steps_ms = rng.choice([1.0, 9.0, 10.0, 40.0, 230.0, 260.0, 600.0], 200, p=[0.1, 0.4, 0.4, 0.04, 0.02, 0.02, 0.02])
        at = START - 100 * MS + np.cumsum(steps_ms * MS + rng.integers(0, MS, 200)).astype(np.int64)
        values = rng.normal(size=(200, 6)).astype(np.float32)
        aligner = Aligner(patient, START)
        ticks = stream(aligner, [(int(t), batch(at[i : i + 1], values[i : i + 1], 2, i)) for i, t in enumerate(at)])
        whole = resample(patient, START, len(ticks), None, [None, None, ImuTrack(at, values), None])
        assert aligner.counters.overdue_ticks == 0
        np.testing.assert_array_equal([t.imu_present[2] for t in ticks], whole.imu_present[:, 2])
        np.testing.assert_allclose([t.imu[2] for t in ticks], whole.imu[:, 2], atol=1e-5)
        gaps += int((~whole.imu_present[:, 2]).sum())
    assert gaps > 100
