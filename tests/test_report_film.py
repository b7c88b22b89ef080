"""The film on plain pictures: it plays, keeps time, survives signals, and its failure never stops the session."""

from __future__ import annotations

import os
import shutil
import signal
import time
import wave
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.errors import EndOfStream, StoreError
from device.messages import NS_PER_S, Array, Cue, Frame
from device.report.draw import FilmFrame, Picture, deviation_colour, draw, node_shares
from device.report.film import Film, FilmWriter, add_sound
from device.skeleton import JOINT, NODE

RATE_HZ = 10.0
PERIOD_NS = NS_PER_S // 10
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


@dataclass(frozen=True)
class GreyPictures:
    """Pictures that brighten, one in 100 ms; `heard` cues turn them white."""

    count: int = 20

    def open(self) -> _Opened:
        return _Opened(self.count)


class _Opened:
    def __init__(self, count: int) -> None:
        self._count, self._seq, self._heard = count, 0, 0

    def read(self) -> Frame:
        if self._seq == self._count:
            raise EndOfStream("all pictures were read")
        grey = 250 if self._heard else 40
        self._seq += 1
        return Frame((self._seq - 1) * PERIOD_NS, 0, self._seq - 1, np.full((120, 160, 3), grey, np.uint8))

    def hear(self, _cue: Cue) -> None:
        self._heard += 1

    def close(self) -> None:
        pass


def landmarks() -> Array:
    image = np.full((33, 4), 0.5, np.float32)
    image[:, 0] = np.linspace(0.2, 0.8, 33)
    image[:, 3] = 1.0
    return image


def film_frame(k: int, **changes: object) -> FilmFrame:
    values: dict[str, object] = {
        "t_ns": k * PERIOD_NS, "image": None, "deviations": np.full(12, np.nan), "title": "", "stage": "", "repetitions": 0,
        "phase": 0.0, "caption": "", "caption_kind": "", "vibrations": (), "heard": (),
    }  # fmt: skip
    return FilmFrame(**(values | changes))  # type: ignore[arg-type]


def pictures_of(path: Path) -> list[Picture]:
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(read[1])
    return found


def test_a_film_plays_with_all_its_pictures(tmp_path: Path) -> None:
    film = Film(tmp_path / "film.mp4", GreyPictures(), RATE_HZ)
    for k in range(12):
        film.show(film_frame(k))
    assert film.close() is None
    assert film.close() is None
    pictures = pictures_of(tmp_path / "film.mp4")
    assert len(pictures) == 12
    assert pictures[0].shape == (120, 160, 3)


def test_a_session_that_ends_before_its_first_picture_leaves_no_film(tmp_path: Path) -> None:
    film = Film(tmp_path / "film.mp4", GreyPictures(), RATE_HZ)
    assert film.close() is None
    assert list(tmp_path.iterdir()) == []


def test_the_people_in_the_film_hear_the_cues(tmp_path: Path) -> None:
    cue = Cue(0, 0, "correction", "squat", "left_knee", 1, "Deeper", ("deeper",), 0.2, (), 0.0)
    film = Film(tmp_path / "film.mp4", GreyPictures(), RATE_HZ)
    for k in range(6):
        film.show(film_frame(k, heard=(cue,) if k == 3 else ()))
    film.close()
    brightness = [picture[60:].mean() for picture in pictures_of(tmp_path / "film.mp4")]
    assert max(brightness[:3]) < 100 < 200 < min(brightness[3:])


def test_pictures_that_the_session_left_out_do_not_shift_the_rest(tmp_path: Path) -> None:
    film = Film(tmp_path / "film.mp4", GreyPictures(), RATE_HZ)
    for k in (0, 1, 5, 9):
        film.show(film_frame(k))
    assert film.close() is None
    assert len(pictures_of(tmp_path / "film.mp4")) == 10


@pytest.mark.parametrize("rate_hz", [4.0, 10.0, 25.0])
def test_a_film_keeps_time_at_any_rate(tmp_path: Path, rate_hz: float) -> None:
    writer = FilmWriter(tmp_path / "film.mp4", rate_hz)
    for k in range(20):
        writer.write(7 * NS_PER_S + k * PERIOD_NS, np.zeros((120, 160, 3), np.uint8))
    writer.close()
    assert len(pictures_of(tmp_path / "film.mp4")) / rate_hz == pytest.approx(2.0, abs=max(1 / RATE_HZ, 1 / rate_hz))


@pytest.mark.parametrize("with_ffmpeg", [pytest.param(True, marks=needs_ffmpeg), False])
def test_a_film_of_an_odd_size_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_ffmpeg: bool) -> None:
    if not with_ffmpeg:
        monkeypatch.setenv("PATH", str(tmp_path))
    writer = FilmWriter(tmp_path / "film.mp4", RATE_HZ)
    for k in range(5):
        writer.write(k * PERIOD_NS, np.zeros((301, 169, 3), np.uint8))
    writer.close()
    pictures = pictures_of(tmp_path / "film.mp4")
    assert len(pictures) == 5
    assert pictures[0].shape[0] in (300, 301)


