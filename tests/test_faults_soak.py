"""A few minutes of the soak."""

import dataclasses

import numpy as np
import pytest

from device.bench.outcomes import print_soak
from device.bench.soak import SoakFindings, soak, soak_rows
from device.config import Config
from device.errors import SpotterError
from device.sim.faults.feed import crystals, resting, training

SEED = 1
HOURS = 0.03


@pytest.fixture(scope="module")
def found() -> SoakFindings:
    worn = crystals(SEED)
    sets = [training(1010, "squat", worn, repetitions=3)]
    return soak(HOURS, SEED, Config(), every_s=40.0, pieces=(sets, [resting(900, 10.0, worn)]))


def test_a_short_soak_counts_its_repetitions_and_survives_its_faults(found: SoakFindings) -> None:
    rows = {row.name: row for row in soak_rows(found)}
    assert rows["soak_faults"].value is not None
    assert rows["soak_faults"].value >= 1
    assert rows["soak_stuck"].value == 0
    assert found.untouched
    assert rows["soak_repetitions_lost"].value == 0
    assert rows["soak_repetitions_too_many"].value == 0


def test_a_short_soak_samples_what_the_process_uses(found: SoakFindings) -> None:
    usage = np.array(found.usage)
    assert len(usage) == 4
    assert np.all(np.diff(usage[:, 0]) > 29)
    assert np.all(usage[:, 1] > 50e6)
    assert np.ptp(usage[:, 3]) == 0


def test_a_soak_of_sets_that_the_coach_does_not_count_is_refused() -> None:
    worn = crystals(SEED)
    still = resting(900, 8.0, worn)
    claimed = dataclasses.replace(still, sets=training(1010, "squat", worn, repetitions=1).sets)
    with pytest.raises(SpotterError, match="--seed"):
        soak(HOURS, SEED, Config(), pieces=([claimed], [still]))


def test_people_read_what_was_stuck_and_how_long_the_rest_took(capsys: pytest.CaptureFixture[str]) -> None:
    print_soak(
        SoakFindings(recoveries_s={"band_lost": [1.0, 2.25]}, stuck=["disk_full at 90 s"], missed=["squat at 30 s: 9 of 10"])
    )
    printed = capsys.readouterr().out
    assert "band_lost" in printed
    assert "2 times, over after 2.25 s at most" in printed
    assert "stuck: disk_full at 90 s" in printed
    assert "miscounted: squat at 30 s: 9 of 10" in printed
