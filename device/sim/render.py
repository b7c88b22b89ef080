"""Pictures of the virtual trainee: shaded surface, room, shadow, motion blur and sensor noise, in numpy and OpenCV."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.sim.backdrop import paint_occluder, paint_room
from device.sim.body import Body
from device.sim.figure import Floats, girths_of
from device.sim.mannequin import Mannequin
from device.sim.scene import Scene
from device.skeleton import NODE

Picture = NDArray[np.uint8]

_SUBPIXEL_BITS = 4
_SHADOW_SCALE = 4
_NOISE_PICTURES = 3
_NOISE_MARGIN = 64
_SHADOW_CHAINS = tuple(
    (tuple(NODE[name] for name in chain), width)
    for chain, width in (
        (("left_shoulder", "left_elbow", "left_wrist", "left_index"), 0.09),
        (("right_shoulder", "right_elbow", "right_wrist", "right_index"), 0.09),
        (("left_hip", "left_knee", "left_ankle", "left_foot_index"), 0.13),
        (("right_hip", "right_knee", "right_ankle", "right_foot_index"), 0.13),
        (("left_shoulder", "left_hip"), 0.22),
        (("right_shoulder", "right_hip"), 0.22),
        (("left_ear", "right_ear"), 0.18),
    )
)


class Renderer:
    """Draws one body in one scene. Pictures are a pure function of (scene, body, landmarks, index)."""

    def __init__(self, scene: Scene, body: Body, width: int = 640, height: int = 480) -> None:
        self.camera = scene.camera.resized(width, height)
        self._scene = scene
        self._size = (width, height)
        self._mannequin = Mannequin(girths_of(body), scene.outfit)
        self._rotation = self.camera.rotation
        self._origin = np.asarray(self.camera.position)
        self._room = paint_room(scene.room, scene.light, self.camera)
        self._occluder = paint_occluder(scene.occluder, scene.light, self.camera) if scene.occluder else None
        rng = np.random.default_rng(scene.seed)
        shape = (_NOISE_PICTURES, height + _NOISE_MARGIN, width + _NOISE_MARGIN, 3)
        self._noise = np.round(rng.standard_normal(shape, dtype=np.float32) * scene.sensor.noise).astype(np.int16)
        self._albedo = self._mannequin.albedo * np.asarray(scene.light.tint)

    def render(self, landmarks: NDArray[np.floating[Any]], index: int = 0) -> Picture:
        """A picture (h, w, 3) uint8 RGB of landmarks (k, 33, 3) m, world, at k instants of the exposure.

        `index` of the frame chooses the noise and the exposure's swing.
        """
        instants = np.asarray(landmarks, dtype=np.float64).reshape(-1, 33, 3)
        canvas = self._shadowed(instants[len(instants) // 2])
        if len(instants) == 1:
            self._draw(canvas, instants[0])
        else:
            canvas = self._blurred(canvas, instants)
        return self._sensed(canvas, index)

    def _blurred(self, backdrop: Picture, instants: Floats) -> Picture:
        import cv2

        left, top, right, bottom = self._extent(instants)
        window = (slice(top, bottom), slice(left, right))
        total = np.zeros((bottom - top, right - left, 3), dtype=np.uint16)
        for points in instants:
            layer = backdrop.copy()
            self._draw(layer, points)
            total += layer[window]
        backdrop[window] = cv2.convertScaleAbs(total, alpha=1.0 / len(instants))
        return backdrop

    def _extent(self, instants: Floats) -> tuple[int, int, int, int]:
        """Window (left, top, right, bottom) that holds the body at all instants."""
        pixels, depth = self.camera.project(instants)
        margin = 0.3 * self.camera.focal_px / max(float(depth.min()), 0.3)
        low = np.clip(pixels.min(axis=(0, 1)) - margin, 0, self._size).astype(int)
        high = np.clip(pixels.max(axis=(0, 1)) + margin, 0, self._size).astype(int)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _draw(self, canvas: Picture, points: Floats) -> None:
        """Paint the faces that look at the camera, from far to near."""
        import cv2

        body = self._mannequin
        local = (body.vertices(points) - self._origin) @ self._rotation.T
        a, b, c, d = (local[body.faces[:, i]].T for i in range(4))
        normals = _crosses(c - a, d - b)
        centres = (a + b + c + d) / 4
        seen = np.flatnonzero(((normals * centres).sum(axis=0) < 0) & (centres[2] > 0.2))
        seen = seen[np.argsort(body.lift[seen] - centres[2, seen], kind="stable")]
        normals = normals[:, seen] / np.maximum(np.sqrt((normals[:, seen] ** 2).sum(axis=0)), 1e-12)
        colours = self._lit(normals.T, seen).tolist()
        pixels = local[:, :2] / np.maximum(local[:, 2:], 0.1) * self.camera.focal_px + np.array(self._size) / 2 - 0.5
        fixed = np.round(pixels * (1 << _SUBPIXEL_BITS)).astype(np.int32)[body.faces[seen]]
        for polygon, colour in zip(fixed, colours, strict=True):
            cv2.fillConvexPoly(canvas, polygon, colour, cv2.LINE_8, _SUBPIXEL_BITS)

    def _lit(self, normals: Floats, faces: NDArray[np.int64]) -> Floats:
        """Lambert's law for the lamp, a half-sphere of ambient light, and a little from the camera's side."""
        light = self._scene.light
        lamp = np.maximum(normals @ (self._rotation @ np.asarray(light.direction)), 0.0)
        up = normals @ self._rotation[:, 2]
        shade = light.ambient * (0.80 + 0.20 * up) + light.key * lamp + 0.12 * np.maximum(-normals[:, 2], 0.0)
        return np.asarray(np.clip(self._albedo[faces] * shade[:, None], 0, 255))

    def _shadowed(self, points: Floats) -> Picture:
        """The room with the shadow that the body throws on the floor, softer and weaker the higher a part is."""
        import cv2

        width, height = self._size
        light = np.asarray(self._scene.light.direction)
        # A lamp over a room is large: the shadow leans less than a point's would.
        fallen = points - 0.35 * points[:, 2:] * np.array([light[0], light[1], 0.0]) / max(float(light[2]), 0.3)
        fallen[:, 2] = 0.0
        pixels, depth = self.camera.project(fallen)
        if float(depth.min()) < 0.3:
            return self._room.copy()
        pixels = pixels / _SHADOW_SCALE
        small = np.zeros((height // _SHADOW_SCALE, width // _SHADOW_SCALE), dtype=np.uint8)
        per_metre = self.camera.focal_px / _SHADOW_SCALE / depth
        tilt = math.sin(math.atan2(self.camera.position[2], float(depth.mean())))
        for chain, thick in _SHADOW_CHAINS:
            for a, b in itertools.pairwise(chain):
                strength = 0.34 * math.exp(-1.1 * float(points[[a, b], 2].mean()))
                wide = max(1, round(thick * float(per_metre[a]) * (0.35 + 0.65 * tilt)))
                ends = [tuple(round(float(v) * 16) for v in np.clip(pixels[i], -2000, 2000)) for i in (a, b)]
                layer = np.zeros_like(small)
                cv2.line(layer, ends[0], ends[1], int(255 * strength), wide, cv2.LINE_AA, 4)
                cv2.max(small, layer, dst=small)
        soft = cv2.GaussianBlur(small, (0, 0), 1.6)
        shade = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
        rows = np.flatnonzero(shade.max(axis=1))
        canvas = self._room.copy()
        if len(rows):
            band = slice(int(rows[0]), int(rows[-1]) + 1)
            factor = cv2.merge([255 - shade[band]] * 3)
            canvas[band] = cv2.multiply(canvas[band], factor, scale=1 / 255)
        return canvas

    def _sensed(self, canvas: Picture, index: int) -> Picture:
        """What the sensor makes of the light: occluder, lens blur, exposure and noise."""
        import cv2

        sensor = self._scene.sensor
        if self._occluder is not None:
            pixels, mask = self._occluder
            cv2.copyTo(pixels, mask, canvas)
        canvas = cv2.GaussianBlur(canvas, (0, 0), sensor.blur_px)
        gain = sensor.gain * (1.0 + sensor.flicker * math.sin(0.13 * index + self._scene.seed % 7))
        canvas = cv2.convertScaleAbs(canvas, alpha=gain)
        rng = np.random.default_rng((self._scene.seed, index))
        which, dy, dx = (int(rng.integers(n)) for n in (_NOISE_PICTURES, _NOISE_MARGIN, _NOISE_MARGIN))
        grain = self._noise[which, dy : dy + canvas.shape[0], dx : dx + canvas.shape[1]]
        return np.asarray(cv2.add(canvas, grain, dtype=cv2.CV_8U))


def _crosses(a: Floats, b: Floats) -> Floats:
    """Cross products of the columns of a and b, both (3, n)."""
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
