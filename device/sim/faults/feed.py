"""Virtual trainees who come and go all day, as an appliance's eye and bands sense them, piece by piece.

Pieces are made once and repeated, moved in time. The four bands are the same all day: their counters run on through all pieces,
wrap and drift as one crystal's do. What is true stays known, so that repetitions can be counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from device.messages import EXERCISES, NS_PER_S, ImuBatch, Pose
from device.sim.scene import sample_scene
from device.sim.script import RestBlock, SessionPlan, plan_session
from device.sim.trainee import TrueSet, VirtualTrainee
from device.sim_clock.band import Air, SimulatedBand
from device.sim_clock.session import AIRS, MAX_DRIFT, RATE_ERROR, felt, seen
from device.skeleton import N_BANDS

SETS = EXERCISES[:-1]
REPETITIONS = 10
_SENT_LATE_S = 0.3
"""A band goes on so long after its piece, so that the last batch of the piece is there."""


@dataclass(frozen=True, slots=True)
class Crystal:
    """One band's: `drift` of its counter, `rate_error` of its sample rate, and its connection."""

    drift: float
    rate_error: float
    air: Air


def crystals(seed: int) -> tuple[Crystal, ...]:
    """Those of four bands."""
    rng = np.random.default_rng((seed, 11))
    return tuple(
        Crystal(float(rng.uniform(-MAX_DRIFT, MAX_DRIFT)), float(rng.uniform(-RATE_ERROR, RATE_ERROR)), AIRS[band % len(AIRS)])
        for band in range(N_BANDS)
    )


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """What reaches the host from `band`, `at_ns` into its piece. `stamped_ns`: when its first sample was taken, or the answer
    given, as exactly as the band stamps. `index`: of the first sample. A ping has `asked_ns` and no values."""

    band: int
    at_ns: int
    stamped_ns: int
    index: int
    asked_ns: int | None
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some whole `seconds` of somebody before the camera with four bands on. Times are from the piece's beginning. `sent`: in
    order of arrival; `samples`: how many each band takes."""

    seconds: int
    sets: tuple[TrueSet, ...]
    poses: tuple[Pose, ...]
    sent: tuple[Sent, ...]
    samples: tuple[int, ...]


def training(seed: int, exercise: str, worn: Sequence[Crystal], repetitions: int = REPETITIONS) -> Piece:
    """One set of `exercise`, and how the trainee gets there."""
    plan = plan_session(seed, sets=[exercise], reps=repetitions, variety=0.3, brief=True)
    return _piece(seed, VirtualTrainee(seed, plan, deaf=True), worn)


def resting(seed: int, seconds: float, worn: Sequence[Crystal]) -> Piece:
    """Standing about between sets."""
    return _piece(seed, VirtualTrainee(seed, SessionPlan(0.0, (RestBlock(seconds, ()),)), deaf=True), worn)


def library(seed: int, trainees: int = 1) -> tuple[list[Piece], list[Piece]]:
    """Sets of every exercise by as many different trainees, and rests."""
    worn = crystals(seed)
    sets = [training(1000 * seed + 10 * i + j, name, worn) for j in range(trainees) for i, name in enumerate(SETS)]
    return sets, [resting(1000 * seed + 900 + i, 14.0 + 9.0 * i, worn) for i in range(2)]


def day(sets: Sequence[Piece], rests: Sequence[Piece], seed: int) -> Iterator[Piece]:
    """Sets in random order with rests between them, without end."""
    rng = np.random.default_rng((seed, 12))
    while True:
        for i in rng.permutation(len(sets)):
            yield sets[i]
            yield rests[int(rng.integers(len(rests)))]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A piece that begins at `start_ns` (host)."""

    start_ns: int
    piece: Piece

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.piece.seconds * NS_PER_S


def placed(pieces: Iterable[Piece], start_ns: int) -> Iterator[Placed]:
    """One after the other from `start_ns` on."""
    for piece in pieces:
        yield Placed(start_ns, piece)
        start_ns += piece.seconds * NS_PER_S


def _piece(seed: int, trainee: VirtualTrainee, worn: Sequence[Crystal]) -> Piece:
    seconds = -(-trainee.duration_ns // NS_PER_S)
    length_ns = seconds * NS_PER_S
    rng = np.random.default_rng((seed, 7))
    poses = tuple(seen(rng, trainee, sample_scene(rng).camera, length_ns))
    sent = [list(_sent(seed, band, crystal, trainee, length_ns)) for band, crystal in enumerate(worn)]
    samples = tuple(max((one.index + len(one.values) for one in own), default=0) for own in sent)
    return Piece(seconds, trainee.sets, poses, tuple(sorted(chain(*sent), key=lambda one: one.at_ns)), samples)


def _sent(seed: int, band: int, crystal: Crystal, trainee: VirtualTrainee, length_ns: int) -> Iterator[Sent]:
    link = SimulatedBand(
        seed,
        band,
        seconds=length_ns / NS_PER_S + _SENT_LATE_S,
        drift=crystal.drift,
        rate_error=crystal.rate_error,
        air=crystal.air,
    )
    heard = list(felt(link.heard(), trainee, band, 0))
    rate = 1 + crystal.drift
    first = next(one for one in heard if isinstance(one.message, ImuBatch))
    assert isinstance(first.message, ImuBatch)
    zero_ns = int(first.message.times_ns[0]) - round(int(first.truth_ns[0]) * rate)
    nothing = np.empty((0, 6), np.float32)
    for one in heard:
        message = one.message
        if isinstance(message, ImuBatch):
            stamped_ns = round((int(message.times_ns[0]) - zero_ns) / rate)
            # Samples of the next piece are in its own batches.
            if int(one.truth_ns[-1]) < length_ns:
                yield Sent(band, one.t_ns, stamped_ns, message.seq, None, message.values)
        elif message.sent_ns < length_ns:
            yield Sent(band, one.t_ns, round((message.band_ns - zero_ns) / rate), 0, message.sent_ns, nothing)


def true_repetitions(sets: Iterable[TrueSet]) -> int:
    return sum(len(done.repetitions) for done in sets)
