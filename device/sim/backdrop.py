"""What stands still in a scene: the room behind the trainee and the thing in the way. Painted once per scene."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from device.sim.scene import Colour, Light, Occluder, Room, SceneCamera

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]


def paint_room(room: Room, light: Light, camera: SceneCamera) -> Picture:
    """The empty room, (h, w, 3) uint8: the ray of each pixel against the six planes of a box."""
    import cv2

    rng = np.random.default_rng(room.seed)
    columns, rows = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    local = np.stack(
        [(columns - camera.width / 2) / camera.focal_px, (rows - camera.height / 2) / camera.focal_px, np.ones_like(columns)],
        axis=-1,
    )
    rays = local @ camera.rotation
    origin = np.asarray(camera.position)
    planes = ((2, 0.0), (2, room.ceiling_m), (0, -room.depth_m), (1, room.half_width_m), (1, -room.half_width_m))
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.stack([(at - origin[axis]) / rays[..., axis] for axis, at in planes])
    reach[~(reach > 0)] = np.inf
    hit = reach.argmin(axis=0)
    points = origin + rays * reach.min(axis=0)[..., None]
    colour = np.empty_like(points)
    floor, ceiling = hit == 0, hit == 1
    colour[floor] = _floor(room, points[floor])
    colour[ceiling] = (232, 230, 226)
    back, sides = hit == 2, hit >= 3
    colour[back] = _wall(room, points[back][:, 1], points[back][:, 2])
    colour[sides] = _wall(room, points[sides][:, 0], points[sides][:, 2]) * 0.88
    for item in room.furniture:
        colour = _hang(colour, back, points, item)
    colour *= _falloff(points, light)[..., None] * np.asarray(light.tint)
    grain = rng.standard_normal((camera.height // 4 + 1, camera.width // 4 + 1)).astype(np.float32)
    blotches = cv2.resize(cv2.GaussianBlur(grain, (0, 0), 2.0), (camera.width, camera.height), interpolation=cv2.INTER_CUBIC)
    colour *= (1.0 + 0.10 * blotches)[..., None]
    picture: Picture = np.clip(colour, 0, 255).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.8))


def _falloff(points: Floats, light: Light) -> Floats:
    """Brighter under the lamp, darker in the corners."""
    lamp = 2.2 * np.asarray(light.direction)
    away = ((points[..., :2] - lamp[:2]) ** 2).sum(axis=-1)
    return np.asarray((light.ambient + 0.75 * light.key) * (0.78 + 0.28 * np.exp(-away / 9.0)))


def _wall(room: Room, along: Floats, up: Floats) -> Floats:
    colour = np.tile(np.array(room.wall_colour), (len(along), 1))
    shade = np.ones(len(along))
    if room.wall == "stripes":
        shade = np.where(np.mod(along, 0.4) < 0.2, 1.0, 0.92)
    elif room.wall == "bricks":
        row = np.floor(up / 0.09)
        joint = (np.mod(up, 0.09) < 0.012) | (np.mod(along + 0.12 * np.mod(row, 2), 0.24) < 0.012)
        tone = 0.9 + 0.12 * np.mod(
            np.sin(row * 12.9898 + np.floor((along + 0.12 * np.mod(row, 2)) / 0.24) * 78.233) * 43758.5, 1.0
        )
        shade = np.where(joint, 1.08, tone * 0.9)
    elif room.wall == "panels":
        shade = np.where(np.mod(along, 0.9) < 0.03, 0.8, 1.0) * np.where((up > 0.95) & (up < 1.0), 0.8, 1.0)
        shade = np.where(up < 0.95, shade * 0.86, shade)
    board = up < 0.10
    colour[board] = 0.6 * colour[board] + 60
    return np.asarray(colour * shade[:, None])


def _floor(room: Room, points: Floats) -> Floats:
    x, y = points[:, 0], points[:, 1]
    colour = np.tile(np.array(room.floor_colour), (len(x), 1))
    if room.floor == "planks":
        row = np.floor(y / 0.14)
        shift = np.mod(np.sin(row * 91.7) * 1000.0, 1.0) * 1.2
        tone = 0.88 + 0.2 * np.mod(np.sin(row * 12.99 + np.floor((x + shift) / 1.2) * 78.2) * 43758.5, 1.0)
        shade = np.where((np.mod(y, 0.14) < 0.006) | (np.mod(x + shift, 1.2) < 0.006), 0.7, tone)
    elif room.floor == "tiles":
        shade = np.where((np.mod(x, 0.4) < 0.012) | (np.mod(y, 0.4) < 0.012), 0.8, 1.0)
    else:
        mat = (np.abs(y) < 1.1) & (np.abs(x) < 0.75)
        shade = np.where(mat, 0.78, 1.0)
    return np.asarray(colour * shade[:, None])


def _hang(
    colour: Floats, back: NDArray[np.bool_], points: Floats, item: tuple[str, float, float, float, float, Colour]
) -> Floats:
    kind, y, z, wide, high, tone = item
    across, up = (points[..., 1] - y) / (wide / 2), (points[..., 2] - z) / (high / 2)
    inside = back & (np.abs(across) < 1) & (np.abs(up) < 1)
    edge = inside & ((np.abs(across) > 1 - 0.09 / wide) | (np.abs(up) > 1 - 0.09 / high))
    base = np.array(tone, dtype=np.float64)
    if kind == "window":
        colour[inside] = np.array((210, 226, 240)) + 14.0 * up[inside][:, None]
        edge |= inside & ((np.abs(across) < 0.03) | (np.abs(up) < 0.03))
        base = np.array((226.0, 224.0, 220.0))
    elif kind == "poster":
        colour[inside] = base * (0.8 + 0.3 * np.sin(4.0 * across[inside] + 3.0 * up[inside] ** 2))[:, None]
        edge, base = edge & (np.abs(up) > 0.96), base * 0.5
    elif kind == "mirror":
        colour[inside] = colour[inside] * 0.5 + 90 + 20.0 * (across + up)[inside][:, None]
    elif kind == "shelf":
        books = np.mod(np.sin(np.floor(across[inside] * 14) * 12.99) * 43758.5, 1.0)
        colour[inside] = np.stack([60 + 150 * books, 70 + 110 * np.mod(books * 7, 1), 60 + 130 * np.mod(books * 13, 1)], axis=1)
    else:
        colour[inside] = base
        edge, base = edge | (inside & (np.abs(up) < 0.02)), base * 0.75
    colour[edge] = base
    return colour


def paint_occluder(occluder: Occluder, light: Light, camera: SceneCamera) -> tuple[Picture, Picture]:
    """The thing in the way: its picture (h, w, 3) and the mask (h, w) of the pixels that it covers."""
    import cv2

    picture = np.zeros((camera.height, camera.width, 3), dtype=np.uint8)
    mask = np.zeros((camera.height, camera.width), dtype=np.uint8)
    right = camera.rotation[0]
    foot = np.array([occluder.x, occluder.y, 0.0])
    base = np.array(occluder.colour) * (light.ambient + 0.6 * light.key)
    for corners, tone in _quads(occluder.kind):
        world = foot + corners[:, :1] * right + corners[:, 1:] * np.array([0.0, 0.0, 1.0])
        pixels, _ = camera.project(world)
        polygon = np.round(pixels).astype(np.int32)
        cv2.fillConvexPoly(picture, polygon, np.clip(base * np.asarray(tone), 0, 255).tolist(), cv2.LINE_8)
        cv2.fillConvexPoly(mask, polygon, 255, cv2.LINE_8)
    return picture, mask


def _quads(kind: str) -> list[tuple[Floats, Floats]]:
    """Flat pieces (n, 2) of the thing, m to the right of and above its place, with their tone."""
    if kind == "column":
        edges = np.linspace(-0.09, 0.09, 9)
        tones = 0.6 + 0.6 * np.sin(np.linspace(0.3, 2.6, 8))
        return [(_box(a, 0.0, b, 3.5), np.full(3, tone)) for a, b, tone in zip(edges, edges[1:], tones, strict=False)]
    if kind == "chair":
        legs = [(_box(x, 0.0, x + 0.035, 0.44), np.full(3, 0.7)) for x in (-0.21, -0.12, 0.09, 0.175)]
        slats = [(_box(-0.21, z, 0.21, z + 0.05), np.full(3, 0.95)) for z in (0.60, 0.70, 0.80)]
        posts = [(_box(x, 0.44, x + 0.035, 0.86), np.full(3, 0.8)) for x in (-0.21, 0.175)]
        return [*legs, *posts, *slats, (_box(-0.22, 0.42, 0.22, 0.47), np.full(3, 1.1))]
    pot = [(np.array([[-0.10, 0.0], [0.10, 0.0], [0.13, 0.26], [-0.13, 0.26]]), np.full(3, 1.0))]
    leaves = []
    for i, turn in enumerate(np.linspace(-1.1, 1.1, 13)):
        long = 0.45 + 0.18 * math.sin(5.0 * i)
        along = np.array([math.sin(turn), math.cos(turn)])
        across = np.array([along[1], -along[0]]) * 0.035
        start = np.array([0.02 * math.sin(3.0 * i), 0.24])
        shape = np.stack([start, start + 0.5 * long * along + across, start + long * along, start + 0.5 * long * along - across])
        leaves.append((shape, np.array([0.35, 0.75, 0.35]) * (0.8 + 0.25 * math.sin(2.3 * i))))
    return [*leaves, *pot]


def _box(left: float, low: float, right: float, high: float) -> Floats:
    return np.array([[left, low], [right, low], [right, high], [left, high]])
