"""Which band is on which limb: a sequential test of what the camera sees of the limbs against what the bands feel.

A hypothesis says for each band on which limb it is and whether it is upside down. What a band's x axis does must then be
what the limb's direction does: its inclination, which gravity gives the band; how the inclination changes; and how the limb
swings sideways, where the band's heading is unknown and is found along with it. Each comparison adds the logarithm of a
likelihood ratio, bounded, and weighted by how often such samples are independent: a second of motion says only so much,
whatever the rates. Camera and bands may be apart by up to MAX_LAG_S; that too is a hypothesis.

Nothing here uses how a band is turned about the limb, so a band that slipped is not taken for one on another limb; in motion
that is the same for left and right, nothing tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from device.messages import Tick
from device.skeleton import N_BANDS, NODE

Floats = NDArray[np.float64]

MARGIN = 10.0
"""Lead in nats over every rival at which something is certain: a wrong one gains no more than 3 on rendered pictures."""
MOST = 20.0
"""Lead in nats that is remembered: what was certain for long is given up as fast as what was just found."""
FORGETTING_S = 40.0
MISPLACED_PRIOR, FLIPPED_PRIOR = -1.5, -6.0
"""Nats for each band that is not where it was thought to be, and for each that is upside down."""

MAX_LAG_S = 0.133
SPAN_S = 0.2
"""Time over which a change of direction is taken: the landmarks' noise is about 0.15 s long."""
EVALUATION_S = 0.2
MIN_VISIBILITY = 0.6
MIN_LIMB_M = 0.05

_LAGS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
_ORDERS = list(permutations(range(N_BANDS)))
_FLIPS = list(product((False, True), repeat=N_BANDS))
_LIMBS = np.repeat(np.array(_ORDERS), len(_FLIPS), axis=0)
_FLIPPED = np.tile(np.array(_FLIPS, dtype=np.int64), (len(_ORDERS), 1))
"""Hypotheses: limb of each band and whether it is upside down, each (384, 4)."""
_CELLS = (2 * np.arange(N_BANDS) + _FLIPPED).T * N_BANDS + _LIMBS.T
"""(4, 384), where in a flat (band, flip, limb) the nats of each band under each hypothesis are."""

_HEADING = np.exp(2j * np.pi * np.arange(12) / 12)
_HEADINGS = 2 * len(_HEADING)
"""Headings of a band's frame in the camera's, and those of its mirror image: see `_swings`."""
_HEADING_MIX_HZ = 0.1
"""Share that spreads over all headings in a second, as the gyro's bias turns the band's frame."""

_STATIC_S, _MOVING_S = 1.2, 0.5
"""Seconds until a residual of the inclination, and one of its changes, is a new one."""
_MATCH, _MISMATCH = 1.2, -3.0
"""Nats of a perfect match against a band that moves anyhow, and of any mismatch."""
_INCLINATION = (0.12, 0.15)
"""Standard deviation of the inclination's cosine: of an upright limb, and more of a level one, whose sine has no slope."""
_BIAS = 0.1
"""Error of the cosine that lasts, and so is no evidence at all."""
_CHANGE = (0.06, 0.3)
_ACROSS = (0.05, 0.25)
_AWAY = (0.08, 0.4)
_DEPTH_GAIN = 0.6
"""Changes upwards, across the picture and away from the camera: constant part of their standard deviation and share of the
larger change; the estimator shows only this share of what moves away."""

