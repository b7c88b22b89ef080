"""The shape of the visible body: lofts of rings, part by part, in the frames of bones, with their colours.

Tables are in metres for a body 1.71 m tall. Local axes: limbs (front, side, along), trunk and head (front, left, up),
feet (up, side, towards the toes), hands (back of the hand or palm, towards the index finger, towards the fingers). `along` is
a fraction of the bone's length where the bone has two ends, and metres for the head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.sim.body import Body
from device.sim.scene import Colour, Outfit

Floats = NDArray[np.float64]
Paint = Callable[[Floats, Floats], Floats]

BONES = (
    "trunk", "neck", "head",
    "left_arm", "right_arm", "left_forearm", "right_forearm", "left_hand", "right_hand",
    "left_thigh", "right_thigh", "left_shank", "right_shank", "left_foot", "right_foot",
)  # fmt: skip
BONE = {name: i for i, name in enumerate(BONES)}

# Rows: along, half size on the first axis, half size on the second, offset on the first.
_TRUNK = (
    (-0.20, 0.030, 0.040, 0.000), (-0.16, 0.075, 0.105, 0.000), (-0.08, 0.108, 0.158, -0.008), (0.02, 0.116, 0.170, -0.012),
    (0.14, 0.106, 0.162, -0.004), (0.28, 0.098, 0.146, 0.004), (0.42, 0.098, 0.138, 0.006), (0.56, 0.106, 0.148, 0.004),
    (0.70, 0.116, 0.162, 0.004), (0.82, 0.118, 0.172, 0.002), (0.92, 0.106, 0.176, -0.004), (1.00, 0.088, 0.166, -0.010),
    (1.06, 0.074, 0.128, -0.016), (1.12, 0.062, 0.078, -0.018), (1.16, 0.052, 0.056, -0.014), (1.18, 0.010, 0.010, -0.012),
)  # fmt: skip
_NECK = ((-0.25, 0.058, 0.060, 0.0), (0.3, 0.055, 0.056, 0.0), (1.1, 0.054, 0.054, 0.0))
_ARM = (
    (-0.18, 0.008, 0.008, 0.0), (-0.15, 0.030, 0.030, 0.0), (-0.08, 0.046, 0.046, 0.0), (0.04, 0.053, 0.053, 0.0),
    (0.20, 0.053, 0.052, 0.002), (0.45, 0.049, 0.046, 0.004), (0.70, 0.044, 0.041, 0.002), (0.92, 0.039, 0.040, 0.0),
    (1.05, 0.037, 0.038, 0.0), (1.12, 0.028, 0.028, 0.0), (1.14, 0.006, 0.006, 0.0),
)  # fmt: skip
_FOREARM = (
    (-0.14, 0.006, 0.006, 0.0), (-0.11, 0.028, 0.028, 0.0), (-0.02, 0.038, 0.039, 0.0), (0.18, 0.043, 0.042, 0.0),
    (0.40, 0.040, 0.039, 0.0), (0.65, 0.033, 0.032, 0.0), (0.86, 0.027, 0.028, 0.0), (1.00, 0.026, 0.028, 0.0),
    (1.06, 0.018, 0.020, 0.0),
)  # fmt: skip
_THIGH = (
    (-0.16, 0.020, 0.020, 0.0), (-0.12, 0.060, 0.060, 0.0), (-0.04, 0.084, 0.082, -0.004), (0.10, 0.090, 0.086, -0.004),
    (0.30, 0.084, 0.079, 0.002), (0.55, 0.073, 0.068, 0.004), (0.80, 0.061, 0.058, 0.002), (0.96, 0.057, 0.055, 0.002),
    (1.06, 0.048, 0.047, 0.0), (1.11, 0.010, 0.010, 0.0),
)  # fmt: skip
_SHANK = (
    (-0.12, 0.010, 0.010, 0.0), (-0.09, 0.044, 0.042, 0.004), (0.00, 0.056, 0.053, 0.004), (0.10, 0.055, 0.052, -0.004),
    (0.26, 0.060, 0.056, -0.014), (0.45, 0.053, 0.049, -0.012), (0.68, 0.040, 0.038, -0.004), (0.86, 0.034, 0.032, 0.0),
    (1.00, 0.036, 0.034, 0.0), (1.08, 0.030, 0.030, 0.0),
)  # fmt: skip
_FOOT = (
    (-0.04, 0.010, 0.010, 0.024), (-0.01, 0.040, 0.028, 0.030), (0.10, 0.052, 0.034, 0.040), (0.28, 0.050, 0.037, 0.036),
    (0.45, 0.038, 0.040, 0.022), (0.62, 0.031, 0.045, 0.013), (0.80, 0.026, 0.046, 0.008), (0.95, 0.021, 0.040, 0.004),
    (1.03, 0.015, 0.026, 0.000), (1.06, 0.005, 0.006, -0.002),
)  # fmt: skip
_PALM = (
    (-0.16, 0.006, 0.010, 0.0), (-0.08, 0.019, 0.026, 0.0), (0.20, 0.019, 0.032, 0.0), (0.60, 0.016, 0.039, 0.0),
    (1.00, 0.014, 0.041, 0.0), (1.10, 0.008, 0.036, 0.0),
)  # fmt: skip
# Head: up, then half width, front edge and back edge.
_HEAD = (
    (-0.122, 0.010, 0.072, 0.050), (-0.114, 0.026, 0.086, 0.020), (-0.098, 0.040, 0.091, -0.010), (-0.070, 0.056, 0.092, -0.040),
    (-0.035, 0.066, 0.094, -0.068), (0.000, 0.072, 0.095, -0.086), (0.035, 0.075, 0.097, -0.094), (0.065, 0.074, 0.094, -0.095),
    (0.090, 0.067, 0.080, -0.088), (0.110, 0.052, 0.056, -0.070), (0.122, 0.032, 0.030, -0.044), (0.128, 0.006, 0.000, -0.012),
)  # fmt: skip
_FINGERS = ((0.030, 0.062), (0.010, 0.072), (-0.012, 0.067), (-0.033, 0.052))
"""Place across the palm and length, from the index to the little finger."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A piece of surface on one bone: `vertices` (v, 3) local, `faces` (f, 4), `albedo` (f, 3), `lift` m towards the viewer."""

    bone: int
    vertices: Floats
    faces: NDArray[np.int64]
    albedo: Floats
    lift: float = 0.0


