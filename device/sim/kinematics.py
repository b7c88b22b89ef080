"""From motion parameters to landmarks: planted feet and hands, solved limbs, all samples at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.sim.body import Body
from device.skeleton import N_NODES, NODE

Array = NDArray[np.float64]

CENTRAL: dict[str, float] = {
    "yaw": 0.0,  # where the pelvis faces, deg, 0 along +x, positive to the left
    "hips_x": 0.03,  # pelvis ahead of the place, leg lengths
    "hips_y": 0.0,  # pelvis to the left of the place, leg lengths
    "trunk": 2.0,  # trunk leaning forward, deg
    "lean": 0.0,  # trunk leaning to the left, deg
    "twist": 0.0,  # shoulders turned to the left against the pelvis, deg
    "hop": 0.0,  # both feet off the floor, leg lengths
    "nod": 0.0,  # head bent forward against half of the trunk's lean, deg
    "look": 0.0,  # head turned to the left, deg
    "prone": 0.0,  # 1: the body hangs between planted hands and toes instead of standing on its feet
    "hips": 0.0,  # prone: hip angle beyond straight, deg; positive sags
}
"""Parameters of the whole body with their values in a relaxed stance."""

SIDED: dict[str, float] = {
    "knee": 172.0,  # included angle of the knee while the leg supports, deg
    "support": 1.0,  # share of this leg in carrying the pelvis
    "foot_x": 0.0,  # ankle ahead of the place, leg lengths
    "spread": 4.0,  # straight leg's angle outwards, deg
    "lift": 0.0,  # foot off the floor, leg lengths
    "heel": 0.0,  # heel raised over the planted toes, deg
    "toe_out": 10.0,  # foot turned outwards, deg
    "foot_yaw": 0.0,  # the planted foot's turn about the place, deg
    "knees_out": 4.0,  # leg's plane turned outwards about the line hip-ankle, deg
    "flex": 4.0,  # upper arm forwards, deg
    "abduct": 8.0,  # upper arm outwards, deg
    "rotate": -12.0,  # direction in which the elbow bends, deg: 0 forwards, 90 on outwards, -90 inwards
    "elbow": 162.0,  # included angle of the elbow, deg
    "pronate": 80.0,  # back of the hand: 0 palm to the front, 90 palm to the thigh, 180 palm to the back
    "plant": 0.0,  # 1: the hand is on the floor
    "hand_x": 0.0,  # planted hand ahead of the place below the shoulder in a plank, leg lengths
    "hand_y": 1.35,  # planted hand's distance from the midline, half shoulder widths
    "flare": 45.0,  # planted arm: elbow's direction, deg: 0 towards the feet, 90 sideways
}
"""Parameters of each side; the columns are left, right."""

COLUMNS: tuple[str, ...] = (*CENTRAL, *(f"{side}_{name}" for name in SIDED for side in ("left", "right")))
COLUMN: dict[str, int] = {name: i for i, name in enumerate(COLUMNS)}
RELAXED: Array = np.array([*CENTRAL.values(), *(value for value in SIDED.values() for _ in range(2))])
RELAXED.flags.writeable = False

PLANK_FOOT_X = -0.86
PLANK_HEEL = 68.0
PLANK_ELBOW = 168.0
"""The plank over which `hand_x` is zero: shoulders above the hands for every body."""

STRAIGHTEST = 0.9993
"""Longest hip to ankle distance in leg lengths: the pelvis sinks rather than overstretch a planted leg."""

_SIDE = np.array([1.0, -1.0])
_FACE: dict[str, tuple[float, float, float]] = {
    "nose": (0.078, 0.0, 0.078),
    "left_eye_inner": (0.062, 0.010, 0.096), "left_eye": (0.060, 0.019, 0.096), "left_eye_outer": (0.054, 0.028, 0.096),
    "left_ear": (0.010, 0.046, 0.086), "mouth_left": (0.064, 0.015, 0.055),
}  # fmt: skip
"""Forwards, left, up from the neck's pivot, in statures."""
_BAND_INSET_M = 0.035


@dataclass(frozen=True, slots=True, eq=False)
class Posture:
    """`landmarks` (n, 33, 3) m in the world; `band_positions` (n, 4, 3) m and `band_axes` (n, 4, 3, 3), columns x along the
    limb towards hand or foot, z out of the back of the hand or the outer shin; order of skeleton.BANDS."""

    landmarks: Array
    band_positions: Array
    band_axes: Array


