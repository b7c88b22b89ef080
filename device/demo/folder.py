"""The demo's output folder: a report with the session's store and recording beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from device.report.folder import ReportFolder


@dataclass(frozen=True, slots=True)
class DemoFolder(ReportFolder):
    """Where each of the demo's files is."""

    RESULT: ClassVar[str] = "summary.json"
    OWN: ClassVar[tuple[str, ...]] = (*ReportFolder.OWN, "session.sqlite*", "recording/*.rec")

    @property
    def store(self) -> Path:
        return self.path / "session.sqlite"

    @property
    def recording(self) -> Path:
        return self.path / "recording"
