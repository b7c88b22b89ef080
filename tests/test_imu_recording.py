import time

import numpy as np
import pytest

from device.config import ImuConfig
from device.drivers.imu_recording import RecordedImu
from device.errors import DriverError, EndOfStream, RecordingError
from device.messages import ClockPing, ImuBatch, Pose
from device.runtime.recording import Recorder, RecordingMeta
from device.runtime.timebase import UNCONVERTED

MS = 1_000_000
START_NS = 77_000 * MS


@pytest.fixture
def folder(tmp_path):
    with Recorder(tmp_path, RecordingMeta(start_ns=START_NS)) as recorder:
        for i in range(10):
            t_ns = START_NS + i * 100 * MS
            nobody = np.full((33, 4), np.nan, np.float32)
            recorder.write(Pose(t_ns, 0, i, nobody, nobody[:, :3], 640, 480, False))
            times = t_ns - np.array([20, 10, 0], np.int64) * MS
            recorder.write(ImuBatch(t_ns, MS, 3 * i, i % 4, 1, times, np.full((3, 6), i, np.float32)))
    return tmp_path


def test_batches_come_as_recorded_moved_to_the_start(folder):
    with RecordedImu(ImuConfig(type="recording", device=str(folder)), start_ns=0) as source:
        assert source.read(-1) == []
        batches = source.read(450 * MS)
        assert [batch.t_ns for batch in batches] == [0, 100 * MS, 200 * MS, 300 * MS, 400 * MS]
        assert batches[2].times_ns.tolist() == [180 * MS, 190 * MS, 200 * MS]
        assert batches[2].values[0, 0] == 2
        assert len(source.read(10_000 * MS)) == 5
        with pytest.raises(EndOfStream):
            source.read(10_000 * MS)


def test_without_a_start_it_plays_from_the_moment_of_opening(folder):
    with RecordedImu(ImuConfig(type="recording", device=str(folder))) as source:
        now_ns = time.monotonic_ns()
        first = source.read(now_ns)
        assert 1 <= len(first) < 10
        assert abs(first[0].t_ns - now_ns) < 1_000 * MS


def test_opening_again_plays_from_the_beginning(folder):
    source = RecordedImu(ImuConfig(type="recording", device=str(folder)), start_ns=0)
    for _ in range(2):
        with source:
            assert len(source.read(10_000 * MS)) == 10
    with pytest.raises(DriverError, match="not open"):
        source.read(0)


def test_a_recording_that_is_not_there_says_so(tmp_path):
    with pytest.raises(RecordingError, match="spotter record"):
        RecordedImu(ImuConfig(type="recording", device=str(tmp_path / "none"))).open()


def test_pings_move_with_the_start_and_a_bands_own_clock_does_not(tmp_path):
    own = np.array([5, 15], np.int64) * MS
    with Recorder(tmp_path, RecordingMeta(start_ns=START_NS)) as recorder:
        recorder.write(ClockPing(1, 9, START_NS + 10 * MS, 7 * MS, START_NS + 40 * MS))
        recorder.write(ImuBatch(START_NS + 50 * MS, UNCONVERTED, 0, 1, 9, own, np.zeros((2, 6), np.float32)))
    with RecordedImu(ImuConfig(type="recording", device=str(tmp_path)), start_ns=0) as source:
        assert source.pings(30 * MS) == []
        assert source.pings(40 * MS) == [ClockPing(1, 9, 10 * MS, 7 * MS, 40 * MS)]
        (batch,) = source.read(50 * MS)
        assert (batch.t_ns, batch.times_ns.tolist()) == (50 * MS, own.tolist())