def posture(body: Body, parameters: Array) -> Posture:
    """Solve the body for `parameters` (n, len(COLUMNS)); degrees and body-relative units as listed above."""
    p = np.asarray(parameters, dtype=np.float64)
    n = len(p)
    yaw = np.radians(_central(p, "yaw"))
    turn = _about_z(yaw)
    ankle, toe, heel = _feet(body, p)
    upright, pitch = _standing_pelvis(body, p, ankle, turn)
    prone = _central(p, "prone")
    if np.any(prone > 1e-9):
        hung, hung_pitch = _hanging_pelvis(body, p, turn)
        upright = upright + prone[:, None] * (hung - upright)
        pitch = pitch + prone * (hung_pitch - pitch)
    pelvis = upright
    trunk = turn @ _about_y(pitch) @ _about_x(-np.radians(_central(p, "lean")))
    shoulders_frame = trunk @ _about_z(np.radians(_central(p, "twist")))
    pelvis = pelvis - _out_of_reach(body, p, pelvis + body.trunk * trunk[:, :, 2], shoulders_frame, turn)
    hip = _abreast(pelvis, body.hip_half, turn)
    chest = pelvis + body.trunk * trunk[:, :, 2]
    shoulder = _abreast(chest, body.shoulder_half, shoulders_frame)

    forward = (turn @ _about_y(0.5 * pitch))[:, None, :, 0]
    knee, ankle, pole = _leg(body, hip, ankle, forward, _sided(p, "knees_out"))
    elbow, wrist, back, hand, palm = _arm(body, p, shoulder, shoulders_frame, turn)

    x = np.empty((n, N_NODES, 3))
    for name, value in (("shoulder", shoulder), ("elbow", elbow), ("wrist", wrist), ("hip", hip), ("knee", knee)):
        x[:, NODE[f"left_{name}"]], x[:, NODE[f"right_{name}"]] = value[:, 0], value[:, 1]
    for name, value in (("ankle", ankle), ("heel", heel), ("foot_index", toe)):
        x[:, NODE[f"left_{name}"]], x[:, NODE[f"right_{name}"]] = value[:, 0], value[:, 1]
    _fingers(body, x, wrist, hand, palm)
    _head(body, p, x, chest, trunk, turn, pitch)

    positions, axes = _bands(body, elbow, wrist, back, hip, knee, ankle, pole)
    return Posture(x, positions, axes)


def _central(p: Array, name: str) -> Array:
    return np.asarray(p[:, COLUMN[name]])


def _sided(p: Array, name: str) -> Array:
    i = COLUMN[f"left_{name}"]
    return np.asarray(p[:, i : i + 2])


def _abreast(centre: Array, half: float, frame: Array) -> Array:
    """Left and right joint (n, 2, 3) on either side of `centre`."""
    return np.asarray(centre[:, None, :] + (half * _SIDE)[:, None] * frame[:, None, :, 1])


def _feet(body: Body, p: Array) -> tuple[Array, Array, Array]:
    """Ankle, foot index and heel, each (n, 2, 3): the foot turns about its toes, which stay where they are."""
    out = np.radians(_sided(p, "toe_out"))
    raised = np.radians(_sided(p, "heel"))
    x = _sided(p, "foot_x") * body.leg
    y = _SIDE * (body.hip_half + body.leg * np.sin(np.radians(_sided(p, "spread"))))
    toe_height = 0.35 * body.ankle_height
    up = _sided(p, "lift") * body.leg + _central(p, "hop")[:, None] * body.leg
    along_x, along_y = np.cos(out), _SIDE * np.sin(out)
    toe_x, toe_y = x + body.toe * along_x, y + body.toe * along_y

    def behind(back: float, height: float) -> Array:
        reach = -back * np.cos(raised) + height * np.sin(raised)
        rise = back * np.sin(raised) + height * np.cos(raised)
        return np.stack([toe_x + reach * along_x, toe_y + reach * along_y, toe_height + rise + up], -1)

    ankle = behind(body.toe, body.ankle_height - toe_height)
    heel = behind(body.toe + body.heel, 0.25 * body.ankle_height - toe_height)
    toe = np.stack([toe_x, toe_y, toe_height + up], -1)
    turn = _about_z(np.radians(_sided(p, "foot_yaw")))
    ankle, toe, heel = ((turn @ v[..., None])[..., 0] for v in (ankle, toe, heel))
    return ankle, toe, heel


