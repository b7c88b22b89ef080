"""How the bands are worn: watched all the time, put right in software, and said once when it is not as it should be."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from device.messages import ImuBatch, Tick
from device.runtime.assignment import EVALUATION_S, Assignment
from device.runtime.attitude import Attitudes
from device.runtime.strap import StrapAngle, Straps
from device.skeleton import BANDS, N_BANDS

Floats = NDArray[np.float64]

SURE_SIGMAS = 2.5
SLIP_SIGMAS = 3.0
MIN_TURN_RAD = math.radians(30.0)
"""A smaller turn of the strap is left alone: the model was trained to bear it."""
SILENT_S = 5.0
"""A band that is silent for longer is put where the others leave room."""
REFERENCE_S = 60.0
"""Time constant with which a strap's usual angle follows the postures that it is seen in."""

_UPSIDE_DOWN = np.diag([-1.0, -1.0, 1.0])
_WRISTS, _ANKLES = frozenset((0, 1)), frozenset((2, 3))


@dataclass(frozen=True, slots=True)
class Worn:
    """How the bands are taken to be worn. `limbs`: limb of each band, index into `skeleton.BANDS`; `certain`: whether that is
    beyond doubt; `upside_down`: x towards elbow or knee; `turn_rad`: angle about the limb that is put right."""

    limbs: tuple[int, ...] = tuple(range(N_BANDS))
    certain: tuple[bool, ...] = (False,) * N_BANDS
    upside_down: tuple[bool, ...] = (False,) * N_BANDS
    turn_rad: tuple[float, ...] = (0.0,) * N_BANDS

    @property
    def as_expected(self) -> bool:
        """Whether nothing is put right."""
        return self == Worn(certain=self.certain)


