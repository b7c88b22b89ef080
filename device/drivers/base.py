"""The four bases. A driver that can't be opened raises DriverUnavailable, one that fails later DriverError."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from device.drivers.health import BandHealth
from device.messages import ClockPing, Frame, ImuBatch


class Driver(ABC):
    """Opened by `open` (or `with`), closed by `close`; closing twice is harmless. Nothing happens at construction."""

    @abstractmethod
    def open(self) -> None:
        """Take the device. Raises DriverUnavailable with what to install or connect."""

    @abstractmethod
    def close(self) -> None:
        """Give the device back, whatever state it is in."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Camera(Driver):
    """A source of frames timed at mid-exposure."""

    @abstractmethod
    def read(self) -> Frame:
        """Block for the next frame. Raises EndOfStream when a finite source is done, DriverError when it fails."""

    @abstractmethod
    def latest(self, max_age_ns: int) -> Frame:
        """Peek at the newest frame without waiting. Raises StaleFrame when it is older than `max_age_ns`."""


class ImuSource(Driver):
    """A source of batches from up to four bands."""

    @abstractmethod
    def read(self, until_ns: int) -> list[ImuBatch]:
        """All batches that have arrived by `until_ns` (host monotonic) and were not read before, in order of arrival.

        Never blocks. Raises EndOfStream when a finite source is done, DriverError when it fails.
        """

    def pings(self, until_ns: int) -> list[ClockPing]:  # noqa: ARG002
        """All exchanges of clocks that were done by `until_ns` and not handed out before; a source whose times are the
        host's own, or that can't be asked, has none. Never blocks."""
        return []

    def health(self) -> dict[int, BandHealth]:
        """How each band is doing, by its index in `skeleton.BANDS`; empty where the source doesn't know. Any thread may ask."""
        return {}


class Speaker(Driver):
    """Says prompts made ahead."""

    @abstractmethod
    def say(self, prompts: tuple[str, ...], t_ns: int) -> int:
        """Queue prompts to start at `t_ns` or when the speaker is free. Returns when they will have been said (ns)."""

    def begins_ns(self) -> int:
        """When the first sample of the newest prompt comes out, planned as long as it hasn't; 0 where the driver doesn't know."""
        return 0

    @abstractmethod
    def free_at_ns(self) -> int:
        """When all that was queued will have been said; 0 when nothing was."""


class Haptic(Driver):
    """Vibration motors. On-time and duty are bounded here, whatever is asked; off after close."""

    @abstractmethod
    def vibrate(self, band: int, intensity: float, duration_ns: int, t_ns: int) -> int:
        """Vibrate `band` (index into skeleton.BANDS) with `intensity` 0..1. Returns the granted duration (ns), 0 when
        the duty is used up, once the motor was given its command."""

    @abstractmethod
    def off(self) -> None:
        """All motors off, now."""