def _standing_pelvis(body: Body, p: Array, ankle: Array, turn: Array) -> tuple[Array, Array]:
    """Pelvis (n, 3) at the height at which the supporting legs have their knee angles, and the trunk's pitch (n,)."""
    reach = _two_bones(body.thigh, body.shank, np.radians(_sided(p, "knee")))
    local = np.stack([_central(p, "hips_x") * body.leg, _central(p, "hips_y") * body.leg, np.zeros(len(p))], -1)
    centre = (turn @ local[..., None])[..., 0]
    hip = _abreast(centre, body.hip_half, turn)
    across = ((ankle - hip)[..., :2] ** 2).sum(-1)
    standing = ankle[..., 2] - _sided(p, "lift") * body.leg
    height = standing + np.sqrt(_positive(reach**2 - across, 0.02 * body.leg**2))
    support = _sided(p, "support")
    carried = (height * support).sum(-1) / np.maximum(support.sum(-1), 1e-6)
    highest = ankle[..., 2] + np.sqrt(_positive((STRAIGHTEST * body.leg) ** 2 - across, 0.02 * body.leg**2))
    centre[:, 2] = _lowest(np.concatenate([carried[:, None], highest], 1), 0.0008 * body.leg)
    return centre, np.radians(_central(p, "trunk"))


def _hanging_pelvis(body: Body, p: Array, turn: Array) -> tuple[Array, Array]:
    """Pelvis (n, 3) and trunk pitch (n,) between the hands and the toes further back, from elbow and hip angles.

    Solved in the plane x, z, written as complex numbers.
    """
    ankle = _feet_unturned(body, p)
    across = (_SIDE * body.hip_half - ankle[..., 1]) ** 2
    legs = np.sqrt(
        _positive(_two_bones(body.thigh, body.shank, np.radians(_sided(p, "knee"))) ** 2 - across, 0.002 * body.leg**2)
    )
    bend = np.radians(_central(p, "hips"))
    behind = (ankle.min(1)[:, :1] - ankle[..., 0]) / (0.02 * body.leg)
    rear = np.exp(behind) / np.exp(behind).sum(-1, keepdims=True)
    foot = ((ankle[..., 0] + 1j * ankle[..., 2]) * rear).sum(-1)
    leg = (legs * rear).sum(-1)
    hand = _hand_places(body, p)
    place = (hand[..., 0] + 1j * hand[..., 2]).mean(-1)
    aside = (hand[..., 1] - _SIDE * body.shoulder_half) ** 2
    # A hand that is further aside than the bent arm reaches is below the shoulder then.
    arm = np.sqrt(np.maximum(_two_bones(body.upper_arm, body.forearm, np.radians(_sided(p, "elbow"))) ** 2 - aside, 0.0)).mean(-1)
    line = leg + body.trunk * np.exp(1j * bend)
    reach = np.abs(line)
    span = np.abs(place - foot)
    along = (reach**2 - arm**2 + span**2) / (2 * span)
    over = np.sqrt(_positive(reach**2 - along**2, 0.002 * body.leg**2))
    towards = (place - foot) / span
    direction = towards * (along + 1j * over) / np.abs(along + 1j * over) * np.exp(-1j * np.angle(line))
    pelvis = foot + leg * direction
    trunk = np.angle(direction * np.exp(1j * bend))
    local = np.stack([pelvis.real, np.zeros(len(p)), pelvis.imag], -1)
    return (turn @ local[..., None])[..., 0], np.pi / 2 - trunk


def _out_of_reach(body: Body, p: Array, chest: Array, frame: Array, turn: Array) -> Array:
    """How far (n, 3) the trunk must sink for planted hands to stay on the floor."""
    plant = _sided(p, "plant")
    if not np.any(plant > 1e-9):
        return np.zeros((len(p), 3))
    shoulder = _abreast(chest, body.shoulder_half, frame)
    place = (turn[:, None] @ _hand_places(body, p)[..., None])[..., 0]
    across = ((shoulder - place)[..., :2] ** 2).sum(-1)
    highest = place[..., 2] + np.sqrt(_positive((STRAIGHTEST * body.arm) ** 2 - across, 0.02 * body.arm**2))
    room = (highest - shoulder[..., 2]).min(-1)
    sink = np.zeros((len(p), 3))
    sink[:, 2] = -_lowest(np.stack([np.zeros(len(p)), room], -1), 0.002 * body.arm) * plant.mean(-1)
    return sink


def _feet_unturned(body: Body, p: Array) -> Array:
    straight = p.copy()
    i = COLUMN["left_foot_yaw"]
    straight[:, i : i + 2] = 0.0
    return _feet(body, straight)[0]