@dataclass(frozen=True, slots=True)
class Girths:
    """How thick the body is, as multiples of the tables."""

    trunk_width: float
    trunk_depth: float
    arm: float
    leg: float
    hand: float
    head: float


def girths_of(body: Body) -> Girths:
    """The thickness of `body` beside the tables, whose body is average and 1.71 m tall."""
    return Girths(
        trunk_width=0.5 * body.shoulder_half / 0.185 + 0.5 * body.trunk_radius / 0.128,
        trunk_depth=body.trunk_radius / 0.128,
        arm=body.upper_arm_radius / 0.048,
        leg=body.thigh_radius / 0.079,
        hand=body.height_m / 1.71,
        head=body.height_m / 1.71,
    )


def figure_parts(girths: Girths, outfit: Outfit) -> list[Part]:
    """All parts of the dressed body."""
    rng = np.random.default_rng(outfit.seed)
    parts = [_trunk(girths, outfit, rng), _loft("neck", _NECK, girths.arm, girths.arm, 8, 14, _plain(outfit.skin), rng)]
    parts += _head(girths, outfit, rng)
    for side in ("left", "right"):
        parts += _arm(side, girths, outfit, rng) + _hand(side, girths, outfit, rng) + _leg(side, girths, outfit, rng)
    return parts


def _trunk(girths: Girths, outfit: Outfit, rng: np.random.Generator) -> Part:
    neckline = 1.05 if outfit.sleeve else 0.98

    def paint(along: Floats, angle: Floats) -> Floats:
        front = np.cos(angle)
        # The neckline dips at the front; a tank top leaves the shoulders bare.
        cut = neckline - 0.10 * np.maximum(front, 0.0) + (0.0 if outfit.sleeve else 0.10 * np.abs(np.sin(angle)) ** 0.5)
        colour = np.where((along < cut)[:, None], outfit.shirt, outfit.skin)
        return np.where((along < 0.10)[:, None], outfit.trousers, colour)

    return _loft("trunk", _TRUNK, girths.trunk_depth, girths.trunk_width, 24, 28, paint, rng, exponent=2.35)


def _arm(side: str, girths: Girths, outfit: Outfit, rng: np.random.Generator) -> list[Part]:
    upper = _sleeved(outfit.skin, outfit.shirt, outfit.sleeve)
    lower = _banded(_sleeved(outfit.skin, outfit.shirt, outfit.sleeve - 1.0), outfit.band, 0.84, 0.98)
    return [
        _loft(f"{side}_arm", _ARM, girths.arm, girths.arm, 15, 14, upper, rng, puff=(outfit.sleeve, outfit.looseness)),
        _loft(f"{side}_forearm", _FOREARM, girths.arm, girths.arm, 15, 14, lower, rng),
    ]


