import pytest

from device.messages import NS_PER_S
from device.runtime.freshness import Freshness

S = NS_PER_S


def stream(rate_hz: float, seconds: float, *, fresh_s: float = 0.5, start_ns: int = 100 * S) -> tuple[Freshness, int]:
    """A stream that came at `rate_hz` for `seconds`, and the time of its newest."""
    freshness = Freshness(15.0, fresh_s)
    count = round(rate_hz * seconds)
    times = [start_ns + round(k * S / rate_hz) for k in range(count + 1)]
    for t_ns in times:
        assert freshness.heard(t_ns, t_ns)
    return freshness, times[-1]


def test_before_any_data_nothing_is_alive_and_no_rate_is_wrong() -> None:
    health = Freshness(15.0, 0.5).at(100 * S)
    assert (health.alive, health.valid, health.rate_ok, health.age_s) == (False, False, True, None)


def test_data_at_the_expected_rate_is_well() -> None:
    freshness, now_ns = stream(15.0, 4.0)
    health = freshness.at(now_ns)
    assert health.ok
    assert health.rate_hz == pytest.approx(15.0, rel=0.05)
    assert health.age_s == 0


def test_it_is_alive_until_its_limit_and_not_a_moment_longer() -> None:
    freshness, now_ns = stream(15.0, 2.0)
    assert freshness.at(now_ns + S // 2).alive
    assert not freshness.at(now_ns + S // 2 + 1).alive
    assert not freshness.fresh(now_ns + S // 2 + 1)


@pytest.mark.parametrize(("rate_hz", "right"), [(5.0, False), (9.0, True), (21.0, True), (40.0, False)])
def test_a_rate_is_right_between_a_half_and_one_and_a_half(rate_hz: float, right: bool) -> None:
    freshness, now_ns = stream(rate_hz, 4.0)
    assert freshness.at(now_ns).rate_ok is right


def test_another_rate_can_be_expected() -> None:
    freshness, now_ns = stream(5.0, 4.0)
    freshness.rate_hz = 5.0
    assert freshness.at(now_ns).rate_ok


def test_a_rate_counts_samples_where_several_come_at_once() -> None:
    freshness = Freshness(100.0, 0.5)
    for k in range(80):
        freshness.heard(k * S // 20, count=5)
    assert freshness.at(79 * S // 20).rate_hz == pytest.approx(100.0, rel=0.05)


def test_a_repeated_an_old_and_a_future_time_are_not_valid() -> None:
    freshness, now_ns = stream(15.0, 2.0)
    assert not freshness.heard(now_ns + S // 10, now_ns)
    assert not freshness.heard(now_ns + 2 * S, now_ns + S)
    assert not freshness.heard(now_ns + 2 * S, now_ns + 3 * S)
    assert freshness.heard(now_ns + 2 * S, now_ns + 2 * S)


def test_stale_data_is_alive_and_not_valid() -> None:
    freshness, now_ns = stream(15.0, 2.0)
    for k in range(20):
        freshness.heard(now_ns + k * S // 10, now_ns)
    health = freshness.at(now_ns + 19 * S // 10)
    assert (health.alive, health.valid, health.ok) == (True, False, False)


def test_a_silence_in_which_nobody_listened_is_forgiven() -> None:
    freshness, now_ns = stream(15.0, 2.0)
    freshness.forgive(5 * S)
    assert freshness.fresh(now_ns + 5 * S)


def test_a_silence_that_was_asked_for_begins_when_it_no_longer_is() -> None:
    freshness, now_ns = stream(15.0, 2.0)
    freshness.excuse(now_ns + 60 * S)
    assert freshness.fresh(now_ns + 60 * S + S // 2)
    assert not freshness.fresh(now_ns + 61 * S)


def test_after_a_restart_old_times_are_new_again() -> None:
    freshness, now_ns = stream(15.0, 2.0)
    freshness.restart()
    assert not freshness.fresh(now_ns)
    assert freshness.heard(now_ns, now_ns)


def test_what_acts_only_when_asked_never_goes_stale() -> None:
    freshness = Freshness(0.0, float("inf"))
    freshness.heard(0)
    assert freshness.at(10**6 * S).ok