def _hand_places(body: Body, p: Array) -> Array:
    """Wrists of planted hands (n, 2, 3) before the turn: below the shoulders of this body's plank, plus `hand_x`."""
    reference = RELAXED.copy()[None, :]
    for name, value in (("foot_x", PLANK_FOOT_X), ("heel", PLANK_HEEL)):
        i = COLUMN[f"left_{name}"]
        reference[:, i : i + 2] = value
    foot = _feet(body, reference)[0][0, 0]
    wrist_height = 0.03 * body.height_m
    arm = _two_bones(body.upper_arm, body.forearm, np.radians(np.array(PLANK_ELBOW)))
    rise = wrist_height + arm * 0.985 - foot[2]
    below = foot[0] + np.sqrt((0.998 * body.leg + body.trunk) ** 2 - rise**2)
    x = below + _sided(p, "hand_x") * body.leg
    y = _SIDE * _sided(p, "hand_y") * body.shoulder_half
    return np.stack([x, y, np.full_like(x, wrist_height)], -1)


def _leg(body: Body, hip: Array, ankle: Array, forward: Array, knees_out: Array) -> tuple[Array, Array, Array]:
    """Knee, reached ankle and the knee's direction, each (n, 2, 3)."""
    along, reach = _direction(ankle - hip)
    pole = _unit(forward - (forward * along).sum(-1, keepdims=True) * along)
    out = -_SIDE * np.radians(knees_out)
    pole = np.cos(out)[..., None] * pole + np.sin(out)[..., None] * np.cross(along, pole)
    knee, end = _two_bone_chain(body.thigh, body.shank, hip, along, reach, pole)
    return knee, end, pole


