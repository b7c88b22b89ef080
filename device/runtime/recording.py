"""Recordings: everything that was sensed in a session, in one append-only file that any cut leaves readable.

The file is a row of records: type (u8), length of the payload (u32), payload, CRC-32 of all three (u32), little-endian.
The first one is a JSON header. A cut inside the last record, or a tail of zeros after a power loss, costs only that tail.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from device.errors import RecordingError, StoreError
from device.messages import Advanced, ClockPing, ImuBatch, Pose, Sensed, ServiceChanged, ServiceState
from device.skeleton import BANDS, LANDMARKS, N_BANDS, N_NODES

FORMAT = 3
READABLE = (1, 2, 3)
"""Format 1 has no pings, formats 1 and 2 no changes of services."""
FILE_NAME = "session.rec"
FLUSH_BYTES = 16 * 1024
FLUSH_NS = 500_000_000
MAX_PAYLOAD = 1 << 20

_HEADER, _POSE, _IMU, _ADVANCED, _PING, _SERVICE = 0, 1, 2, 3, 4, 5
_FRAME = struct.Struct("<BI")
_CRC = struct.Struct("<I")
_POSE_HEAD = struct.Struct("<qqqII?")
_IMU_HEAD = struct.Struct("<qqqIqI")
_ADVANCED_TIME = struct.Struct("<q")
_PING_FIELDS = struct.Struct("<Iqqqq")
_POSE_FLOATS = N_NODES * 4 + N_NODES * 3
_IMU_SAMPLE_BYTES = 8 + 6 * 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RecordingMeta:
    """What a recording says of itself.

    `created`: ISO 8601 date. `config`: the settings as a nested mapping. `bundle`: SHA-256 of the model's manifest.
    `start_ns`: host time at which the session began. `extra`: anything else that fits into JSON.
    """

    created: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    bundle: str = ""
    start_ns: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recording that was read. Iterating gives what was sensed in the order of writing, as often as wanted.

    `dropped`: bytes at the end that a cut made unreadable.
    """

    path: Path
    meta: RecordingMeta
    dropped: int
    records: tuple[tuple[int, int, int], ...]
    data: bytes

    def __len__(self) -> int:
        return sum(kind != _ADVANCED for kind, _, _ in self.records)

    def __iter__(self) -> Iterator[Sensed]:
        return (message for message in self.events() if not isinstance(message, Advanced))

    def events(self) -> Iterator[Sensed | Advanced]:
        """What was sensed, and between it the moments at which the core worked on it."""
        for kind, start, end in self.records:
            yield _decode(kind, memoryview(self.data)[start:end], self.path, start)

    @property
    def stepped(self) -> bool:
        """Whether it holds the moments at which the core worked."""
        return any(kind == _ADVANCED for kind, _, _ in self.records)


