"""The annotated film of a session, made in a process of its own while the session runs.

The eye never gives a picture away, so the film process opens the same source again: it renders the virtual trainee, or
reads the video file, a second time.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from device.demo.draw import FilmFrame, Picture, draw
from device.errors import EndOfStream, SpotterError, StoreError
from device.messages import NS_PER_S, Cue, Frame

CLOSE_S = 60.0
"""How long the film may take to be finished after its last frame."""


class PictureSource(Protocol):
    """Opens in the film process the pictures that the eye sees in its own. Must pickle."""

    def open(self) -> Pictures: ...


class Pictures(Protocol):
    """Pictures in order of time."""

    def read(self) -> Frame:
        """The next picture; raises EndOfStream after the last."""

    def hear(self, cue: Cue) -> None:
        """Let the person in the pictures react, where one can."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class FilmFormat:
    """Picture size and rate of the film. `start_ns`: time of the first picture."""

    width: int
    height: int
    rate_hz: float
    start_ns: int


class Film:
    """The session's side of the film process. `show` every frame in order, then `close`.

    Where the film fails (a full disk, no encoder), `show` becomes harmless and `close` returns what went wrong: the session
    is worth more than its film.
    """

    def __init__(self, path: Path, source: PictureSource, film_format: FilmFormat) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        self._process = context.Process(target=_film, args=(child, path, source, film_format), name="spotter-film", daemon=True)
        self._process.start()
        child.close()
        self._failure: str | None = None

    def show(self, frame: FilmFrame) -> None:
        """Put one frame into the film. Waits where the film process is far behind."""
        if self._failure is not None:
            return
        try:
            self._pipe.send(frame)
        except OSError:
            self._failure = "the film process died"

    def close(self) -> str | None:
        """Finish the film; harmless the second time. Returns why there is none, or None."""
        if self._pipe.closed:
            return self._failure
        try:
            self._pipe.send(None)
            if self._pipe.poll(CLOSE_S):
                self._failure = self._pipe.recv()
            else:
                self._failure = f"the film was not finished within {CLOSE_S:g} s"
        except (OSError, EOFError):
            self._failure = self._failure or "the film process died"
        self._pipe.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
        return self._failure


class FilmWriter:
    """Writes pictures to an MP4: H.264 by ffmpeg where it is installed, else MPEG-4 by OpenCV. Raises StoreError."""

    def __init__(self, path: Path, film_format: FilmFormat) -> None:
        self._path, self._format = path, film_format
        self._written = 0
        self._ffmpeg: subprocess.Popen[bytes] | None = None
        if shutil.which("ffmpeg"):
            self._ffmpeg = _start_ffmpeg(path, film_format)
        else:
            import cv2

            size = (film_format.width, film_format.height)
            self._opencv = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), film_format.rate_hz, size)
            if not self._opencv.isOpened():
                raise StoreError(f"{path}: the film can't be written. Install ffmpeg, or run with --no-film.")

    def write(self, t_ns: int, picture: Picture) -> None:
        """Append `picture` (height, width, 3) RGB; repeated where the source left out frames, so that it keeps time."""
        place = round((t_ns - self._format.start_ns) * self._format.rate_hz / NS_PER_S)
        for _ in range(self._written, max(place, self._written) + 1):
            self._append(picture)

    def close(self) -> None:
        """Finish the file; without a picture there is none. Raises StoreError where it could not be written whole."""
        if self._ffmpeg is None:
            self._opencv.release()
        elif self._ffmpeg.returncode is None:
            self._finish_ffmpeg(self._ffmpeg)
        if self._written == 0:
            self._path.unlink(missing_ok=True)

    def _append(self, picture: Picture) -> None:
        self._written += 1
        if self._ffmpeg is None:
            self._opencv.write(picture[..., ::-1].copy())
            return
        assert self._ffmpeg.stdin is not None
        try:
            self._ffmpeg.stdin.write(picture.tobytes())
        except BrokenPipeError:
            self._finish_ffmpeg(self._ffmpeg)

    def _finish_ffmpeg(self, ffmpeg: subprocess.Popen[bytes]) -> None:
        _, errors = ffmpeg.communicate()
        if ffmpeg.returncode != 0:
            raise StoreError(f"{self._path}: ffmpeg could not write the film: {_last_line(errors)}")


def add_sound(film: Path, sound: Path) -> str | None:
    """Lay `sound` under `film`, both starting at the same moment. Returns why not, or None; the film stays whole either way."""
    if not shutil.which("ffmpeg"):
        return "ffmpeg is not installed, so the film has no sound; the voice is in " + sound.name
    whole = film.with_suffix(".sound.mp4")
    command = ["ffmpeg", "-y", "-loglevel", "error", "-i", str(film), "-i", str(sound), "-map", "0:v", "-map", "1:a"]
    command += ["-c:v", "copy", "-c:a", "aac", "-b:a", "96k", "-movflags", "+faststart", str(whole)]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        whole.unlink(missing_ok=True)
        return f"the film has no sound: {_last_line(done.stderr)}"
    os.replace(whole, film)
    return None


def _film(pipe: Connection, path: Path, source: PictureSource, film_format: FilmFormat) -> None:
    """The film process. Ends when told to or when the session's end of the pipe is gone; a signal meant for the session
    must not leave a torn file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    failure: str | None = None
    try:
        _make(pipe, path, source, film_format)
    except SpotterError as error:
        failure = str(error)
        path.unlink(missing_ok=True)
        _drain(pipe)
    try:
        pipe.send(failure)
    except OSError:
        return


def _make(pipe: Connection, path: Path, source: PictureSource, film_format: FilmFormat) -> None:
    pictures, writer = source.open(), FilmWriter(path, film_format)
    try:
        while (frame := _next(pipe)) is not None:
            for cue in frame.heard:
                pictures.hear(cue)
            picture = pictures.read()
            while picture.t_ns < frame.t_ns:
                picture = pictures.read()
            writer.write(frame.t_ns, draw(picture.pixels, frame))
    except EndOfStream:
        _drain(pipe)
    finally:
        pictures.close()
        writer.close()


def _next(pipe: Connection) -> FilmFrame | None:
    try:
        frame: FilmFrame | None = pipe.recv()
    except EOFError:
        return None
    return frame


def _drain(pipe: Connection) -> None:
    """Take what the session still sends, so that it never waits for a film that will not be."""
    while _next(pipe) is not None:
        pass


def _start_ffmpeg(path: Path, film_format: FilmFormat) -> subprocess.Popen[bytes]:
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{film_format.width}x{film_format.height}", "-r", f"{film_format.rate_hz:g}", "-i", "-"]
    # Every player shows yuv420p, which wants even sizes.
    command += ["-vf", "scale=trunc(iw/2)*2:trunc(ih/2)*2", "-c:v", "libx264", "-preset", "veryfast", "-crf", "23"]
    command += ["-pix_fmt", "yuv420p", "-threads", "1", "-movflags", "+faststart", str(path)]
    # A session of its own: Ctrl-C in the terminal must not reach it before the film is whole.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it gave no reason"
