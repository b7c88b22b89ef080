"""The bands of a recording as a source."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

from device.config import ImuConfig
from device.drivers.base import ImuSource
from device.errors import DriverError, EndOfStream
from device.messages import ImuBatch
from device.runtime.recording import read_recording


class RecordedImu(ImuSource):
    """Plays the batches of the recording `config.device`, each when its time has come, as far after the start as in it.

    The recording's start is moved to `start_ns`, or to the moment of `open` where that is None. Raises RecordingError when
    the recording can't be read.
    """

    def __init__(self, config: ImuConfig, start_ns: int | None = None) -> None:
        self.path = config.device
        self._start_ns = start_ns
        self._shift_ns = 0
        self._batches: deque[ImuBatch] | None = None

    def open(self) -> None:
        recording = read_recording(self.path)
        self._batches = deque(message for message in recording if isinstance(message, ImuBatch))
        start_ns = time.monotonic_ns() if self._start_ns is None else self._start_ns
        self._shift_ns = start_ns - recording.meta.start_ns

    def read(self, until_ns: int) -> list[ImuBatch]:
        if self._batches is None:
            raise DriverError(f"{self.path}: the recording is not open. Open it before reading.")
        if not self._batches:
            raise EndOfStream(f"{self.path}: all batches were read.")
        arrived: list[ImuBatch] = []
        while self._batches and self._batches[0].t_ns + self._shift_ns <= until_ns:
            arrived.append(self._shifted(self._batches.popleft()))
        return arrived

    def close(self) -> None:
        self._batches = None

    def _shifted(self, batch: ImuBatch) -> ImuBatch:
        # Recorded batches are on the host's clock already.
        return replace(batch, t_ns=batch.t_ns + self._shift_ns, times_ns=batch.times_ns + self._shift_ns)
