"""Everything that crosses a boundary between parts: frozen, slotted messages.

`t_ns` is always the host's CLOCK_MONOTONIC (int64 nanoseconds) at the moment the thing happened at the
sensor. Angles are rad, specific force m/s^2, angular rate rad/s, lengths m.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

EXERCISES: tuple[str, ...] = ("push_up", "squat", "lunge", "jumping_jack", "bicep_curl", "none")
"""Classes of the shipped model, in its output order; the last one is always `none`."""

NS_PER_S = 1_000_000_000


class Stage(IntEnum):
    """Stage of a repetition, in the model's output order."""

    REST = 0
    BEGINNING = 1
    EXECUTION = 2
    END = 3


class ServiceState(StrEnum):
    """State of a service of the appliance (`device.runtime.services`). Its edges are in `device.runtime.supervisor`."""

    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    RESTING = "resting"
    GONE = "gone"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture. It never leaves the eye process. `pixels`: (height, width, 3) uint8 RGB."""

    t_ns: int
    sigma_ns: int
    seq: int
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """Landmarks of one frame, timed at mid-exposure.

    `image`: (33, 4) x, y in 0..1 of width and height, z in units of the width, visibility 0..1.
    `world`: (33, 3) m, mid-hip origin, camera axes: x right, y down, z away. NaN where nobody was found.
    """

    t_ns: int
    sigma_ns: int
    seq: int
    image: Array
    world: Array
    width: int
    height: int
    present: bool


@dataclass(frozen=True, slots=True, eq=False)
class ImuBatch:
    """Consecutive samples of one band.

    `band`: index into `skeleton.BANDS`. `session`: changes when the band reboots. `seq`: of the first sample;
    consecutive samples have consecutive numbers. `times_ns`: (n,) int64; while `sigma_ns` is `timebase.UNCONVERTED`
    (-1) they are on the source's own clock and `t_ns` is their arrival. `values`: (n, 6) specific force x, y, z then
    angular rate x, y, z, band frame.
    """

    t_ns: int
    sigma_ns: int
    seq: int
    band: int
    session: int
    times_ns: NDArray[np.int64]
    values: Array


@dataclass(frozen=True, slots=True)
class ClockPing:
    """One exchange of clocks with a band: asked at `sent_ns`, the answer was here at `received_ns`, both host time.

    `band_ns`: the band's own clock when it answered, unwrapped like the `times_ns` of its batches.
    """

    band: int
    session: int
    sent_ns: int
    band_ns: int
    received_ns: int

    @property
    def t_ns(self) -> int:
        """When it was done."""
        return self.received_ns


@dataclass(frozen=True, slots=True, eq=False)
class Tick:
    """Both modalities on one instant of the tick grid.

    `world`: (33, 3) m, NaN-free (last known where absent). `visibility`: (33,). `imu`: (4, 6) smoothed (eq. 10).
    `pose_present`, `imu_present` (4,): 1 measured or interpolated, 0 gap filled or absent.
    """

    t_ns: int
    seq: int
    world: Array
    visibility: Array
    pose_present: bool
    imu: Array
    imu_present: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """What the model says of one tick.

    `exercise`: (6,) probabilities in the order of the bundle's classes. `stage`: (4,) probabilities.
    `phase`: 0..1 of the repetition. `angles`, `angle_sigma`: (12,) rad, `skeleton.JOINTS` order.
    `importance`: (33,) attention each node receives, sums to 1.
    """

    t_ns: int
    seq: int
    exercise: Array
    stage: Array
    phase: float
    angles: Array
    angle_sigma: Array
    importance: Array


@dataclass(frozen=True, slots=True)
class StageBoundary:
    """A change of stage that the boundary score (eq. 2) proposed and the stage head confirmed."""

    t_ns: int
    seq: int
    before: Stage
    after: Stage
    score: float


@dataclass(frozen=True, slots=True)
class Deviation:
    """One joint's signed distance from the standard movement at this phase (0 inside the tolerance)."""

    joint: str
    deviation_rad: float
    sigma_rad: float


@dataclass(frozen=True, slots=True)
class Repetition:
    """One counted repetition. `variant`: left, right or both. `worst`: its largest deviations, largest first."""

    t_ns: int
    seq: int
    start_ns: int
    end_ns: int
    exercise: str
    variant: str
    index: int
    worst: tuple[Deviation, ...]


@dataclass(frozen=True, slots=True)
class SetStarted:
    """A set of one exercise began with the repetition that started at `t_ns`."""

    t_ns: int
    seq: int
    exercise: str


@dataclass(frozen=True, slots=True)
class SetEnded:
    """A set ended. `start_ns`, `end_ns` span its first repetition's start to its last one's end."""

    t_ns: int
    seq: int
    start_ns: int
    end_ns: int
    exercise: str
    repetitions: int


@dataclass(frozen=True, slots=True)
class Cue:
    """A correction, a praise, a summary or a notice about the bands, as it is said and felt.

    `kind`: correction, praise, summary or notice. `joint` and `sign` (+1, -1) name what is corrected or praised, empty
    and 0 in the others; `exercise` is `none` in a notice. `prompts`: names of the voice files, said in order. `bands`: indices
    that vibrate.
    """

    t_ns: int
    seq: int
    kind: str
    exercise: str
    joint: str
    sign: int
    text: str
    prompts: tuple[str, ...]
    deviation_rad: float
    bands: tuple[int, ...]
    intensity: float


@dataclass(frozen=True, slots=True)
class Vibration:
    """A bounded vibration of one band. `intensity`: 0..1."""

    t_ns: int
    seq: int
    band: int
    intensity: float
    duration_ns: int


@dataclass(frozen=True, slots=True)
class Speech:
    """Prompts to be said one after the other, starting as soon as the speaker is free."""

    t_ns: int
    seq: int
    prompts: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class StageTiming:
    """How long one section of the pipeline took for one tick or frame. `section`: a name from `config.Budget`."""

    t_ns: int
    section: str
    duration_ns: int


@dataclass(frozen=True, slots=True)
class Advanced:
    """The core was let work up to `t_ns`. A recording keeps it, so that a replay works at the same moments."""

    t_ns: int


@dataclass(frozen=True, slots=True)
class ServiceChanged:
    """A service of the appliance came into another state at `t_ns`. `service`: a name from `device.runtime.services`; `reason`:
    what made it fail, empty where nothing did."""

    t_ns: int
    service: str
    state: ServiceState
    reason: str = ""


Sensed = Pose | ImuBatch | ClockPing | ServiceChanged
"""What goes into the core."""

Coached = Estimate | StageBoundary | Repetition | SetStarted | SetEnded | Cue | Vibration | Speech
"""What comes out of the core."""