class Recorder:
    """Appends messages to `folder`/session.rec. A killed process loses at most the last half second.

    Raises StoreError when the folder can't be written, holds a recording already, or the disk is full; what was written
    before stays readable, and `resume` goes on after it.
    """

    def __init__(self, folder: Path | str, meta: RecordingMeta | None = None) -> None:
        self.path = Path(folder).expanduser() / FILE_NAME
        self._pending = bytearray()
        self._size = 0
        self._flushed_ns: int | None = None
        self._file = -1
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        except OSError as error:
            if isinstance(error, FileExistsError) and self.path.is_file():
                raise StoreError(
                    f"{self.path}: holds a recording already. Choose another folder, or move that file away."
                ) from error
            raise StoreError(f"{self.path}: can't be written ({error.strerror}). Choose a folder that can.") from error
        try:
            self._append(_HEADER, _encode_header(meta or RecordingMeta()))
            self._flush()
        except BaseException:
            self._release()
            raise

    def write(self, message: Sensed | Advanced) -> None:
        """Append `message`. Raises StoreError when the disk is full or the recorder is closed, RecordingError when `message`
        can't be recorded; it is then not in it."""
        if self._file < 0:
            raise StoreError(f"{self.path}: the recording is closed; nothing more can be written to it.")
        before = len(self._pending)
        try:
            if isinstance(message, Pose):
                self._append(_POSE, _encode_pose(message))
            elif isinstance(message, Advanced):
                self._append(_ADVANCED, _ADVANCED_TIME.pack(message.t_ns))
            elif isinstance(message, ClockPing):
                fields = (message.band, message.session, message.sent_ns, message.band_ns, message.received_ns)
                self._append(_PING, _PING_FIELDS.pack(*fields))
            elif isinstance(message, ServiceChanged):
                self._append(_SERVICE, _encode_service(message))
            else:
                self._append(_IMU, _encode_imu(message))
        except struct.error as error:
            raise RecordingError(
                f"{self.path}: a {type(message).__name__} holds a number that is too large to be recorded."
            ) from error
        if self._flushed_ns is None:
            self._flushed_ns = message.t_ns
        if len(self._pending) >= FLUSH_BYTES or message.t_ns - self._flushed_ns >= FLUSH_NS:
            self._flushed_ns = message.t_ns
            try:
                self._flush()
            except StoreError:
                del self._pending[before:]
                raise

    def resume(self) -> None:
        """Go on after writing failed, behind the last record that is whole; what waited is written first.

        Raises StoreError where that still can't be, or the file is no longer the one that was written.
        """
        if self._file >= 0:
            return
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            if os.fstat(self._file).st_size < self._size:
                raise FileNotFoundError(errno.ENOENT, "the recording is not there any more")
            os.ftruncate(self._file, self._size)
        except OSError as error:
            self._release()
            raise self._failed(error) from error
        self._flush()

    def close(self) -> None:
        """Write what is pending and have it on the disk; closing twice is harmless."""
        if self._file < 0:
            return
        try:
            self._flush()
            os.fsync(self._file)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._release()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, kind: int, payload: bytes) -> None:
        record = _FRAME.pack(kind, len(payload)) + payload
        self._pending += record
        self._pending += _CRC.pack(zlib.crc32(record))

    def _flush(self) -> None:
        """Write all that is pending. Where that fails it stays pending, and a record that was cut short stays the last one."""
        at = 0
        while at < len(self._pending):
            try:
                at += os.write(self._file, bytes(self._pending[at:]))
            except OSError as error:
                self._release()
                raise self._failed(error) from error
        self._size += at
        self._pending.clear()

    def _release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(
            f"{self.path}: can't be written any more ({error.strerror}). What was recorded so far is readable; "
            "make room or choose another folder for the next recording."
        )


def read_recording(path: Path | str) -> Recording:
    """The recording in `path`, a folder or the file itself.

    A tail that was cut off in the middle of a record is left out with a warning. Raises RecordingError when the file is
    absent, no recording, of another format version, or damaged in the middle.
    """
    file = Path(path).expanduser()
    file = file / FILE_NAME if file.is_dir() else file
    try:
        data = file.read_bytes()
    except OSError as error:
        raise RecordingError(f"{file}: can't be read ({error.strerror}). Give a folder that `spotter record` wrote.") from error
    records, end = _scan(data, file)
    if not records or records[0][0] != _HEADER:
        raise RecordingError(f"{file}: is no recording, or was cut inside its header. Give a folder that `spotter record` wrote.")
    meta = _decode_header(data[records[0][1] : records[0][2]], file)
    dropped = len(data) - end
    if dropped:
        log.warning("%s: its last %d bytes were cut off while being written and are left out.", file, dropped)
    recording = Recording(file, meta, dropped, tuple(records[1:]), data)
    for kind, start, stop in recording.records:
        _check(kind, memoryview(data)[start:stop], file, start)
    return recording


def _scan(data: bytes, file: Path) -> tuple[list[tuple[int, int, int]], int]:
    """(type, start, end) of the payload of every whole record, and where the last one ends."""
    records: list[tuple[int, int, int]] = []
    at, size = 0, len(data)
    while size - at >= _FRAME.size:
        kind, length = _FRAME.unpack_from(data, at)
        start = at + _FRAME.size
        end = start + length + _CRC.size
        if not any(data[at : at + _FRAME.size]) and not any(data[at:]):
            break
        if kind > _SERVICE or length > MAX_PAYLOAD:
            raise _damaged(file, at)
        if end > size:
            break
        if zlib.crc32(memoryview(data)[at : end - _CRC.size]) != _CRC.unpack_from(data, end - _CRC.size)[0]:
            # A wrong sum in the last record, or before nothing but zeros, is a cut; anywhere else it is damage.
            if any(data[end:]):
                raise _damaged(file, at)
            break
        records.append((kind, start, end - _CRC.size))
        at = end
    return records, at


def _damaged(file: Path, at: int) -> RecordingError:
    return RecordingError(f"{file}: damaged at byte {at}, or no recording. Use a copy of it, or record anew.")


def _encode_header(meta: RecordingMeta) -> bytes:
    header = {
        "format": FORMAT,
        "landmarks": LANDMARKS,
        "bands": BANDS,
        "created": meta.created,
        "config": meta.config,
        "bundle": meta.bundle,
        "start_ns": meta.start_ns,
        "extra": meta.extra,
    }
    return json.dumps(header).encode()


