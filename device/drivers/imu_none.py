"""No bands: the coach sees with the camera alone."""

from __future__ import annotations

from device.config import ImuConfig
from device.drivers.base import ImuSource
from device.messages import ImuBatch


class NoImu(ImuSource):
    """A source from which nothing ever arrives."""

    def __init__(self, config: ImuConfig) -> None:
        self.rate_hz = config.rate_hz

    def open(self) -> None:
        """Nothing to take."""

    def read(self, until_ns: int) -> list[ImuBatch]:  # noqa: ARG002
        return []

    def close(self) -> None:
        """Nothing to give back."""