_NEAR = [NODE[name] for name in ("left_elbow", "right_elbow", "left_knee", "right_knee")]
_FAR = [NODE[name] for name in ("left_wrist", "right_wrist", "left_ankle", "right_ankle")]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The likeliest hypothesis. `limbs`: limb of each band; `flipped`: upside down; `certain`, `flip_certain`: each band's
    lead is MARGIN or more over every hypothesis that has it elsewhere, or the other way up."""

    limbs: tuple[int, ...]
    flipped: tuple[bool, ...]
    certain: tuple[bool, ...]
    flip_certain: tuple[bool, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Felt:
    """A tick, the bands that can be gone by at it (4,), and their x axes in level frames."""

    tick: Tick
    felt: NDArray[np.bool_]
    x_axes: list[tuple[float, float, float]]


class Assignment:
    """The test, one tick at a time; constant memory, most of the work every EVALUATION_S.

    `expected`: limb of each band as far as is known before; hypotheses that differ from it start behind.
    """

    def __init__(self, tick_hz: float, expected: tuple[int, ...] = tuple(range(N_BANDS))) -> None:
        self._every = max(1, round(EVALUATION_S * tick_hz))
        self._span = max(1, round(SPAN_S * tick_hz))
        self._reach = round(MAX_LAG_S * tick_hz)
        interval_s = self._every / tick_hz
        self._static, self._moving = interval_s / _STATIC_S, interval_s / _MOVING_S
        self._mixed = interval_s * _HEADING_MIX_HZ
        self._kept = float(np.exp(-interval_s / FORGETTING_S))
        keep = 2 * self._reach + self._span + 1
        self._axes = np.zeros((keep, N_BANDS, 3))
        self._felt = np.zeros((keep, N_BANDS), dtype=np.bool_)
        self._limbs = np.zeros((keep, N_BANDS, 3))
        self._seen = np.zeros((keep, N_BANDS), dtype=np.bool_)
        self._now = keep - 1 - self._reach
        self._lagged = self._now + np.rint(_LAGS * MAX_LAG_S * tick_hz).astype(np.int64)
        self._windows = self._lagged[:, None] + np.arange(-self._span, 1)
        self._waiting: list[_Felt] = []
        self._headings = np.full((len(_LAGS), N_BANDS, N_BANDS, _HEADINGS), 1 / _HEADINGS)
        self._prior = _prior(expected, (False,) * N_BANDS)
        self._scores = np.tile(self._prior, (len(_LAGS), 1))

    def expect(self, limbs: tuple[int, ...], flipped: tuple[bool, ...]) -> None:
        """From now on take `limbs` and `flipped` for what is to be expected; what was found before stays."""
        self._prior = _prior(limbs, flipped)

    def step(self, tick: Tick, felt: NDArray[np.bool_], x_axes: list[tuple[float, float, float]]) -> bool:
        """Next tick. `felt` (4,): bands whose attitude can be gone by, and goes on from the last tick; `x_axes` of the bands in
        level frames.

        Returns whether the scores changed.
        """
        self._waiting.append(_Felt(tick, felt, x_axes))
        if len(self._waiting) < self._every:
            return False
        self._take(self._waiting)
        self._waiting = []
        self._evaluate()
        return True

    @property
    def seen(self) -> tuple[Floats, NDArray[np.bool_]]:
        """Directions (4, 3) of the limbs at the newest tick that was evaluated, and which of them were seen (4,)."""
        return self._limbs[-1], self._seen[-1]

    def forget_headings(self, bands: NDArray[np.bool_]) -> None:
        """The level frames of `bands` (4,) are other ones from now on."""
        self._headings[:, bands] = 1 / _HEADINGS

    def verdict(self) -> Verdict:
        """What is likeliest now, and what of it is certain."""
        scores = self._scores.max(0)
        order, flip = divmod(int(scores.argmax()), len(_FLIPS))
        limbs, flipped = _ORDERS[order], _FLIPS[flip]
        beaten = float(scores.max()) - MARGIN
        by_order, by_flip = (scores.reshape(len(_ORDERS), len(_FLIPS)).max(axis).tolist() for axis in (1, 0))
        orders = [one for one, nats in zip(_ORDERS, by_order, strict=True) if nats >= beaten]
        flips = [one for one, nats in zip(_FLIPS, by_flip, strict=True) if nats >= beaten]
        return Verdict(
            limbs,
            flipped,
            tuple(all(one[b] == limbs[b] for one in orders) for b in range(N_BANDS)),
            tuple(all(one[b] == flipped[b] for one in flips) for b in range(N_BANDS)),
        )

    def _take(self, newest: list[_Felt]) -> None:
        """Put the ticks since the last evaluation into the history."""
        n = len(newest)
        for history in (self._axes, self._felt, self._limbs, self._seen):
            history[:-n] = history[n:].copy()
        world = np.array([one.tick.world for one in newest], dtype=np.float64)
        visibility = np.array([one.tick.visibility for one in newest])
        limb = world[:, _FAR] - world[:, _NEAR]
        length = np.sqrt((limb * limb).sum(-1))
        self._limbs[-n:] = limb / np.maximum(length, MIN_LIMB_M)[..., None]
        visible = np.minimum(visibility[:, _FAR], visibility[:, _NEAR]) > MIN_VISIBILITY
        present = np.array([[one.tick.pose_present] for one in newest])
        self._seen[-n:] = present & visible & (length > MIN_LIMB_M)
        self._axes[-n:] = [one.x_axes for one in newest]
        self._felt[-n:] = [one.felt for one in newest]

    def _evaluate(self) -> None:
        seen = self._seen[self._now - self._span : self._now + 1].all(0)
        comparable = self._felt[self._windows].all(1)[:, :, None] & seen
        if comparable.any():
            gained = self._inclinations() + self._swings(comparable)[:, :, None]
            gained = np.where(comparable[:, :, None], gained, 0.0).reshape(len(_LAGS), -1)
            for cells in _CELLS:
                self._scores += gained.take(cells, axis=1)
        # The lead over each rival fades towards what was expected, and none is longer than MOST.
        self._scores = self._prior + (self._scores - self._prior) * self._kept
        self._scores -= self._scores.max()
        np.maximum(self._scores, -MOST, out=self._scores)

    def _inclinations(self) -> Floats:
        """Nats (lag, band, flip, limb) from the inclination and its change."""
        now, lagged = self._now, self._lagged
        then = now - self._span
        up = -self._limbs[now, :, 1]
        up_change = up + self._limbs[then, :, 1]
        sign = np.array([1.0, -1.0])[:, None]
        band = self._axes[lagged, :, 2]
        band_up = band[:, :, None, None] * sign
        band_change = (band - self._axes[lagged - self._span, :, 2])[:, :, None, None] * sign
        level = np.sqrt(1 - np.minimum(np.minimum(band_up**2, up**2), 1.0))
        excess = np.maximum(np.abs(band_up - up) - _BIAS, 0.0)
        static = _nats((excess / (_INCLINATION[0] + _INCLINATION[1] * level)) ** 2)
        change = np.maximum(np.abs(band_change), np.abs(up_change))
        moving = _nats(((band_change - up_change) / (_CHANGE[0] + _CHANGE[1] * change)) ** 2)
        return np.asarray(self._static * static + self._moving * moving)

    def _swings(self, comparable: NDArray[np.bool_]) -> Floats:
        """Nats (lag, band, limb) from the level part of the change of direction; learns the headings.

        A band that is upside down has another heading, that's all.
        """
        now, lagged = self._now, self._lagged
        swing = (self._limbs[now] - self._limbs[now - self._span])[:, [0, 2]]
        moved = self._axes[lagged] - self._axes[lagged - self._span]
        swung = (moved[..., 0] + 1j * moved[..., 1])[..., None]
        # A mirror image fits as well. So the left limb's path does for the right one's in motion that is the same on both
        # sides: the depth of the landmarks is too coarse to tell a path from its mirror image.
        band = np.concatenate([swung * _HEADING, swung.conj() * _HEADING], axis=-1)
        band = band[:, :, None]
        size = np.maximum(np.abs(band[..., :1]), np.hypot(*swing.T)[:, None])
        across = (swing[:, :1] - band.real) / (_ACROSS[0] + _ACROSS[1] * size)
        away = (swing[:, 1:] - _DEPTH_GAIN * band.imag) / (_AWAY[0] + _AWAY[1] * size)
        likelihood = np.exp(self._moving * _nats(across * across + away * away))
        posterior = self._headings * np.where(comparable[..., None], likelihood, 1.0)
        predicted = posterior.sum(-1, keepdims=True)
        self._headings = (1 - self._mixed) * posterior / predicted + self._mixed / _HEADINGS
        return np.asarray(np.log(predicted[..., 0]))


def _nats(squared: Floats) -> Floats:
    """Log likelihood ratio of a residual, squared, in standard deviations, bounded on both sides."""
    return np.asarray(np.maximum(_MATCH - 0.5 * squared, _MISMATCH))


def _prior(limbs: tuple[int, ...], flipped: tuple[bool, ...]) -> Floats:
    misplaced = (np.array(limbs) != _LIMBS).sum(-1)
    turned = (np.array(flipped, dtype=np.int64) != _FLIPPED).sum(-1)
    return np.asarray(MISPLACED_PRIOR * misplaced + FLIPPED_PRIOR * turned)