def test_a_film_goes_on_after_the_signals_of_a_terminal(tmp_path: Path) -> None:
    film = Film(tmp_path / "film.mp4", GreyPictures(), RATE_HZ)
    film.show(film_frame(0))
    process = film._process
    assert process.pid is not None
    for k in range(1, 4):
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(process.pid, number)
        film.show(film_frame(k))
        time.sleep(0.2)
    film.show(film_frame(4))
    assert film.close() is None
    assert len(pictures_of(tmp_path / "film.mp4")) == 5


def test_a_film_that_cannot_be_written_says_why_and_holds_up_nothing(tmp_path: Path) -> None:
    film = Film(tmp_path / "absent" / "film.mp4", GreyPictures(), RATE_HZ)
    for k in range(2000):
        film.show(film_frame(k % 20, image=landmarks()))
    failure = film.close()
    assert failure is not None
    assert "film.mp4" in failure


def test_a_film_whose_process_was_killed_is_reported(tmp_path: Path) -> None:
    film = Film(tmp_path / "film.mp4", GreyPictures(), RATE_HZ)
    film._process.kill()
    film._process.join()
    for k in range(3):
        film.show(film_frame(k))
    assert film.close() == "the film process died"


@needs_ffmpeg
def test_a_full_disk_is_a_store_error() -> None:
    writer = FilmWriter(Path("/dev/full"), RATE_HZ)

    def write_all() -> None:
        for k in range(2000):
            writer.write(k * PERIOD_NS, np.zeros((120, 160, 3), np.uint8))
        writer.close()

    with pytest.raises(StoreError, match="/dev/full"):
        write_all()


def test_without_ffmpeg_opencv_writes_the_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    writer = FilmWriter(tmp_path / "film.mp4", RATE_HZ)
    for k in range(5):
        writer.write(k * PERIOD_NS, np.zeros((120, 160, 3), np.uint8))
    writer.close()
    assert len(pictures_of(tmp_path / "film.mp4")) == 5
    assert "voice.wav" in str(add_sound(tmp_path / "film.mp4", tmp_path / "voice.wav"))


@needs_ffmpeg
def test_the_voice_is_laid_under_the_film(tmp_path: Path) -> None:
    writer = FilmWriter(tmp_path / "film.mp4", RATE_HZ)
    for k in range(10):
        writer.write(k * PERIOD_NS, np.zeros((120, 160, 3), np.uint8))
    writer.close()
    silent = (tmp_path / "film.mp4").stat().st_size
    with wave.open(str(tmp_path / "voice.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(np.random.default_rng(1).integers(-9000, 9000, 8000).astype("<i2").tobytes())
    assert add_sound(tmp_path / "film.mp4", tmp_path / "voice.wav") is None
    assert (tmp_path / "film.mp4").stat().st_size > silent
    assert len(pictures_of(tmp_path / "film.mp4")) == 10


@needs_ffmpeg
def test_a_broken_sound_leaves_the_film_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"a film")
    (tmp_path / "voice.wav").write_bytes(b"no sound")
    assert "no sound" in str(add_sound(tmp_path / "film.mp4", tmp_path / "voice.wav"))
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["film.mp4", "voice.wav"]


def test_colours_go_from_green_over_yellow_to_red() -> None:
    green, yellow, red = (deviation_colour(share) for share in (0.0, 0.5, 1.0))
    assert green[1] > green[0]
    assert yellow[0] > 200 < yellow[1] + 1
    assert red[0] > red[1]
    assert deviation_colour(7.0) == deviation_colour(-1.0) == red
    assert deviation_colour(float("nan")) not in (green, yellow, red)


def test_a_landmark_shows_the_larger_of_its_joints() -> None:
    deviations = np.full(12, np.nan)
    deviations[JOINT["left_hip"]], deviations[JOINT["left_hip_spread"]] = 0.2, -0.9
    shares = node_shares(deviations)
    assert shares[NODE["left_hip"]] == 0.9
    assert np.isnan(shares[NODE["left_knee"]])


def test_a_bad_joint_is_drawn_red_and_a_caption_is_drawn_at_all() -> None:
    picture = np.full((480, 640, 3), 90, np.uint8)
    deviations = np.zeros(12)
    deviations[JOINT["left_knee"]] = 1.5
    image = landmarks()
    drawn = draw(picture, film_frame(0, image=image, deviations=deviations))
    x, y = round(image[NODE["left_knee"], 0] * 640), 240
    assert tuple(drawn[y, x]) == deviation_colour(1.5)
    assert (picture == 90).all()
    captioned = draw(picture, film_frame(0, caption="Go deeper", caption_kind="correction", title="Squat", stage="execution"))
    assert (captioned[400:] != 90).any()
    assert (captioned[:90, :200] != 90).any()


@pytest.mark.parametrize("place", [(-3.0, 0.5), (9.0, 9.0), (0.0, 1.0)])
def test_landmarks_outside_the_picture_are_no_problem(place: tuple[float, float]) -> None:
    image = landmarks()
    image[:, :2] = place
    drawn = draw(np.zeros((120, 160, 3), np.uint8), film_frame(0, image=image, vibrations=((2, 0.7),), caption="x" * 300))
    assert drawn.shape == (120, 160, 3)
