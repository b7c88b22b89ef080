"""What the virtual trainee is seen in: camera, room, light, clothes, something in the way, and the sensor.

A scene is plain data, drawn by `sample_scene`; `device.sim.render` turns it into pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
"""Red, green, blue; 0..255."""

REACH_M = 2.35
"""Height that the picture must hold: raised hands of a tall trainee."""
STEP_M = 1.05
"""How far the trainee reaches towards the camera on the floor."""

SKINS: tuple[Colour, ...] = ((236, 190, 160), (222, 172, 138), (198, 142, 108), (160, 108, 78), (120, 78, 56), (92, 60, 46))
HAIRS: tuple[Colour, ...] = ((28, 24, 24), (52, 36, 28), (96, 64, 40), (168, 128, 78), (120, 58, 36), (150, 146, 142))
CLOTHES: tuple[Colour, ...] = (
    (200, 56, 52), (44, 84, 160), (40, 120, 84), (232, 232, 228), (52, 54, 60), (150, 152, 156),
    (226, 150, 50), (112, 64, 140), (70, 170, 190), (196, 96, 134), (32, 40, 70), (120, 140, 60),
)  # fmt: skip
WALLS: tuple[Colour, ...] = ((214, 208, 196), (190, 200, 206), (226, 224, 220), (168, 176, 164), (150, 140, 132), (204, 186, 168))
FLOORS: tuple[Colour, ...] = ((156, 116, 78), (120, 88, 62), (110, 112, 116), (70, 74, 80), (176, 156, 128), (88, 102, 116))


@dataclass(frozen=True, slots=True)
class SceneCamera:
    """A level pinhole camera that looks at the trainee's place (the world's origin); tilted a little, never rolled.

    `position`: m, world. `azimuth_rad`: of the viewing axis, 0 looks along world -x. `tilt_rad`: positive looks down.
    `focal_px`: focal length of a picture `width` px wide.
    """

    position: tuple[float, float, float]
    azimuth_rad: float
    tilt_rad: float
    focal_px: float
    width: int = 640
    height: int = 480

    @property
    def rotation(self) -> NDArray[np.float64]:
        """(3, 3) world to camera axes (x right, y down, z away): `p_camera = rotation @ (p_world - position)`."""
        ca, sa = math.cos(self.azimuth_rad), math.sin(self.azimuth_rad)
        ct, st = math.cos(self.tilt_rad), math.sin(self.tilt_rad)
        return np.array([(-sa, ca, 0.0), (st * ca, st * sa, -ct), (-ca * ct, -sa * ct, -st)])

    def project(self, points: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """World points (..., 3) m to pixels (..., 2) of a `width` x `height` picture and depth (...) m."""
        local = (np.asarray(points, dtype=np.float64) - np.asarray(self.position)) @ self.rotation.T
        depth = local[..., 2]
        pixels = local[..., :2] / np.maximum(depth, 0.05)[..., None] * self.focal_px
        return pixels + np.array([self.width / 2, self.height / 2]), depth

    def to_camera(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """World vectors (..., 3) turned into camera axes, as MediaPipe's world landmarks are."""
        return np.asarray(np.asarray(vectors, dtype=np.float64) @ self.rotation.T)

    def resized(self, width: int, height: int) -> SceneCamera:
        """The same view in a picture of another size; the height of what is seen stays."""
        focal = self.focal_px * height / self.height
        return SceneCamera(self.position, self.azimuth_rad, self.tilt_rad, focal, width, height)


