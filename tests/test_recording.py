import json
import logging
import os
import resource
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.errors import RecordingError, StoreError
from device.messages import Advanced, ClockPing, ImuBatch, Pose, ServiceChanged, ServiceState
from device.runtime.recording import FILE_NAME, Recorder, RecordingMeta, read_recording

META = RecordingMeta("2026-01-02T03:04:05+00:00", {"camera": {"rate_hz": 15.0}}, "ab" * 32, 5_000, {"seed": 7})


def pose(i, present=True):
    rng = np.random.default_rng(i)
    image = rng.random((33, 4)).astype(np.float32) if present else np.full((33, 4), np.nan, np.float32)
    world = rng.normal(size=(33, 3)).astype(np.float32) if present else np.full((33, 3), np.nan, np.float32)
    return Pose(i * 66_000_000, 2_000_000, i, image, world, 640, 480, present)


def batch(i, samples=3):
    rng = np.random.default_rng(i)
    times = np.arange(samples, dtype=np.int64) * 10_000_000 + i
    return ImuBatch(i * 30_000_000, 1, i * samples, i % 4, 9 + i, times, rng.normal(size=(samples, 6)).astype(np.float32))


def session(n=12):
    return [message for i in range(n) for message in (pose(i, present=i % 3 != 0), batch(i, i % 5))]


def record(folder, messages, meta=META):
    with Recorder(folder, meta) as recorder:
        for message in messages:
            recorder.write(message)
    return folder / FILE_NAME


def assert_same(read, written):
    assert len(read) == len(written)
    for a, b in zip(read, written, strict=True):
        assert type(a) is type(b)
        for name in type(a).__slots__:
            x, y = getattr(a, name), getattr(b, name)
            if isinstance(y, np.ndarray):
                assert x.dtype == y.dtype
                np.testing.assert_array_equal(x, y)
            else:
                assert x == y


def test_what_was_written_is_read_in_the_same_order(tmp_path):
    written = session()
    record(tmp_path, written)
    recording = read_recording(tmp_path)
    assert recording.meta == META
    assert recording.dropped == 0
    assert_same(list(recording), written)
    assert_same(list(recording), written)


def test_the_same_session_gives_the_same_bytes(tmp_path):
    assert record(tmp_path / "a", session()).read_bytes() == record(tmp_path / "b", session()).read_bytes()


def test_a_recording_without_messages_is_one(tmp_path):
    assert list(read_recording(record(tmp_path, []))) == []


def test_a_cut_at_any_byte_costs_only_the_record_that_it_hits(tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    file = record(tmp_path, [pose(1), batch(3), batch(4)])
    whole = read_recording(file)
    ends = [end + 4 for _, _, end in whole.records]
    header_end = ends[0] - (whole.records[0][2] - whole.records[0][1]) - 9
    for cut in reversed(range(file.stat().st_size)):
        os.truncate(file, cut)
        if cut < header_end:
            with pytest.raises(RecordingError):
                read_recording(file)
            continue
        recording = read_recording(file)
        kept = sum(end <= cut for end in ends)
        assert len(list(recording)) == kept
        assert recording.dropped == cut - (ends[kept - 1] if kept else header_end)


def test_a_cut_tail_is_warned_of(tmp_path, caplog):
    file = record(tmp_path, session(2))
    os.truncate(file, file.stat().st_size - 3)
    assert read_recording(file).dropped > 0
    assert "left out" in caplog.text


def test_zeros_that_a_power_loss_left_at_the_end_are_dropped(tmp_path):
    file = record(tmp_path, session(2))
    data = file.read_bytes()
    file.write_bytes(data[:-20] + bytes(5000))
    assert len(list(read_recording(file))) == 3
    file.write_bytes(data + bytes(5000))
    recording = read_recording(file)
    assert (len(list(recording)), recording.dropped) == (4, 5000)


def test_damage_in_the_middle_is_an_error_and_not_silence(tmp_path):
    file = record(tmp_path, session(4))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(RecordingError, match="damaged at byte"):
        read_recording(file)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400))
def test_random_bytes_are_only_ever_a_recording_error(tmp_path, data):
    file = tmp_path / "random.rec"
    file.write_bytes(data)
    with pytest.raises(RecordingError):
        read_recording(file)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=120)), max_size=4), st.binary(max_size=30))
def test_whole_records_of_nonsense_are_only_ever_a_recording_error(tmp_path, records, tail):
    file = tmp_path / "nonsense.rec"
    if not file.with_name(FILE_NAME).exists():
        record(tmp_path, [])
    head = file.with_name(FILE_NAME).read_bytes()
    file.write_bytes(head + b"".join(framed(kind, payload) for kind, payload in records) + tail)
    try:
        for message in read_recording(file):
            assert isinstance(message, Pose | ImuBatch | ClockPing | ServiceChanged)
    except RecordingError:
        pass