def _leg(side: str, girths: Girths, outfit: Outfit, rng: np.random.Generator) -> list[Part]:
    upper = _sleeved(outfit.skin, outfit.trousers, outfit.leg)
    sock = _banded(_sleeved(outfit.skin, outfit.trousers, outfit.leg - 1.0), (225, 225, 222), 0.93, 1.2)
    lower = _banded(sock, outfit.band, 0.80, 0.91)
    shoe = _shoe(outfit)
    return [
        _loft(f"{side}_thigh", _THIGH, girths.leg, girths.leg, 16, 18, upper, rng, puff=(outfit.leg, outfit.looseness)),
        _loft(f"{side}_shank", _SHANK, girths.leg, girths.leg, 18, 16, lower, rng),
        _loft(f"{side}_foot", _FOOT, 1.0, girths.hand, 14, 16, shoe, rng, exponent=2.8),
    ]


def _hand(side: str, girths: Girths, outfit: Outfit, rng: np.random.Generator) -> list[Part]:
    bone, scale = f"{side}_hand", girths.hand
    skin = _plain(outfit.skin)
    parts = [_loft(bone, _PALM, scale, scale, 8, 12, skin, rng)]
    palm = -1.0 if side == "left" else 1.0
    for across, length in _FINGERS:
        path = np.array(
            [[0.0, across, 0.95], [palm * 0.12 * length, across * 1.08, 1.0], [palm * 0.5 * length, across * 1.1, 1.0]]
        )
        reach = np.array([0.0, 0.55 * length, 0.9 * length])
        parts.append(_finger(bone, path, reach, 0.0095 * scale, scale, outfit.skin, rng))
    thumb = np.array([[0.0, 0.024, 0.25], [palm * 0.008, 0.048, 0.50], [palm * 0.014, 0.060, 0.60]])
    parts.append(_finger(bone, thumb, np.array([0.0, 0.006, 0.028]), 0.0115 * scale, scale, outfit.skin, rng))
    return parts


def _finger(bone: str, path: Floats, reach: Floats, radius: float, scale: float, skin: Colour, rng: np.random.Generator) -> Part:
    """A finger along `path` (3, 3) in the hand's frame; `reach` (3,) m is added along the hand in metres of a 0.09 m palm."""
    centres = path * np.array([scale, scale, 1.0])
    centres[:, 2] += reach / 0.09
    knots = np.array([0.0, 0.5, 1.0])
    at = np.linspace(0.0, 1.0, 5)
    line = np.stack([np.interp(at, knots, centres[:, i]) for i in range(3)], axis=1)
    turns = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    size = radius * np.array([1.0, 1.0, 0.95, 0.9, 0.35])
    ring = np.stack([np.cos(turns), np.sin(turns), np.zeros(6)], axis=1)
    vertices = (line[:, None, :] + size[:, None, None] * ring).reshape(-1, 3)
    faces = _grid(5, 6)
    return Part(BONE[bone], vertices, faces, _grain(np.tile(np.array(skin) * 0.97, (len(faces), 1)), 0.01, rng))


def _head(girths: Girths, outfit: Outfit, rng: np.random.Generator) -> list[Part]:
    table = np.array(_HEAD)
    up = np.linspace(table[0, 0], table[-1, 0], 23)
    half, front, back = (np.interp(up, table[:, 0], table[:, i]) for i in (1, 2, 3))
    turns = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    x = (front + back)[:, None] / 2 + (front - back)[:, None] / 2 * _power(np.cos(turns), 0.92)
    y = half[:, None] * _power(np.sin(turns), 0.92)
    skull = np.stack([x, y, np.broadcast_to(up[:, None], x.shape)], axis=-1)
    faces = _grid(23, 28)
    scale = np.full(3, girths.head)
    centre = skull.reshape(-1, 3)[faces].mean(axis=1)
    hair = _is_hair(centre, outfit.hair_style)
    vertices = skull.reshape(-1, 3).copy()
    thick = np.zeros(len(vertices))
    thick[np.unique(faces[hair])] = 1.0
    vertices *= 1.0 + 0.055 * thick[:, None]
    albedo = np.where(hair[:, None], np.array(outfit.hair), np.array(outfit.skin))
    cheek = (np.abs(centre[:, 1]) > 0.025) & (centre[:, 2] < -0.01) & (centre[:, 2] > -0.06) & (centre[:, 0] > 0.05)
    albedo = np.where((cheek & ~hair)[:, None], albedo * np.array([1.02, 0.94, 0.93]), albedo)
    albedo = _grain(albedo, np.where(hair, 0.10, 0.01), rng)
    head = Part(BONE["head"], vertices * scale, faces, albedo)
    return [head, *_face(scale, outfit), *_hair_parts(scale, outfit, rng)]


