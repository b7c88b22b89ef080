"""The virtual trainee's bands with the real firmware, over the virtual radio and the ble driver, into the core."""

from __future__ import annotations

import numpy as np
import pytest
from firmware_bench import needs_interpreter

pytest.importorskip("bleak", reason="bleak is absent; install it with: pip install bleak")
pytest.importorskip("bumble", reason="bumble is absent; install it with: pip install bumble")

from test_demo_loop import SEED, TrueEye, TrueModel

from device.config import Config, with_settings
from device.demo.loop import Ears, ObservedModel, lockstep
from device.demo.stage import Staging, set_stage
from device.messages import EXERCISES, NS_PER_S, ClockPing, Cue, ImuBatch
from device.report.log import LogBook
from device.runtime.core import Core
from device.runtime.session import Heard, Session
from device.runtime.timebase import Timebase
from device.sim.bands import true_imu
from device.sim.script import PlannedHabit, RestBlock, SessionPlan, SetBlock
from device.sim_radio.worn import WornBands
from device.skeleton import N_BANDS

pytestmark = needs_interpreter


def staging() -> Staging:
    """Three fast squats that are not deep enough."""
    squats = SetBlock("squat", "both", 3, "fast", (PlannedHabit("shallow", "both", 0.45, 1),), 0.3)
    # The radio runs in real time, on a machine that runs other tests beside: what it delays is waited for.
    config = with_settings(Config(), camera={"type": "virtual"}, signals={"max_wait_ms": 1000.0})
    stage = set_stage(SEED, config, ["squat"], 1)
    return Staging(SEED, stage.config, stage.exercises, SessionPlan(0.0, (RestBlock(2.0, ()), squats, RestBlock(0.5, ()))))


class Felt:
    """A sink that keeps what the bands sent."""

    def __init__(self) -> None:
        self.messages: list[ImuBatch | ClockPing] = []

    def receive(self, message: Heard) -> None:
        if isinstance(message, ImuBatch | ClockPing):
            self.messages.append(message)

    def close(self) -> None:
        pass


class Radio:
    """A short set, coached with the bands on the radio."""

    def __init__(self) -> None:
        stage = staging()
        self.trainee, felt, ears, cues = stage.trainee(), Felt(), Ears(), []
        self.model = ObservedModel(TrueModel(self.trainee))
        self.book = LogBook(EXERCISES, raw=self.model.raw)
        core = Core(stage.config, self.model, stage.exercises, 0)
        with WornBands(stage.config.imu, stage.trainee(), seed=SEED) as bands:
            with Session(core, [self.book, ears, felt]) as session:  # type: ignore[list-item]
                listeners = [self.trainee.hear, bands.hear, cues.append]
                for _ in lockstep(session, TrueEye(stage.trainee()), bands, ears, listeners, realtime=True):
                    pass
            self.health = bands.health()
        self.messages, self.cues = felt.messages, cues


@pytest.fixture(scope="module")
def radio() -> Radio:
    return Radio()


def test_all_four_bands_stream_without_loss(radio: Radio) -> None:
    assert sorted(radio.health) == list(range(N_BANDS))
    for health in radio.health.values():
        assert health.lost == health.duplicated == health.dropped == health.reconnects == 0
        assert health.received > 4 * 95
    for band in range(N_BANDS):
        # By the band's own clock: how evenly packets arrive is the machine's doing here.
        batches = [m for m in radio.messages if isinstance(m, ImuBatch) and m.band == band]
        times_ns = np.concatenate([batch.times_ns for batch in batches])
        assert (len(times_ns) - 1) * NS_PER_S / (times_ns[-1] - times_ns[0]) == pytest.approx(104, abs=3)


def test_what_arrives_is_what_the_trainee_did(radio: Radio) -> None:
    timebase, end_ns = Timebase(), radio.trainee.duration_ns
    felt: list[list[ImuBatch]] = [[] for _ in range(N_BANDS)]
    for message in radio.messages:
        if isinstance(message, ClockPing):
            timebase.ping(message)
            continue
        batch = timebase.convert(message, message.t_ns)
        if 4 * NS_PER_S < batch.t_ns < end_ns - NS_PER_S:
            felt[batch.band].append(batch)
    for band, batches in enumerate(felt):
        times_ns = np.concatenate([batch.times_ns for batch in batches])
        true = true_imu(radio.trainee, times_ns, SEED)[:, band]
        errors = np.linalg.norm(np.concatenate([batch.values for batch in batches]) - true, axis=1)
        assert len(errors) > 3 * 95
        assert np.median(errors) < 0.5
        assert np.percentile(errors, 95) < 2.0


def test_the_set_is_counted_and_the_error_corrected(radio: Radio) -> None:
    log = radio.book.log()
    assert [done.repetitions for done in log.sets] == [3]
    assert any(isinstance(cue, Cue) and cue.kind == "correction" for cue in radio.cues)


def test_the_model_sees_the_bands(radio: Radio) -> None:
    inertial = np.stack(radio.model.inertial)
    assert np.abs(inertial).max(axis=(0, 2)).min() > 0