def framed(kind, payload):
    data = struct.pack("<BI", kind, len(payload)) + payload
    return data + struct.pack("<I", zlib.crc32(data))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 4}, "format 4, this version reads 1 to 3"),
        ({"format": None}, "format None"),
        ({"landmarks": ["nose"]}, "other landmarks"),
        ({"start_ns": "soon"}, "start_ns"),
        ({"config": None}, "config"),
    ],
)
def test_another_header_is_refused(tmp_path, change, said):
    file = record(tmp_path, [])
    header = json.loads(file.read_bytes()[5:-4])
    file.write_bytes(framed(0, json.dumps(header | change).encode()))
    with pytest.raises(RecordingError, match=said):
        read_recording(file)


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"12"])
def test_a_header_that_is_no_header_is_refused(tmp_path, payload):
    file = tmp_path / FILE_NAME
    file.write_bytes(framed(0, payload))
    with pytest.raises(RecordingError):
        read_recording(file)


def test_an_absent_recording_says_what_to_give(tmp_path):
    with pytest.raises(RecordingError, match="spotter record"):
        read_recording(tmp_path / "nowhere")


def test_a_folder_with_a_recording_is_not_overwritten(tmp_path):
    file = record(tmp_path, session(1))
    before = file.read_bytes()
    with pytest.raises(StoreError, match="holds a recording already"):
        Recorder(tmp_path)
    assert file.read_bytes() == before


def test_a_folder_that_can_not_be_written_is_a_store_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be written"):
        Recorder(tmp_path / "file")


def test_writing_after_close_is_a_store_error(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.close()
    recorder.close()
    with pytest.raises(StoreError, match="closed"):
        recorder.write(pose(0))


def test_a_full_disk_is_a_store_error_and_what_is_on_it_stays_readable(tmp_path):
    def write_until_full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
        try:
            with Recorder(tmp_path, META) as recorder:
                for i in range(1000):
                    recorder.write(pose(i))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    with pytest.raises(StoreError, match="What was recorded so far is readable"):
        write_until_full()
    messages = list(read_recording(tmp_path))
    assert len(messages) > 40
    assert_same(messages, [pose(i) for i in range(len(messages))])


def test_a_killed_process_loses_at_most_its_last_half_second(tmp_path):
    code = (
        "import sys, time; sys.path.insert(0, 'tests')\n"
        "from test_recording import Recorder, batch\n"
        f"recorder = Recorder({str(tmp_path)!r})\n"
        "for i in range(101): recorder.write(batch(i))\n"
        "print('written', flush=True); time.sleep(30)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"written\n"
        process.kill()
    messages = list(read_recording(tmp_path))
    assert messages[-1].t_ns >= batch(100).t_ns - 500_000_000
    assert_same(messages, [batch(i) for i in range(len(messages))])


def test_the_moments_at_which_the_core_worked_are_kept_among_what_was_sensed(tmp_path):
    written = [pose(1), Advanced(70_000_000), batch(3), batch(4), Advanced(130_000_000)]
    record(tmp_path, written)
    recording = read_recording(tmp_path)
    assert recording.stepped
    assert_same(list(recording.events()), written)
    assert_same(list(recording), [written[0], written[2], written[3]])
    assert len(recording) == 3


def test_a_recording_without_such_moments_says_so(tmp_path):
    record(tmp_path, session())
    assert not read_recording(tmp_path).stepped


def test_exchanges_of_clocks_are_recorded_in_their_place(tmp_path):
    pings = [ClockPing(band, 70_000 + band, -5, 2**40, 25_000_000) for band in range(4)]
    written = [pose(0), pings[0], batch(1), *pings[1:]]
    record(tmp_path, written)
    assert_same(list(read_recording(tmp_path)), written)


def test_a_recording_of_the_format_without_pings_is_read(tmp_path):
    file = record(tmp_path, session(3))
    data = file.read_bytes()
    size = struct.unpack_from("<I", data, 1)[0]
    header = json.loads(data[5 : 5 + size])
    file.write_bytes(framed(0, json.dumps(header | {"format": 1}).encode()) + data[9 + size :])
    assert_same(list(read_recording(file)), session(3))


def test_a_ping_of_a_band_that_does_not_exist_is_damage(tmp_path):
    file = record(tmp_path, [])
    file.write_bytes(file.read_bytes() + framed(4, struct.pack("<Iqqqq", 9, 1, 0, 0, 0)) + framed(3, struct.pack("<q", 1)))
    with pytest.raises(RecordingError):
        read_recording(file)


def test_changes_of_services_are_recorded_in_their_place(tmp_path):
    changes = [ServiceChanged(5, "eye", ServiceState.FAILED, "It hängt."), ServiceChanged(2**62, "voice", ServiceState.RUNNING)]
    written = [pose(0), changes[0], batch(1), changes[1]]
    record(tmp_path, written)
    assert_same(list(read_recording(tmp_path)), written)


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b'[1, "eye", "tired", ""]', b'["1", "eye", "gone", ""]', b'[1, "eye", "gone", 3]']
)
def test_a_change_of_a_service_that_makes_no_sense_is_damage(tmp_path, payload):
    file = record(tmp_path, [])
    file.write_bytes(file.read_bytes() + framed(5, payload) + framed(3, struct.pack("<q", 1)))
    with pytest.raises(RecordingError):
        read_recording(file)


def test_a_number_that_can_not_be_recorded_is_left_out_and_the_rest_goes_on(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.write(pose(0))
    with pytest.raises(RecordingError, match="too large"):
        recorder.write(Advanced(2**70))
    recorder.write(pose(1))
    recorder.close()
    assert len(read_recording(tmp_path)) == 2