def _is_hair(centre: Floats, style: str) -> NDArray[np.bool_]:
    x, y, up = centre[:, 0], np.abs(centre[:, 1]), centre[:, 2]
    if style == "bald":
        return np.zeros(len(x), dtype=np.bool_)
    line = 0.082 - 0.012 * np.cos(y / 0.075 * np.pi)
    hair = (up > line) | ((x < 0.035) & (up > 0.03)) | ((x < -0.015) & (up > -0.055))
    if style == "long":
        hair |= (x < 0.03) & (y > 0.03) & (up > -0.09)
    return np.asarray(hair)


def _hair_parts(scale: Floats, outfit: Outfit, rng: np.random.Generator) -> list[Part]:
    if outfit.hair_style == "bun":
        return [_ball(np.array([-0.105, 0.0, 0.06]) * scale, np.array([0.038, 0.042, 0.04]), outfit.hair, 0.08, rng)]
    if outfit.hair_style == "long":
        return [_ball(np.array([-0.07, 0.0, -0.08]) * scale, np.array([0.035, 0.066, 0.085]), outfit.hair, 0.08, rng)]
    return []


def _face(scale: Floats, outfit: Outfit) -> list[Part]:
    """Eyes, brows, nose, mouth and ears, where the landmarks have them (nose 0.116 before the ears, eyes 0.017 above)."""
    skin, hair = np.array(outfit.skin), np.array(outfit.hair)
    dark = skin * 0.72
    lips = skin * np.array([0.82, 0.55, 0.55])
    parts = []
    for side in (1.0, -1.0):
        eye = np.array([0.093, side * 0.032, 0.018])
        parts.append(_patch(eye, 0.0155, 0.0075, (238, 236, 232), scale, 0.010, side))
        parts.append(_patch(eye + np.array([0.003, 0.0, 0.0]), 0.0066, 0.0068, (44, 30, 24), scale, 0.014, side))
        parts.append(_patch(eye + np.array([0.001, 0.0, 0.0085]), 0.0170, 0.0022, tuple(dark * 0.7), scale, 0.013, side))
        brow = hair if outfit.hair_style != "bald" else dark * 0.6
        parts.append(_patch(eye + np.array([0.004, side * 0.001, 0.0205]), 0.0185, 0.0036, tuple(brow * 0.8), scale, 0.012, side))
        parts.append(_patch(np.array([0.100, side * 0.011, -0.026]), 0.0055, 0.0035, tuple(dark * 0.75), scale, 0.020, side))
        ear = _ball(
            np.array([-0.004, side * 0.076, 0.004]) * scale, np.array([0.020, 0.009, 0.032]), tuple(skin * 0.93), 0.01, None
        )
        parts.append(ear)
    parts.append(_patch(np.array([0.096, 0.0, -0.053]), 0.0255, 0.0050, tuple(lips), scale, 0.012, 0.0))
    parts.append(_patch(np.array([0.098, 0.0, -0.0525]), 0.0235, 0.0012, tuple(lips * 0.55), scale, 0.015, 0.0))
    parts.append(_patch(np.array([0.096, 0.0, -0.071]), 0.0160, 0.0022, tuple(dark), scale, 0.010, 0.0))
    parts.append(_nose(scale, outfit.skin))
    return parts


def _nose(scale: Floats, skin: Colour) -> Part:
    bridge, tip, base = (0.098, 0.0, 0.022), (0.121, 0.0, -0.016), (0.098, 0.0, -0.030)
    left, right = (0.096, 0.018, -0.024), (0.096, -0.018, -0.024)
    upper_left, upper_right = (0.094, 0.009, 0.020), (0.094, -0.009, 0.020)
    vertices = np.array([bridge, tip, base, left, right, upper_left, upper_right]) * scale
    faces = np.array([[5, 3, 1, 0], [0, 1, 4, 6], [3, 2, 1, 1], [2, 4, 1, 1]])
    albedo = np.array(skin) * np.array([[0.97], [0.97], [0.80], [0.80]])
    return Part(BONE["head"], vertices, faces, albedo, 0.008)


def _patch(centre: Floats, wide: float, high: float, colour: Colour, scale: Floats, lift: float, side: float) -> Part:
    """A flat ellipse on the face, turned outwards a little on its side."""
    turns = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    y, z = wide * np.cos(turns), high * np.sin(turns)
    x = -0.35 * side * y - 6.0 * y**2
    vertices = (centre + np.stack([x, y, z], axis=1)) * scale
    faces = np.array([[0, 1, 2, 3], [0, 3, 4, 5], [0, 5, 6, 7], [0, 7, 8, 9]])
    return Part(BONE["head"], vertices, faces, np.tile(np.array(colour, dtype=np.float64), (4, 1)), lift)