def _decode_header(payload: bytes, file: Path) -> RecordingMeta:
    try:
        header = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{file}: its header is not JSON; it is no recording of Spotter.") from error
    version = header.get("format") if isinstance(header, Mapping) else None
    if version not in READABLE:
        raise RecordingError(
            f"{file}: has recording format {version!r}, this version reads {READABLE[0]} to {READABLE[-1]}. "
            "Replay it with the version that wrote it."
        )
    if header.get("landmarks") != list(LANDMARKS) or header.get("bands") != list(BANDS):
        raise RecordingError(f"{file}: was made with other landmarks or bands. Replay it with the version that wrote it.")
    values = {name: header.get(name) for name in RecordingMeta.__slots__}
    expected = {"created": str, "config": dict, "bundle": str, "start_ns": int, "extra": dict}
    wrong = [name for name, kind in expected.items() if not isinstance(values[name], kind)]
    if wrong:
        raise RecordingError(f"{file}: its header lacks a valid {', '.join(wrong)}. Use a copy of it, or record anew.")
    return RecordingMeta(**values)


def _encode_pose(pose: Pose) -> bytes:
    head = _POSE_HEAD.pack(pose.t_ns, pose.sigma_ns, pose.seq, pose.width, pose.height, pose.present)
    image = np.ascontiguousarray(pose.image, dtype="<f4")
    world = np.ascontiguousarray(pose.world, dtype="<f4")
    return head + image.tobytes() + world.tobytes()


def _encode_imu(batch: ImuBatch) -> bytes:
    head = _IMU_HEAD.pack(batch.t_ns, batch.sigma_ns, batch.seq, batch.band, batch.session, len(batch.times_ns))
    times = np.ascontiguousarray(batch.times_ns, dtype="<i8")
    values = np.ascontiguousarray(batch.values, dtype="<f4")
    return head + times.tobytes() + values.tobytes()


def _check(kind: int, payload: memoryview, file: Path, at: int) -> None:
    """Raises RecordingError where a record that is whole does not hold what its type says."""
    size = len(payload)
    if kind == _POSE and size == _POSE_HEAD.size + 4 * _POSE_FLOATS:
        return
    if kind == _IMU and size >= _IMU_HEAD.size:
        band, count = _IMU_HEAD.unpack_from(payload)[3::2]
        if band < N_BANDS and size == _IMU_HEAD.size + count * _IMU_SAMPLE_BYTES:
            return
    if kind == _ADVANCED and size == _ADVANCED_TIME.size:
        return
    if kind == _PING and size == _PING_FIELDS.size and _PING_FIELDS.unpack(payload)[0] < N_BANDS:
        return
    if kind == _SERVICE:
        _decode_service(payload, file, at)
        return
    raise _damaged(file, at)


def _encode_service(changed: ServiceChanged) -> bytes:
    return json.dumps([changed.t_ns, changed.service, changed.state, changed.reason]).encode()


def _decode_service(payload: memoryview, file: Path, at: int) -> ServiceChanged:
    try:
        t_ns, service, state, reason = json.loads(bytes(payload))
        if not (type(t_ns) is int and isinstance(service, str) and isinstance(reason, str)):
            raise TypeError
        return ServiceChanged(t_ns, service, ServiceState(state), reason)
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(file, at) from error


def _decode(kind: int, payload: memoryview, file: Path, at: int) -> Sensed | Advanced:
    if kind == _POSE:
        t_ns, sigma_ns, seq, width, height, present = _POSE_HEAD.unpack_from(payload)
        floats = np.frombuffer(payload, dtype="<f4", offset=_POSE_HEAD.size)
        image = floats[: N_NODES * 4].reshape(N_NODES, 4)
        world = floats[N_NODES * 4 :].reshape(N_NODES, 3)
        return Pose(t_ns, sigma_ns, seq, image, world, width, height, present)
    if kind == _IMU:
        t_ns, sigma_ns, seq, band, session, count = _IMU_HEAD.unpack_from(payload)
        times = np.frombuffer(payload, dtype="<i8", count=count, offset=_IMU_HEAD.size)
        values = np.frombuffer(payload, dtype="<f4", offset=_IMU_HEAD.size + count * 8).reshape(count, 6)
        return ImuBatch(t_ns, sigma_ns, seq, band, session, times, values)
    if kind == _ADVANCED:
        return Advanced(*_ADVANCED_TIME.unpack(payload))
    if kind == _PING:
        return ClockPing(*_PING_FIELDS.unpack(payload))
    if kind == _SERVICE:
        return _decode_service(payload, file, at)
    raise _damaged(file, at)
