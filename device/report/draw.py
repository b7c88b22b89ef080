"""What the film shows on top of a picture: skeleton, exercise, repetitions, captions and vibration."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.messages import NS_PER_S, Array, Cue
from device.skeleton import BAND_NODES, EDGES, JOINTS, N_NODES

Picture = NDArray[np.uint8]

WHITE = (245, 245, 245)
GREY = (165, 170, 178)
PANEL = (18, 20, 26)
CAPTION_COLOURS = {"correction": (255, 176, 59), "praise": (110, 220, 130), "summary": (120, 190, 255), "notice": (205, 150, 235)}
SCALE = np.array([(70, 205, 95), (250, 215, 60), (240, 60, 50)], np.float64)
"""Colours of a joint on the standard, half-way to the threshold and beyond it."""

FACE_NODES = frozenset(range(1, 11))
MIN_VISIBILITY = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class FilmFrame:
    """What was known of one picture when it was taken.

    `image`: (33, 4) landmarks as in `Pose`, None where nobody was found. `deviations`: (12,) shares of the correction
    threshold, NaN where none is known. `title`: exercise for people, empty outside a set. `vibrations`: (band, intensity).
    `heard`: the cues that the trainee has heard since the picture before.
    """

    t_ns: int
    image: Array | None
    deviations: NDArray[np.float64]
    title: str
    stage: str
    repetitions: int
    phase: float
    caption: str
    caption_kind: str
    vibrations: tuple[tuple[int, float], ...]
    heard: tuple[Cue, ...]


def draw(picture: Picture, frame: FilmFrame) -> Picture:
    """`picture` (height, width, 3) RGB with everything on it; a new array of the same shape."""
    canvas = np.ascontiguousarray(picture).copy()
    if frame.image is not None:
        _skeleton(canvas, frame.image, frame.deviations)
        for band, intensity in frame.vibrations:
            _vibration(canvas, frame.image[BAND_NODES[band]], intensity, frame.t_ns)
    _status(canvas, frame)
    if frame.caption:
        _caption(canvas, frame.caption, CAPTION_COLOURS.get(frame.caption_kind, WHITE))
    return canvas


def deviation_colour(share: float) -> tuple[int, int, int]:
    """Green at 0, yellow at half of the threshold, red from the threshold on; grey where the deviation is unknown."""
    if not np.isfinite(share):
        return GREY
    place = min(abs(share), 1.0) * (len(SCALE) - 1)
    low = min(int(place), len(SCALE) - 2)
    r, g, b = SCALE[low] + (SCALE[low + 1] - SCALE[low]) * (place - low)
    return int(r), int(g), int(b)


def node_shares(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """(33,) largest share of the threshold among the joints at each landmark; NaN where there is no joint or no deviation."""
    shares = np.full(N_NODES, np.nan)
    for joint, share in zip(JOINTS, np.abs(deviations), strict=True):
        shares[joint.b] = np.fmax(shares[joint.b], share)
    return shares


def _skeleton(canvas: Picture, image: Array, deviations: NDArray[np.float64]) -> None:
    import cv2

    height, width = canvas.shape[:2]
    points = np.rint(image[:, :2] * (width, height)).clip(-10_000, 10_000).astype(int)
    seen = image[:, 3] >= MIN_VISIBILITY
    shares = node_shares(deviations)
    for i, j in EDGES:
        if i in FACE_NODES or j in FACE_NODES:
            continue
        worst = np.fmax(shares[i], shares[j])
        colour = deviation_colour(worst) if seen[i] and seen[j] else GREY
        cv2.line(canvas, tuple(points[i]), tuple(points[j]), colour, 3 if seen[i] and seen[j] else 1, cv2.LINE_AA)
    for node in sorted({joint.b for joint in JOINTS}):
        if seen[node]:
            cv2.circle(canvas, tuple(points[node]), 7, PANEL, -1, cv2.LINE_AA)
            cv2.circle(canvas, tuple(points[node]), 5, deviation_colour(shares[node]), -1, cv2.LINE_AA)


def _vibration(canvas: Picture, landmark: Array, intensity: float, t_ns: int) -> None:
    import cv2

    height, width = canvas.shape[:2]
    centre = (int(landmark[0] * width), int(landmark[1] * height))
    spread = 10 + int(8 * (t_ns % NS_PER_S) / NS_PER_S * 4) % 8
    for radius in (spread, spread + 8):
        cv2.circle(canvas, centre, radius, CAPTION_COLOURS["correction"], 1 + round(2 * intensity), cv2.LINE_AA)


def _status(canvas: Picture, frame: FilmFrame) -> None:
    width = canvas.shape[1]
    seconds = frame.t_ns // NS_PER_S
    clock = _text(f"{seconds // 60}:{seconds % 60:02d}", 15, WHITE)
    _shade(canvas, width - clock.shape[1] - 24, 10, clock.shape[1] + 14, 26)
    _paste(canvas, clock, width - clock.shape[1] - 17, 14)
    if not frame.title:
        return
    title, stage = _text(frame.title, 20, WHITE), _text(frame.stage, 14, GREY)
    count = _text(str(frame.repetitions), 40, WHITE)
    panel = max(title.shape[1], stage.shape[1]) + count.shape[1] + 52
    _shade(canvas, 10, 10, panel, 70)
    _paste(canvas, title, 22, 17)
    _paste(canvas, stage, 22, 44)
    _paste(canvas, count, 10 + panel - count.shape[1] - 16, 17)
    bar = round((panel - 24) * float(np.clip(frame.phase, 0, 1)))
    canvas[70:74, 22 : 10 + panel - 12] = (70, 74, 82)
    canvas[70:74, 22 : 22 + bar] = SCALE[0].astype(np.uint8)


def _caption(canvas: Picture, text: str, colour: tuple[int, int, int]) -> None:
    height, width = canvas.shape[:2]
    sprite = _text(text, 26, colour)
    if sprite.shape[1] > width - 40:
        sprite = _text(text, max(10, 26 * (width - 40) // sprite.shape[1]), colour)
    left, top = (width - sprite.shape[1]) // 2, height - sprite.shape[0] - 26
    _shade(canvas, left - 14, top - 8, sprite.shape[1] + 28, sprite.shape[0] + 16)
    _paste(canvas, sprite, left, top)


def _shade(canvas: Picture, left: int, top: int, width: int, height: int) -> None:
    """Darken a rectangle so that text on it is read on any background."""
    area = canvas[max(top, 0) : top + height, max(left, 0) : left + width]
    area[:] = (area.astype(np.uint16) * 90 + np.array(PANEL, np.uint16) * 166) >> 8


def _paste(canvas: Picture, sprite: NDArray[np.uint8], left: int, top: int) -> None:
    area = canvas[top : top + sprite.shape[0], left : left + sprite.shape[1]]
    part = sprite[: area.shape[0], : area.shape[1]].astype(np.uint16)
    alpha = part[..., 3:]
    area[:] = (area * (255 - alpha) + part[..., :3] * alpha) // 255


@functools.lru_cache(maxsize=256)
def _text(text: str, size: int, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """(h, w, 4) RGBA sprite of one line. Cached: a caption stays for many pictures."""
    from PIL import Image, ImageDraw

    font = _font(size)
    left, _, right, _ = font.getbbox(text)
    ascent, descent = font.getmetrics()
    image = Image.new("RGBA", (max(1, int(right - left) + 2), ascent + descent), (*colour, 0))
    ImageDraw.Draw(image).text((-left, 0), text, font=font, fill=(*colour, 255))
    return np.asarray(image)


@functools.lru_cache(maxsize=8)
def _font(size: int) -> Any:
    import matplotlib
    from PIL import ImageFont

    # matplotlib carries the font, so that the film looks the same on every machine.
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans-Bold.ttf", size)