def _ball(centre: Floats, size: Floats, colour: Colour, grain: float, rng: np.random.Generator | None) -> Part:
    rise = np.linspace(-0.98, 0.98, 7) * np.pi / 2
    turns = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    unit = np.stack(
        [np.cos(rise)[:, None] * np.cos(turns), np.cos(rise)[:, None] * np.sin(turns), np.tile(np.sin(rise)[:, None], 10)],
        axis=-1,
    )
    faces = _grid(7, 10)
    albedo = np.tile(np.array(colour, dtype=np.float64), (len(faces), 1))
    return Part(BONE["head"], centre + unit.reshape(-1, 3) * size, faces, _grain(albedo, grain, rng) if rng else albedo)


def _plain(colour: Colour) -> Paint:
    return lambda along, _: np.tile(np.array(colour, dtype=np.float64), (len(along), 1))


def _sleeved(skin: Colour, cloth: Colour, reach: float) -> Paint:
    return lambda along, _: np.where((along < reach)[:, None], np.array(cloth), np.array(skin))


def _banded(below: Paint, band: Colour, start: float, end: float) -> Paint:
    return lambda along, angle: np.where(((along > start) & (along < end))[:, None], np.array(band), below(along, angle))


def _shoe(outfit: Outfit) -> Paint:
    # The sole is the half of the ring that faces the ground; the rings' first axis points up.
    return lambda _, angle: np.where((np.cos(angle) < -0.62)[:, None], np.array(outfit.sole), np.array(outfit.shoes))


def _loft(
    bone: str,
    rows: tuple[tuple[float, float, float, float], ...],
    first: float,
    second: float,
    n_rings: int,
    n_turns: int,
    paint: Paint,
    rng: np.random.Generator,
    *,
    exponent: float = 2.0,
    puff: tuple[float, float] = (0.0, 1.0),
) -> Part:
    """Rings from a table; `first` and `second` scale the half sizes; cloth up to `puff[0]` is `puff[1]` times as wide."""
    table = np.array(rows)
    # Half of the rings follow the table's spacing, which is finer where the shape bends.
    even = np.linspace(table[0, 0], table[-1, 0], n_rings)
    spaced = np.interp(np.linspace(0, 1, n_rings), np.linspace(0, 1, len(table)), table[:, 0])
    along = (even + spaced) / 2
    a, b, offset = (np.interp(along, table[:, 0], table[:, i]) for i in (1, 2, 3))
    wide = np.where((along > 0.0) & (along < puff[0]), 1.0 + (puff[1] - 1.0) * along / max(puff[0], 0.5), 1.0)
    turns = np.linspace(0, 2 * np.pi, n_turns, endpoint=False)
    x = (a * first * wide)[:, None] * _power(np.cos(turns), 2 / exponent) + (offset * first)[:, None]
    y = (b * second * wide)[:, None] * _power(np.sin(turns), 2 / exponent)
    vertices = np.stack([x, y, np.broadcast_to(along[:, None], x.shape)], axis=-1).reshape(-1, 3)
    faces = _grid(n_rings, n_turns)
    middle_along = np.repeat((along[1:] + along[:-1]) / 2, n_turns)
    middle_angle = np.tile(turns + np.pi / n_turns, n_rings - 1)
    return Part(BONE[bone], vertices, faces, _grain(paint(middle_along, middle_angle), 0.035, rng))


def _grid(n_rings: int, n_turns: int) -> NDArray[np.int64]:
    """Quadrilaterals between consecutive rings, seen from outside in one sense of rotation."""
    ring, turn = np.divmod(np.arange((n_rings - 1) * n_turns), n_turns)
    after = (turn + 1) % n_turns
    low, high = ring * n_turns, (ring + 1) * n_turns
    return np.stack([low + turn, low + after, high + after, high + turn], axis=1)


def _power(x: Floats, exponent: float) -> Floats:
    return np.asarray(np.sign(x) * np.abs(x) ** exponent)


def _grain(albedo: Floats, amount: float | Floats, rng: np.random.Generator) -> Floats:
    """Colours that differ a little from face to face, as cloth and skin do."""
    spread = np.broadcast_to(np.asarray(amount), len(albedo))
    return np.asarray(albedo * (1.0 + spread * rng.standard_normal(len(albedo)))[:, None])