def _arm(body: Body, p: Array, shoulder: Array, frame: Array, turn: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Elbow, wrist, back of the forearm, hand direction and back of the hand, each (n, 2, 3)."""
    flex, abduct, rotate, bend = (np.radians(_sided(p, name)) for name in ("flex", "abduct", "rotate", "elbow"))
    sin_a, cos_a = np.sin(abduct), np.cos(abduct)
    zero = np.zeros_like(flex)
    upper = np.stack([zero, _SIDE * sin_a, -cos_a], -1)
    onwards = np.stack([zero, _SIDE * cos_a, sin_a], -1)
    ahead = np.stack([zero + 1, zero, zero], -1)
    towards = np.cos(rotate)[..., None] * ahead + np.sin(rotate)[..., None] * onwards
    lift = frame[:, None] @ _about_y(-flex)
    upper, towards = ((lift @ v[..., None])[..., 0] for v in (upper, towards))
    fold = np.pi - bend
    forearm = np.cos(fold)[..., None] * upper + np.sin(fold)[..., None] * towards
    wrist = shoulder + body.upper_arm * upper + body.forearm * forearm
    along, _ = _direction(wrist - shoulder)
    pole = _unit((towards * along).sum(-1, keepdims=True) * along - towards)

    plant = _sided(p, "plant")[..., None]
    if np.any(plant > 1e-9):
        place = (turn[:, None] @ _hand_places(body, p)[..., None])[..., 0]
        flare = np.radians(_sided(p, "flare"))
        wide = np.stack([-np.cos(flare), _SIDE * np.sin(flare), zero], -1)
        wide = (turn[:, None] @ wide[..., None])[..., 0]
        wrist = wrist + plant * (place - wrist)
        pole = pole + plant * (wide - pole)
    along, reach = _direction(wrist - shoulder)
    pole = _unit(pole - (pole * along).sum(-1, keepdims=True) * along)
    elbow, wrist = _two_bone_chain(body.upper_arm, body.forearm, shoulder, along, reach, pole)
    forearm = (wrist - elbow) / body.forearm
    inside = np.cross(forearm, np.cross(along, pole))
    outside = _SIDE[:, None] * np.cross(inside, forearm)
    pronate = np.radians(_sided(p, "pronate"))[..., None]
    back = -np.cos(pronate) * inside + np.sin(pronate) * outside
    flat = turn[:, None, :, 0] + 0.15 * _SIDE[:, None] * turn[:, None, :, 1]
    flattened = 1 - (1 - plant) ** 5
    hand = _unit(forearm + flattened * (_unit(flat) - forearm))
    palm = back + flattened * (np.array([0.0, 0.0, 1.0]) - back)
    palm = _unit(palm - (palm * hand).sum(-1, keepdims=True) * hand)
    return elbow, wrist, back, hand, palm


def _fingers(body: Body, x: Array, wrist: Array, hand: Array, back: Array) -> None:
    thumb_side = _SIDE[:, None] * np.cross(hand, back)
    h = body.hand
    for name, along, aside, inwards in (("pinky", 0.72, -0.28, 0.0), ("index", 0.80, 0.22, 0.0), ("thumb", 0.42, 0.36, 0.08)):
        value = wrist + h * (along * hand + aside * thumb_side - inwards * back)
        x[:, NODE[f"left_{name}"]], x[:, NODE[f"right_{name}"]] = value[:, 0], value[:, 1]


def _head(body: Body, p: Array, x: Array, chest: Array, trunk: Array, turn: Array, pitch: Array) -> None:
    nod = 0.55 * pitch + np.radians(_central(p, "nod"))
    look = np.radians(_central(p, "look"))
    frame = turn @ _about_y(nod) @ _about_z(look)
    pivot = chest + 0.035 * body.height_m * trunk[:, :, 2]
    for name, place in _FACE.items():
        for label, side in ((name, 1.0), (name.replace("left", "right"), -1.0)):
            local = body.height_m * np.array([place[0], side * place[1], place[2]])
            x[:, NODE[label]] = pivot + frame @ local


def _bands(
    body: Body, elbow: Array, wrist: Array, back: Array, hip: Array, knee: Array, ankle: Array, pole: Array
) -> tuple[Array, Array]:
    forearm = (wrist - elbow) / body.forearm
    shank = (ankle - knee) / body.shank
    front = np.cross(np.cross(_unit(ankle - hip), pole), shank)
    outer = _SIDE[:, None] * np.cross(front, shank)
    along = np.concatenate([forearm, shank], 1)
    out = np.concatenate([back, outer], 1)
    axes = np.stack([along, np.cross(out, along), out], -1)
    radius = np.array([body.forearm_radius] * 2 + [body.shank_radius] * 2)[:, None]
    ends = np.concatenate([wrist, ankle], 1)
    return ends - _BAND_INSET_M * along + 0.8 * radius * out, axes


def _two_bone_chain(first: float, second: float, root: Array, along: Array, reach: Array, pole: Array) -> tuple[Array, Array]:
    """Middle joint and end of a two-bone chain; a target that is too far is approached smoothly, never snapped to."""
    longest = (first + second) * 0.9998
    slack = 0.0008 * longest
    reach = reach - slack * np.logaddexp(0.0, (reach - longest) / slack)
    shortest = abs(first - second) + 0.12 * (first + second)
    reach = shortest + _positive(reach - shortest, 0.01 * longest)
    a = (first**2 - second**2 + reach**2) / (2 * reach)
    h = np.sqrt(np.maximum(first**2 - a**2, 1e-12))
    return root + a[..., None] * along + h[..., None] * pole, root + reach[..., None] * along


def _two_bones(first: float, second: float, angle: Array) -> Array:
    """Distance between the ends of two bones that enclose `angle`."""
    return np.asarray(np.sqrt(first**2 + second**2 - 2 * first * second * np.cos(angle)))


def _positive(value: Array, scale: float) -> Array:
    """`value` where it is well above 0, smoothly bent away from 0 elsewhere."""
    return np.asarray(0.5 * (value + np.sqrt(value**2 + (0.05 * scale) ** 2)))


def _lowest(values: Array, softness: float) -> Array:
    """Smallest of the last axis, with its changeover smoothed over `softness`."""
    lowest = values.min(-1, keepdims=True)
    return np.asarray(lowest[..., 0] - softness * np.log(np.exp((lowest - values) / softness).sum(-1)))


def _direction(v: Array) -> tuple[Array, Array]:
    length = np.linalg.norm(v, axis=-1)
    return v / np.maximum(length, 1e-9)[..., None], length


def _unit(v: Array) -> Array:
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9))


def _about_x(angle: Array) -> Array:
    return _rotation(angle, 1, 2)


def _about_y(angle: Array) -> Array:
    return _rotation(angle, 2, 0)


def _about_z(angle: Array) -> Array:
    return _rotation(angle, 0, 1)


def _rotation(angle: Array, first: int, second: int) -> Array:
    """Right-handed rotations (..., 3, 3) that turn axis `first` towards axis `second`."""
    r = np.zeros((*angle.shape, 3, 3))
    r[...] = np.eye(3)
    cos, sin = np.cos(angle), np.sin(angle)
    r[..., first, first], r[..., second, second] = cos, cos
    r[..., first, second], r[..., second, first] = -sin, sin
    return r
