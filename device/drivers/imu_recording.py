"""The bands of a recording as a source."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import TypeVar

from device.config import ImuConfig
from device.drivers.base import ImuSource
from device.errors import DriverError, EndOfStream
from device.messages import ClockPing, ImuBatch
from device.runtime.recording import read_recording
from device.runtime.timebase import UNCONVERTED

Message = TypeVar("Message", ImuBatch, ClockPing)


class RecordedImu(ImuSource):
    """Plays batches and pings of the recording `config.device`, each when its time has come, as far after the start as in it.

    The recording's start is moved to `start_ns`, or to the moment of `open` where that is None. Raises RecordingError when
    the recording can't be read.
    """

    def __init__(self, config: ImuConfig, start_ns: int | None = None) -> None:
        self.path = config.device
        self._start_ns = start_ns
        self._shift_ns = 0
        self._batches: deque[ImuBatch] | None = None
        self._pings: deque[ClockPing] = deque()

    def open(self) -> None:
        recording = read_recording(self.path)
        self._batches = deque(message for message in recording if isinstance(message, ImuBatch))
        self._pings = deque(message for message in recording if isinstance(message, ClockPing))
        start_ns = time.monotonic_ns() if self._start_ns is None else self._start_ns
        self._shift_ns = start_ns - recording.meta.start_ns

    def read(self, until_ns: int) -> list[ImuBatch]:
        if self._batches is None:
            raise DriverError(f"{self.path}: the recording is not open. Open it before reading.")
        if not self._batches:
            raise EndOfStream(f"{self.path}: all batches were read.")
        return [self._shifted(batch) for batch in self._due(self._batches, until_ns)]

    def pings(self, until_ns: int) -> list[ClockPing]:
        shift_ns = self._shift_ns
        # The band's clock is its own.
        return [
            replace(ping, sent_ns=ping.sent_ns + shift_ns, received_ns=ping.received_ns + shift_ns)
            for ping in self._due(self._pings, until_ns)
        ]

    def close(self) -> None:
        self._batches = None
        self._pings = deque()

    def _due(self, waiting: deque[Message], until_ns: int) -> list[Message]:
        due: list[Message] = []
        while waiting and waiting[0].t_ns + self._shift_ns <= until_ns:
            due.append(waiting.popleft())
        return due

    def _shifted(self, batch: ImuBatch) -> ImuBatch:
        # Those of a source that converts by itself are on the host's clock already.
        times = batch.times_ns if batch.sigma_ns == UNCONVERTED else batch.times_ns + self._shift_ns
        return replace(batch, t_ns=batch.t_ns + self._shift_ns, times_ns=times)
