"""What cameras that run by themselves share: a thread that keeps only the newest frame."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod

from device.drivers.base import Camera
from device.errors import DriverError, StaleFrame
from device.messages import NS_PER_S, Frame

SILENCE_S = 3.0
"""A camera that gives no frame for this long has failed."""


class LiveCamera(Camera):
    """A driver fills in `_start`, `_grab` and `_stop`; `_grab` runs in the thread. A frame that nobody read is replaced."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._read_seq = -1
        self._failure: Exception | None = None
        self._running = False
        self._thread: threading.Thread | None = None

    @abstractmethod
    def _start(self) -> None:
        """Take the camera. Raises DriverUnavailable."""

    @abstractmethod
    def _grab(self, seq: int) -> Frame:
        """Block for the camera's next frame. Raises DriverError."""

    @abstractmethod
    def _stop(self) -> None:
        """Give the camera back."""

    def open(self) -> None:
        self.close()
        self._start()
        self._newest, self._failure, self._read_seq, self._running = None, None, -1, True
        self._thread = threading.Thread(target=self._run, name=f"camera {self.name}", daemon=True)
        self._thread.start()

    def read(self) -> Frame:
        deadline = time.monotonic() + SILENCE_S
        with self._changed:
            while self._newest is None or self._newest.seq <= self._read_seq:
                self._raise_failure()
                if not self._changed.wait(deadline - time.monotonic()):
                    raise DriverError(
                        f"{self.name}: no frame for {SILENCE_S:g} s. Check the cable; the camera has to be opened again."
                    )
            self._read_seq = self._newest.seq
            return self._newest

    def latest(self, max_age_ns: int) -> Frame:
        with self._changed:
            self._raise_failure()
            if self._newest is None:
                raise StaleFrame(f"{self.name}: no frame has come yet.")
            age_ns = time.monotonic_ns() - self._newest.t_ns
            if age_ns > max_age_ns:
                raise StaleFrame(f"{self.name}: the newest frame is {age_ns * 1000 // NS_PER_S} ms old.")
            return self._newest

    def close(self) -> None:
        with self._changed:
            self._running = False
            self._changed.notify_all()
        thread, self._thread = self._thread, None
        if thread is not None:
            # A camera that hangs in the kernel must not hang its owner: the eye process ends, and its thread with it.
            thread.join(SILENCE_S)
            if not thread.is_alive():
                self._stop()

    def _run(self) -> None:
        seq = 0
        while self._running:
            try:
                frame = self._grab(seq)
            except Exception as error:
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                return
            seq += 1
            with self._changed:
                self._newest = frame
                self._changed.notify_all()

    def _raise_failure(self) -> None:
        if not self._running:
            raise DriverError(f"{self.name}: the camera is not open. Open it before reading.")
        if self._failure is not None:
            raise DriverError(f"{self.name}: the camera failed: {self._failure}") from self._failure
