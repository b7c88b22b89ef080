import math

import pytest

from device.config import Config, config_from
from device.runtime.services import SERVICES, WATCHING, Restarts, Service, services, watched
from device.skeleton import BANDS


def test_every_service_is_in_the_table_once_and_every_band_has_a_row() -> None:
    names = [service.name for service in SERVICES]
    assert len(set(names)) == len(names)
    assert {"core", "eye", "bands", *BANDS, "voice", "vibration", "store", "recording"} == set(names)
    assert set(WATCHING) <= set(names)


def test_a_service_that_can_be_restarted_has_no_last_attempt_and_a_bounded_rhythm() -> None:
    for service in SERVICES:
        if service.restarts is not None:
            assert max(service.restarts.rests_s) <= service.restarts.long_rest_s < math.inf
            assert service.start_s < math.inf


def test_the_rates_are_those_that_the_settings_ask_for() -> None:
    config = config_from({"camera": {"rate_hz": 30}, "imu": {"type": "ble", "rate_hz": 50}, "signals": {"tick_hz": 20}})
    rates = {service.name: service.rate_hz for service in services(config, watched(config))}
    assert rates == {"core": 20, "eye": 30, "bands": 0} | dict.fromkeys(BANDS, 50)


def test_without_bands_there_is_nothing_to_watch_of_them() -> None:
    assert watched(Config()) == ("core", "eye")


def test_an_entry_that_is_not_in_the_table_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="radio"):
        services(Config(), ["eye", "radio"])


@pytest.mark.parametrize(
    "wrong",
    [{"rate_hz": -1.0}, {"fresh_s": 0.0}, {"start_s": 0.0}, {"first_s": math.nan}, {"hung_s": 0.1}],
)
def test_an_entry_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    right = {"rate_hz": 1.0, "fresh_s": 1.0, "start_s": 1.0, "first_s": 1.0, "hung_s": 2.0}
    Service("eye", **right, restarts=None)
    with pytest.raises(ValueError, match="'eye'"):
        Service("eye", **right | wrong, restarts=None)


@pytest.mark.parametrize("wrong", [{"rests_s": ()}, {"rests_s": (-1.0,)}, {"most": 0}, {"long_rest_s": math.inf}])
def test_restarts_without_end_or_rest_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="restarts"):
        Restarts(**wrong)  # type: ignore[arg-type]
