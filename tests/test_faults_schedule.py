"""Which faults there are, and when they happen."""

from itertools import islice, pairwise

import numpy as np
import pytest

from device.messages import NS_PER_S
from device.runtime.services import SERVICES
from device.sim.faults.schedule import ANY_TIME, planned, schedule
from device.sim.faults.table import FAULTS, kind_named


def taken(seed: int, count: int = 60) -> list[tuple[str, int, int]]:
    return [(one.kind.name, one.begin_ns, one.end_ns) for one in islice(schedule(seed, 0, 100.0), count)]


def test_the_schedule_follows_from_its_seed() -> None:
    assert taken(3) == taken(3)
    assert taken(3) != taken(4)


def test_faults_come_about_as_often_as_asked_and_never_two_at_a_time() -> None:
    times = taken(5)
    gaps = [(after - end) / NS_PER_S for (_, _, end), (_, after, _) in pairwise(times)]
    assert all(70 <= gap <= 130 for gap in gaps)
    assert 95 < np.mean(gaps) < 105


def test_every_kind_comes_once_before_any_comes_again() -> None:
    names = [name for name, _, _ in taken(6, len(ANY_TIME))]
    assert sorted(names) == sorted(kind.name for kind in ANY_TIME)


def test_the_table_names_every_kind_once_and_allows_five_seconds_or_eight_for_a_reboot() -> None:
    assert len({kind.name for kind in FAULTS}) == len(FAULTS) >= 24
    assert {kind.name: kind.limit_s for kind in FAULTS if kind.limit_s != 5.0} == {"band_reboot": 8.0}


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind.make is not None], ids=lambda kind: kind.name)
def test_a_fault_harms_services_of_the_table_for_as_long_as_its_row_says(kind) -> None:
    one = planned(kind, 7, np.random.default_rng(1))
    assert set(one.fault.services) <= {service.name for service in SERVICES}
    assert kind.lasts_s[0] <= (one.end_ns - one.begin_ns) / NS_PER_S <= kind.lasts_s[1]


def test_a_fault_of_real_parts_is_refused_by_the_simulated_appliance() -> None:
    with pytest.raises(ValueError, match="real parts"):
        planned(kind_named("power_cut"), 0, np.random.default_rng(1))
