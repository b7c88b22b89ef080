"""The film, the voice and the plots of one session while it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from device.config import Config
from device.drivers.speaker_wav import WavSpeaker
from device.errors import StoreError
from device.exercises import Exercise
from device.messages import Cue, SetEnded
from device.report.film import Film, PictureSource, add_sound
from device.report.folder import ReportFolder
from device.report.hud import Hud
from device.report.log import LogBook
from device.report.plots import TrueAngles, plot_set
from device.runtime.coach import threshold_rad
from device.runtime.core import Core
from device.runtime.latency import LatencyMeter
from device.runtime.session import Sink, VoiceSink

log = logging.getLogger(__name__)


class SessionFiles:
    """Makes the files of one session in `folder`; `book` begins when the session does.

    A context around the session: on leaving it, whatever happened, the film is finished and the voice laid under it. What
    can't be made is left out and is in `warnings`: the session is worth more than its film. `note` is told what takes a while.
    """

    def __init__(
        self,
        folder: ReportFolder,
        config: Config,
        exercises: Mapping[str, Exercise],
        book: LogBook,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.warnings: list[str] = []
        self._folder, self._exercises, self._book, self._note = folder, exercises, book, note
        self._speaker = WavSpeaker(config.speaker, folder.voice, book.start_ns)
        self._hud = Hud(exercises, threshold_rad(config.coach))
        self._film: Film | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._film is None:
            return
        self._note("finishing the film")
        self.warn(self._film.close())
        if self._folder.film.is_file() and self._folder.voice.is_file():
            self.warn(add_sound(self._folder.film, self._folder.voice))

    def sinks(self, meter: LatencyMeter | None = None) -> list[Sink]:
        """What the session needs among its sinks. `meter` measures the voice. Raises StoreError where it can't be written."""
        self._speaker.open()
        return [self._book, self._hud, VoiceSink(self._speaker, meter)]

    def start_film(self, source: PictureSource, rate_hz: float) -> None:
        """Make a film of the pictures of `source`."""
        self._film = Film(self._folder.film, source, rate_hz)

    def show(self, core: Core, heard: tuple[Cue, ...] = ()) -> None:
        """Put the newest picture, where there is a new one, into the film with what `core` knows of it. `heard`: the cues that
        the person in the pictures has heard since the picture before."""
        frame = self._hud.frame(core.progress, core.deviations, heard) if self._film is not None else None
        if self._film is not None and frame is not None:
            self._film.show(frame)

    def plot(self, truth: Callable[[SetEnded], TrueAngles | None] = lambda _: None) -> None:
        """Draw every set. `truth`: what really happened in a set, where that is known."""
        self._note("drawing the plots")
        session = self._book.log()
        for number, done in enumerate(session.sets, start=1):
            path = self._folder.plot(number, done.exercise)
            try:
                plot_set(path, session, done, self._exercises[done.exercise], number, truth(done))
            except StoreError as error:
                path.unlink(missing_ok=True)
                self.warn(str(error))
                return

    def warn(self, what: str | None) -> None:
        """Note what went wrong without stopping the session; None is nothing."""
        if what is not None:
            self.warnings.append(what)
            log.warning("%s", what)