class BandWatch:
    """Finds how the bands are worn, and puts ticks right accordingly. Constant memory; a tenth of a millisecond a tick."""

    def __init__(self, tick_hz: float) -> None:
        self.worn = Worn()
        self._attitudes = Attitudes(tick_hz)
        self._assignment = Assignment(tick_hz)
        self._straps = Straps(1 / EVALUATION_S)
        self._started = np.zeros(N_BANDS, dtype=np.bool_)
        self._turns: Floats = np.tile(np.eye(3), (N_BANDS, 1, 1))
        self._reference: list[complex | None] = [None] * N_BANDS
        self._followed = EVALUATION_S / REFERENCE_S
        self._silent_ticks = [0] * N_BANDS
        self._silent_at = round(SILENT_S * tick_hz)
        self._said: set[str] = set()

    def step(self, tick: Tick) -> list[str]:
        """Next tick, with the bands as they are. Returns the prompts of what is to be said, each once in a session."""
        started = self._attitudes.step(tick.imu, tick.imu_present)
        self._silent_ticks = [
            0 if here else ticks + 1 for ticks, here in zip(self._silent_ticks, tick.imu_present.tolist(), strict=True)
        ]
        if started.any():
            self._started |= started
            self._assignment.forget_headings(started)
        # A band that has just started is not level yet.
        level = self._attitudes.level
        if not self._assignment.step(tick, level, self._attitudes.x_axes):
            return []
        self._look_at_straps(tick, level & ~self._started)
        self._started[:] = False
        return self._fresh(self._move() + self._turn())

    def placed(self, batch: ImuBatch) -> ImuBatch:
        """`batch` with the limb that its band is on for its `band`; its axes stay as they are."""
        limb = self.worn.limbs[batch.band]
        return batch if limb == batch.band else replace(batch, band=limb)

    def corrected(self, tick: Tick) -> Tick:
        """`tick` as if every band were worn as it should be."""
        if self.worn.as_expected:
            return tick
        limbs = list(self.worn.limbs)
        imu, present = np.empty_like(tick.imu), np.empty_like(tick.imu_present)
        turned = tick.imu.reshape(N_BANDS, 2, 3).astype(np.float64) @ self._turns.swapaxes(1, 2)
        imu[limbs], present[limbs] = turned.reshape(N_BANDS, 6), tick.imu_present
        return replace(tick, imu=imu, imu_present=present)

    def _look_at_straps(self, tick: Tick, usable: NDArray[np.bool_]) -> None:
        directions, seen = self._assignment.seen
        limbs = self.worn.limbs
        usable = usable & seen[list(limbs)]
        self._straps.step(tick.world, directions, self._attitudes.rotations, usable, limbs, self.worn.upside_down)

    def _move(self) -> list[str]:
        """Take over a verdict that is certain of something else. Returns prompts."""
        verdict = self._assignment.verdict()
        before = self.worn
        known = [sure or ticks >= self._silent_at for sure, ticks in zip(verdict.certain, self._silent_ticks, strict=True)]
        limbs = tuple(v if k else b for v, k, b in zip(verdict.limbs, known, before.limbs, strict=True))
        if len(set(limbs)) < N_BANDS:
            # Not all of an exchange is certain: none of it is taken over.
            limbs = before.limbs
        kept = zip(verdict.flipped, verdict.flip_certain, before.upside_down, strict=True)
        flipped = tuple(f if c else b for f, c, b in kept)
        # What was certain stays so until something else is likelier.
        certain = tuple(
            verdict.limbs[b] == limbs[b] and (verdict.certain[b] or (before.certain[b] and limbs[b] == before.limbs[b]))
            for b in range(N_BANDS)
        )
        self.worn = replace(before, limbs=limbs, certain=certain, upside_down=flipped)
        changed = [b for b in range(N_BANDS) if (limbs[b], flipped[b]) != (before.limbs[b], before.upside_down[b])]
        if not changed:
            return []
        self._assignment.expect(limbs, flipped)
        for band in changed:
            self._reference[band] = None
            self._set_turn(band, 0.0)
        said = exchange_prompts(limbs) if limbs != before.limbs else []
        return said + [f"{BANDS[limbs[b]]}_upside_down" for b in changed if flipped[b] and not before.upside_down[b]]

    def _turn(self) -> list[str]:
        """Put right straps that are turned too far, and notice those that slip. Returns prompts."""
        said = []
        for band, angle in enumerate(self._straps.angles(self.worn.limbs)):
            # A band on the limb of the other side looks like one that is turned by half a turn.
            if angle is None or not self.worn.certain[band]:
                continue
            if self._slipped(band, angle):
                said.append(f"{BANDS[self.worn.limbs[band]]}_slipped")
                # By how much shows once the time before it is forgotten.
                self._reference[band] = None
                self._set_turn(band, 0.0)
            elif not self.worn.turn_rad[band] and abs(angle.angle_rad) > max(MIN_TURN_RAD, SURE_SIGMAS * angle.sigma_rad):
                self._set_turn(band, angle.angle_rad)
        return said

    def _slipped(self, band: int, angle: StrapAngle) -> bool:
        now, usual = cmath.exp(1j * angle.angle_rad), self._reference[band]
        if usual is None:
            self._reference[band] = now
            return False
        change = abs(cmath.phase(now / usual))
        if change > max(MIN_TURN_RAD, SLIP_SIGMAS * angle.spread_rad):
            return True
        self._reference[band] = usual + (now - usual) * self._followed
        return False

    def _set_turn(self, band: int, turn_rad: float) -> None:
        """Turn the band's samples about the limb, and look at it anew."""
        turns = list(self.worn.turn_rad)
        turns[band] = turn_rad
        self.worn = replace(self.worn, turn_rad=tuple(turns))
        cos, sin = math.cos(turn_rad), math.sin(turn_rad)
        about_x = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
        self._turns[band] = about_x @ _UPSIDE_DOWN if self.worn.upside_down[band] else about_x
        self._straps.forget(band)

    def _fresh(self, prompts: list[str]) -> list[str]:
        fresh = [prompt for prompt in prompts if prompt not in self._said]
        self._said.update(fresh)
        return fresh


def exchange_prompts(limbs: tuple[int, ...]) -> list[str]:
    """What to say of bands that are on `limbs`; nothing where each is on its own."""
    if any((band in _WRISTS) != (limb in _WRISTS) for band, limb in enumerate(limbs)):
        return ["wrist_band_on_ankle"]
    swapped = [("wrist_bands_swapped", _WRISTS), ("ankle_bands_swapped", _ANKLES)]
    return [prompt for prompt, bands in swapped if any(limbs[b] != b for b in bands)]
