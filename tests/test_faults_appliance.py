"""The simulated appliance: what is fed, what is counted, and each fault in a quick form."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from device.bench.soak import SoakFindings, soak_rows
from device.config import Config
from device.messages import NS_PER_S, ServiceState
from device.runtime.bundle import load_bundle
from device.runtime.timebase import Timebase
from device.sim.faults.appliance import START_NS, Appliance
from device.sim.faults.clock import SimulatedClock
from device.sim.faults.feed import crystals, day, placed, resting, training, true_repetitions
from device.sim.faults.links import FeedBands
from device.sim.faults.schedule import ANY_TIME, Planned
from device.sim.faults.table import kind_named
from device.sim.faults.tracker import Tracker
from device.sim_clock.band import COUNTER_BITS

WORN = crystals(1)
SETTLED_S = 4.0
BUNDLE = load_bundle()


@pytest.fixture(scope="module")
def rest():
    return resting(1, 12.0, WORN)


def bands_of(piece, booted_s=60.0, pieces=1):
    bands = FeedBands(placed([piece] * pieces, 0), WORN, 1, [-round(booted_s * NS_PER_S)] * 4)
    bands.open()
    return bands


def read(bands, seconds, start_s=0.0):
    """(pings, batches) of the time from `start_s` on, read as the loop does."""
    pings, batches = [], []
    for step in range(round(30 * seconds)):
        now_ns = round((start_s + (step + 1) / 30) * NS_PER_S)
        pings += bands.pings(now_ns)
        batches += bands.read(now_ns)
    return pings, batches


def of_band(batches, band):
    return [batch for batch in batches if batch.band == band]


def test_samples_go_on_through_pieces_as_of_one_band(rest) -> None:
    _, batches = read(bands_of(rest, pieces=3), 3 * rest.seconds)
    for band in range(4):
        own = of_band(batches, band)
        stamps = np.concatenate([batch.times_ns for batch in own])
        assert np.all(np.diff(stamps) > 0)
        assert np.all(np.diff([batch.seq for batch in own]) > 0)
        # 100 samples a second, give or take the crystal, less the packets that are always lost.
        assert 90 < len(stamps) / (3 * rest.seconds) < 103
        assert {batch.session for batch in own} == {1}


def test_the_clock_of_a_band_is_found_and_a_wrap_of_its_counter_changes_nothing(rest) -> None:
    turn_s = (1 << COUNTER_BITS) * 1e-6
    bands, timebase = bands_of(rest, booted_s=turn_s - 6.0), Timebase()
    pings, batches = read(bands, 10.0)
    for message in sorted([*pings, *batches], key=lambda one: one.t_ns):
        if hasattr(message, "sent_ns"):
            timebase.ping(message)
        else:
            timebase.convert(message, message.t_ns)
    errors = [link.clock_error_ns(timebase) for link in bands.links]
    assert all(error is not None and abs(error) < 5e6 for error in errors)


def test_a_band_that_reboots_is_silent_and_then_has_a_new_session_from_zero(rest) -> None:
    bands = bands_of(rest)
    read(bands, 4.0)
    bands.links[2].reboot(4 * NS_PER_S)
    _, batches = read(bands, 6.0, start_s=4.0)
    own = of_band(batches, 2)
    assert own[0].t_ns > 6 * NS_PER_S
    assert (own[0].session, own[0].seq) == (2, 0)
    assert own[0].times_ns[0] < 3 * NS_PER_S
    assert {batch.session for batch in of_band(batches, 0)} == {1}


def test_doubled_notifications_bring_every_packet_twice(rest) -> None:
    bands = bands_of(rest)
    bands.links[1].doubled = True
    _, batches = read(bands, 3.0)
    seqs = [batch.seq for batch in of_band(batches, 1)]
    assert sorted(seqs)[::2][:20] == sorted(seqs)[1::2][:20]


def test_shuffled_packets_are_overtaken_and_none_is_lost(rest) -> None:
    plain, shuffled = bands_of(rest), bands_of(rest)
    shuffled.links[0].shuffled = 0.3
    _, before = read(plain, 4.0)
    _, after = read(shuffled, 5.0)
    seqs = [batch.seq for batch in of_band(after, 0)]
    assert seqs != sorted(seqs)
    assert {batch.seq for batch in of_band(before, 0)} <= set(seqs)


def test_a_burst_loses_about_its_share(rest) -> None:
    bands = bands_of(rest)
    bands.links[3].loss = 0.67
    _, batches = read(bands, 8.0)
    assert 0.15 < len(of_band(batches, 3)) / len(of_band(batches, 0)) < 0.55
    assert bands.links[3].dropped > 0


def test_a_stalled_appliance_sleeps_longer_once() -> None:
    clock = SimulatedClock(5)
    clock.stall(NS_PER_S)
    clock.sleep(0.5)
    clock.sleep(0.5)
    assert clock() == 5 + 2 * NS_PER_S


def test_the_day_goes_on_with_sets_and_rests_and_follows_from_its_seed(rest) -> None:
    sets = [training(7, "squat", WORN, repetitions=2), training(8, "lunge", WORN, repetitions=2)]
    first, again = (list(islice(day(sets, [rest], 3), 12)) for _ in range(2))
    assert first == again
    assert [bool(piece.sets) for piece in first] == [True, False] * 6


@pytest.mark.parametrize("name", [kind.name for kind in ANY_TIME])
def test_each_fault_is_survived_at_rest(name: str, rest, tmp_path: Path) -> None:
    kind = kind_named(name)
    assert kind.make is not None
    # Short: what is not noticed in a second does no harm, and what has to be restarted has been by the end.
    lasts_s = 0.0 if kind.lasts_s[1] == 0 else 1.5
    begin_ns = START_NS + round(SETTLED_S * NS_PER_S)
    plan = Planned(kind, kind.make(np.random.default_rng(2)), begin_ns, begin_ns + round(lasts_s * NS_PER_S))
    rig = Appliance([rest], WORN, 1, tmp_path, config=Config(), bundle=BUNDLE)
    tracker = Tracker(rig, plan)
    with rig:
        for now_ns in rig.run(START_NS + rest.seconds * NS_PER_S):
            tracker.step(now_ns)
            if tracker.recovered_ns is not None:
                break
    assert tracker.begun
    assert tracker.recovered_s is not None
    assert tracker.recovered_s <= kind.limit_s


def test_a_camera_that_hangs_is_noticed_and_costs_the_skeleton_for_a_while(rest, tmp_path: Path) -> None:
    kind = kind_named("camera_hang")
    assert kind.make is not None
    begin_ns = START_NS + round(SETTLED_S * NS_PER_S)
    rig = Appliance([rest], WORN, 1, tmp_path, config=Config(), bundle=BUNDLE)
    tracker = Tracker(rig, Planned(kind, kind.make(np.random.default_rng(2)), begin_ns, begin_ns))
    with rig:
        for now_ns in rig.run(START_NS + rest.seconds * NS_PER_S):
            tracker.step(now_ns)
    assert tracker.detected_s is not None
    assert 0.5 < tracker.detected_s < 2.5
    assert tracker.blind_ticks > 30
    assert rig.eye.started == 2
    states = [change.state for change in rig.witness.changes if change.service == "eye"]
    assert ServiceState.FAILED in states
    assert states[-1] is ServiceState.RUNNING


def test_a_fault_whose_cause_stays_does_not_count_as_recovered(rest, tmp_path: Path) -> None:
    kind = kind_named("band_lost")
    assert kind.make is not None
    plan = Planned(kind, kind.make(np.random.default_rng(2)), START_NS + NS_PER_S, START_NS + 3600 * NS_PER_S)
    rig = Appliance([rest], WORN, 1, tmp_path, config=Config(), bundle=BUNDLE)
    tracker = Tracker(rig, plan)
    with rig:
        for now_ns in rig.run(START_NS + 8 * NS_PER_S):
            tracker.step(now_ns)
    assert not tracker.ended
    assert tracker.recovered_s is None
    assert not rig.whole()


def test_memory_that_grows_and_repetitions_that_are_lost_miss_their_limits() -> None:
    grows = [(30.0 * i, 100_000_000 + 50_000 * i, 20, 2) for i in range(100)]
    found = SoakFindings(seconds=3000.0, wall_s=100.0, usage=grows, untouched=[(10, 10), (10, 9)], stuck=["x"])
    rows = {row.name: row for row in soak_rows(found)}
    assert rows["soak_memory_slope"].value == pytest.approx(6.0, rel=1e-3)
    assert not rows["soak_memory_slope"].ok
    assert rows["soak_files_slope"].value == pytest.approx(0.0, abs=1e-6)
    assert rows["soak_files_slope"].ok
    assert rows["soak_repetitions_lost"].value == 1
    assert not rows["soak_repetitions_lost"].ok
    assert not rows["soak_stuck"].ok


def test_repetitions_are_known() -> None:
    assert true_repetitions(training(7, "squat", WORN, repetitions=3).sets) == 3