@dataclass(frozen=True, slots=True)
class Room:
    """A box: floor at z = 0, back wall at world x = -`depth_m`, side walls at y = +-`half_width_m`.

    `wall`: plain, stripes, bricks or panels. `floor`: planks, tiles or rubber. `furniture`: (kind, y, z, width, height, colour)
    of what hangs on the back wall. `seed`: of the texture's grain.
    """

    depth_m: float
    half_width_m: float
    ceiling_m: float
    wall: str
    wall_colour: Colour
    floor: str
    floor_colour: Colour
    furniture: tuple[tuple[str, float, float, float, float, Colour], ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Light:
    """`direction`: unit vector towards the lamp, world. Lambert's law with `key` for the lamp and `ambient` from everywhere."""

    direction: tuple[float, float, float]
    key: float
    ambient: float
    tint: Colour


@dataclass(frozen=True, slots=True)
class Outfit:
    """Clothes and looks. `sleeve`, `leg`: how far they reach, 0 none, 1 elbow or knee, 2 wrist or ankle.

    `hair_style`: short, long, bun or bald.
    """

    skin: Colour
    hair: Colour
    hair_style: str
    shirt: Colour
    sleeve: float
    trousers: Colour
    leg: float
    shoes: Colour
    sole: Colour
    band: Colour
    looseness: float
    seed: int


@dataclass(frozen=True, slots=True)
class Occluder:
    """Something between camera and trainee. `kind`: column, chair or plant; `x`, `y` its place on the floor, world m."""

    kind: str
    x: float
    y: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class Sensor:
    """The image sensor. `noise`: standard deviation in grey levels. `blur_px`: of the lens. `flicker`: slow swing of exposure."""

    noise: float
    blur_px: float
    gain: float
    flicker: float


@dataclass(frozen=True, slots=True)
class Scene:
    """All of what is seen beside the trainee's body and motion. `seed`: of the noise."""

    camera: SceneCamera
    room: Room
    light: Light
    outfit: Outfit
    occluder: Occluder | None
    sensor: Sensor
    seed: int


def sample_scene(rng: np.random.Generator, *, width: int = 640, height: int = 480) -> Scene:
    """A scene drawn at random; the camera is placed so that the trainee fits, standing with raised hands and lying."""
    camera = _camera(rng, width, height)
    return Scene(
        camera=camera,
        room=_room(rng),
        light=_light(rng),
        outfit=_outfit(rng),
        occluder=_occluder(rng, camera) if rng.random() < 0.15 else None,
        sensor=Sensor(
            noise=float(rng.uniform(1.0, 5.0)),
            blur_px=float(rng.uniform(0.45, 0.8)),
            gain=float(rng.uniform(0.85, 1.12)),
            flicker=float(rng.uniform(0.0, 0.04)),
        ),
        seed=int(rng.integers(2**31)),
    )


def _camera(rng: np.random.Generator, width: int, height: int) -> SceneCamera:
    lens = float(rng.uniform(0.6, 1.7))
    # A high camera stands further off: it is level, and must still see the feet.
    distance = float(rng.uniform(max(2.5, 1.2 + 1.3 * lens), 4.0))
    azimuth = float(rng.uniform(-0.35, 0.35))
    # The view must reach from the foot of a lunge towards the camera to above raised hands.
    low = math.atan2(-lens, distance - STEP_M)
    high = math.atan2(REACH_M + 0.05 - lens, distance - 0.1)
    tilt = min(max(-(low + high) / 2, -0.08), 0.16)
    half = max(high + tilt, -(low + tilt)) * float(rng.uniform(1.0, 1.08))
    focal = height / 2 / math.tan(half)
    position = (distance * math.cos(azimuth), distance * math.sin(azimuth), lens)
    aim = azimuth + float(rng.uniform(-0.03, 0.03))
    return SceneCamera(position, aim, tilt, focal, width, height)


def _room(rng: np.random.Generator) -> Room:
    half_width = float(rng.uniform(2.4, 4.0))
    kinds = [str(kind) for kind in rng.choice(["window", "poster", "door", "shelf", "mirror"], size=3, replace=False)]
    sizes = {
        "window": (1.3, 1.1, 1.5),
        "poster": (0.6, 0.9, 1.5),
        "door": (0.9, 2.0, 1.0),
        "shelf": (1.1, 0.3, 1.6),
        "mirror": (0.8, 1.4, 1.2),
    }
    furniture = []
    for kind, place in zip(kinds, (-0.62, 0.0, 0.62), strict=True):
        if rng.random() < 0.35:
            continue
        wide, high, centre = sizes[kind]
        colour = _pick(rng, CLOTHES) if kind == "poster" else _pick(rng, FLOORS)
        y = place * half_width + float(rng.uniform(-0.2, 0.2))
        furniture.append((kind, y, centre, wide, high, colour))
    return Room(
        depth_m=float(rng.uniform(1.3, 3.0)),
        half_width_m=half_width,
        ceiling_m=float(rng.uniform(2.5, 3.2)),
        wall=str(rng.choice(["plain", "plain", "stripes", "bricks", "panels"])),
        wall_colour=_pick(rng, WALLS),
        floor=str(rng.choice(["planks", "tiles", "rubber"])),
        floor_colour=_pick(rng, FLOORS),
        furniture=tuple(furniture),
        seed=int(rng.integers(2**31)),
    )


def _light(rng: np.random.Generator) -> Light:
    azimuth = float(rng.uniform(-1.3, 1.3))
    height = float(rng.uniform(0.5, 1.3))
    direction = (math.cos(azimuth) * math.cos(height), math.sin(azimuth) * math.cos(height), math.sin(height))
    warmth = float(rng.uniform(-0.05, 0.06))
    key = float(rng.uniform(0.35, 0.75))
    return Light(direction, key, float(rng.uniform(0.45, 0.65)), (1 + warmth, 1.0, 1 - warmth))


def _outfit(rng: np.random.Generator) -> Outfit:
    shirt, trousers = (CLOTHES[i] for i in rng.choice(len(CLOTHES), size=2, replace=False))
    return Outfit(
        skin=_pick(rng, SKINS),
        hair=_pick(rng, HAIRS),
        hair_style=str(rng.choice(["short", "short", "long", "bun", "bald"])),
        shirt=shirt,
        sleeve=float(rng.choice([0.0, 0.55, 0.6, 2.0], p=[0.3, 0.3, 0.25, 0.15])),
        trousers=trousers,
        leg=float(rng.choice([0.55, 0.75, 1.9, 2.0])),
        shoes=_pick(rng, CLOTHES),
        sole=(236, 234, 228) if rng.random() < 0.7 else (40, 40, 44),
        band=(30, 30, 34) if rng.random() < 0.6 else _pick(rng, CLOTHES),
        looseness=float(rng.uniform(1.03, 1.16)),
        seed=int(rng.integers(2**31)),
    )


def _occluder(rng: np.random.Generator, camera: SceneCamera) -> Occluder:
    kind = str(rng.choice(["column", "chair", "plant"]))
    # Off the middle, so that it hides a limb or two and not the whole trainee.
    side = float(rng.choice([-1.0, 1.0])) * float(rng.uniform(0.28, 0.6))
    along = float(rng.uniform(0.9, min(1.4, camera.position[0] - 1.2)))
    ca, sa = math.cos(camera.azimuth_rad), math.sin(camera.azimuth_rad)
    return Occluder(kind, along * ca - side * sa, along * sa + side * ca, _pick(rng, FLOORS))


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(rng.integers(len(colours)))]


def session_scene(seed: int) -> Scene:
    """The scene in which the virtual trainee of this seed trains."""
    return sample_scene(np.random.default_rng((seed, 4)))
