"""The annotated film of a session, made in a process of its own while the session runs.

The eye never gives a picture away, so the film process opens the same source again: it renders the virtual trainee, or
reads the video file, a second time.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from device.errors import EndOfStream, SpotterError, StoreError
from device.messages import NS_PER_S, Cue, Frame
from device.report.draw import FilmFrame, Picture, draw

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


class Film:
    """The session's side of the film process. `show` every frame in order, then `close`.

    Where the film fails (a full disk, no encoder), `show` becomes harmless and `close` returns what went wrong: the session
    is worth more than its film. `rate_hz`: pictures a second; the film begins with the first frame that is shown.
    """

    def __init__(self, path: Path, source: PictureSource, rate_hz: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        self._process = context.Process(target=_film, args=(child, path, source, rate_hz), name="spotter-film", daemon=True)
        # The new process inherits this: a Ctrl-C before it has come to its own handlers must not end it.
        before = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGINT, signal.SIGTERM)]
        self._process.start()
        for number, handler in before:
            signal.signal(number, handler)
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
    """Writes pictures to an MP4: H.264 by ffmpeg where it is installed, else MPEG-4 by OpenCV. Raises StoreError.

    The film begins with the first picture and has its size. Without a picture there is no file.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        self._path, self._rate_hz = path, rate_hz
        self._start_ns = 0
        self._written = 0
        self._ffmpeg: subprocess.Popen[bytes] | None = None
        self._opencv: Any = None

    def write(self, t_ns: int, picture: Picture) -> None:
        """Append `picture` (height, width, 3) RGB. So that the film keeps time it is repeated where the source left out
        pictures, and left out where the source has more than the film takes."""
        if self._written == 0:
            self._start_ns = t_ns
            self._open(picture.shape[1], picture.shape[0])
        place = round((t_ns - self._start_ns) * self._rate_hz / NS_PER_S)
        for _ in range(self._written, place + 1):
            self._append(picture)

    def close(self) -> None:
        """Finish the file. Raises StoreError where it could not be written whole."""
        if self._opencv is not None:
            self._opencv.release()
        elif self._ffmpeg is not None and self._ffmpeg.returncode is None:
            self._finish_ffmpeg(self._ffmpeg)

    def _open(self, width: int, height: int) -> None:
        if shutil.which("ffmpeg"):
            self._ffmpeg = _start_ffmpeg(self._path, width, height, self._rate_hz)
            return
        import cv2

        self._opencv = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._rate_hz, (width, height))
        if not self._opencv.isOpened():
            raise StoreError(f"{self._path}: the film can't be written. Install ffmpeg, or run with --no-film.")

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


def _film(pipe: Connection, path: Path, source: PictureSource, rate_hz: float) -> None:
    """The film process. Ends when told to or when the session's end of the pipe is gone; a signal meant for the session
    must not leave a torn file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # What is wrong with the source the eye has said already.
    logging.disable(logging.WARNING)
    failure: str | None = None
    frames = _Frames(pipe)
    try:
        _make(frames, path, source, rate_hz)
    except SpotterError as error:
        failure = str(error)
        path.unlink(missing_ok=True)
    # The session must never wait for a film that will not be, or that has no more pictures.
    for _ in frames:
        pass
    try:
        pipe.send(failure)
    except OSError:
        return


def _make(frames: Iterator[FilmFrame], path: Path, source: PictureSource, rate_hz: float) -> None:
    pictures, writer = source.open(), FilmWriter(path, rate_hz)
    try:
        for frame in frames:
            for cue in frame.heard:
                pictures.hear(cue)
            picture = pictures.read()
            while picture.t_ns < frame.t_ns:
                picture = pictures.read()
            writer.write(frame.t_ns, draw(picture.pixels, frame))
    except EndOfStream:
        return
    finally:
        pictures.close()
        writer.close()


class _Frames(Iterator[FilmFrame]):
    """The frames that the session sends, until it sends None or is gone."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._ended = False

    def __next__(self) -> FilmFrame:
        frame: FilmFrame | None = None
        if not self._ended:
            with contextlib.suppress(EOFError):
                frame = self._pipe.recv()
        if frame is None:
            self._ended = True
            raise StopIteration
        return frame


def _start_ffmpeg(path: Path, width: int, height: int, rate_hz: float) -> subprocess.Popen[bytes]:
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", f"{rate_hz:.6f}", "-i", "-"]
    # Every player shows yuv420p, which wants even sizes.
    command += ["-vf", "scale=trunc(iw/2)*2:trunc(ih/2)*2", "-c:v", "libx264", "-preset", "veryfast", "-crf", "23"]
    command += ["-pix_fmt", "yuv420p", "-threads", "1", "-movflags", "+faststart", str(path)]
    # A session of its own: Ctrl-C in the terminal must not reach it before the film is whole.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it gave no reason"
