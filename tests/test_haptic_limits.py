import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.drivers.haptic_limits import PAUSE_NS, SHORTEST_NS, WINDOW_NS, OnTimeLimiter

MS = 1_000_000

requests = st.lists(
    st.tuples(st.integers(0, 3000) | st.integers(0, 150), st.integers(1, 6000), st.booleans()), min_size=1, max_size=60
)


def on_spans(limiter, asked):
    """What a motor does that obeys the grants: (start, end) in ms, a new pulse replacing the running one."""
    spans, t = [], 0
    for pause_ms, duration_ms, wait_for_end in asked:
        t += pause_ms * MS
        if wait_for_end and spans:
            t = max(t, spans[-1][1])
        granted = limiter.grant(0, duration_ms * MS, t)
        assert 0 <= granted <= duration_ms * MS
        if granted:
            if spans and spans[-1][1] > t:
                spans[-1] = (spans[-1][0], t)
            spans.append((t, t + granted))
    return [(start, end) for start, end in spans if end > start]


@settings(deadline=None)
@given(requests, st.integers(30, 5000), st.floats(0.01, 1.0))
def test_no_window_holds_more_on_time_than_the_duty_allows(asked, max_on_ms, max_duty):
    spans = on_spans(OnTimeLimiter(max_on_ms * MS, max_duty), asked)
    for _, window_end in spans:
        begin = window_end - WINDOW_NS
        on = sum(max(0, min(end, window_end) - max(start, begin)) for start, end in spans)
        assert on <= max_duty * WINDOW_NS


@settings(deadline=None)
@given(requests, st.integers(30, 5000))
def test_no_stretch_is_longer_than_the_longest_on_time(asked, max_on_ms):
    spans = on_spans(OnTimeLimiter(max_on_ms * MS, 1.0), asked)
    stretches = []
    for start, end in spans:
        if stretches and start - stretches[-1][1] < PAUSE_NS:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((start, end))
    assert all(end - start <= max_on_ms * MS for start, end in stretches)


def test_a_modest_request_is_granted_whole():
    assert OnTimeLimiter(1000 * MS, 0.3).grant(0, 200 * MS, 0) == 200 * MS


def test_a_used_up_duty_comes_back_with_time():
    limiter = OnTimeLimiter(1000 * MS, 0.1)
    assert limiter.grant(0, 1000 * MS, 0) == 1000 * MS
    assert limiter.grant(0, 500 * MS, 5_000 * MS) == 0
    assert limiter.grant(0, 500 * MS, 10_000 * MS) == 500 * MS


def test_motors_have_their_own_duty():
    limiter = OnTimeLimiter(1000 * MS, 0.1)
    limiter.grant(0, 1000 * MS, 0)
    assert limiter.grant(1, 1000 * MS, 0) == 1000 * MS


def test_a_pulse_too_short_to_feel_is_not_granted():
    limiter = OnTimeLimiter(1000 * MS, 0.1)
    assert limiter.grant(0, SHORTEST_NS - 1, 0) == 0
    limiter.grant(0, 980 * MS, 0)
    assert limiter.grant(0, 500 * MS, 5_000 * MS) == 0


@pytest.mark.parametrize("duration_ns", [0, -1])
def test_no_duration_is_no_grant(duration_ns):
    assert OnTimeLimiter(1000 * MS, 0.3, shortest_ns=1).grant(0, duration_ns, 0) == 0
