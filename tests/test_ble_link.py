"""The life of a link, edge by edge."""

import pytest

from device.drivers.ble.states import TRANSITIONS, Event, Link, Rests, State, follow, rested

S = 1_000_000_000
RESTS = Rests(first_s=0.5, longest_s=4.0, refused_s=60.0, steady_s=5.0)


def after(events, link=None, rests=RESTS, step_ns=1):
    link = link or Link()
    for i, event in enumerate(events):
        link = follow(link, event, i * step_ns, rests)
    return link


GOOD = [Event.HEARD, Event.TURN, Event.CONNECTED, Event.SUBSCRIBED]


def test_a_link_that_goes_well():
    assert [after(GOOD[:n]).state for n in range(5)] == [
        State.SOUGHT,
        State.FOUND,
        State.CONNECTING,
        State.SUBSCRIBING,
        State.STREAMING,
    ]


@pytest.mark.parametrize(
    ("at", "event", "to"),
    [
        (1, Event.REFUSED, State.REFUSED),
        (2, Event.FAILED, State.RESTING),
        (2, Event.PARTED, State.RESTING),
        (3, Event.FAILED, State.RESTING),
        (3, Event.PARTED, State.RESTING),
        (3, Event.SILENT, State.RESTING),
        (3, Event.REFUSED, State.REFUSED),
        (4, Event.FAILED, State.RESTING),
        (4, Event.PARTED, State.RESTING),
        (4, Event.SILENT, State.RESTING),
        (4, Event.REFUSED, State.REFUSED),
        (0, Event.REFUSED, State.REFUSED),
    ],
)
def test_what_goes_wrong_on_the_way(at, event, to):
    assert after([*GOOD[:at], event]).state is to


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", list(Event))
def test_every_pair_of_state_and_event_is_decided(state, event):
    link = Link(state, since_ns=3, until_ns=5, failures=2, connections=1)
    moved = follow(link, event, 10, RESTS)
    if event is Event.CLOSE:
        assert moved.state is State.CLOSED
    elif event in TRANSITIONS[state]:
        assert moved.state is TRANSITIONS[state][event]
        assert moved.since_ns == 10
    else:
        assert moved == link


def test_from_every_state_but_the_last_there_is_a_way_to_streaming():
    reached = {State.STREAMING}
    while True:
        more = {state for state, ways in TRANSITIONS.items() if set(ways.values()) & reached} - reached
        if not more:
            break
        reached |= more
    assert reached == set(State) - {State.CLOSED}


def test_a_disconnection_that_is_told_twice_counts_once():
    link = after([*GOOD, Event.PARTED])
    assert follow(link, Event.PARTED, 99, RESTS) == link


def test_rests_double_up_to_a_limit():
    link, rests_s = Link(), []
    for _ in range(6):
        link = after([Event.HEARD, Event.TURN, Event.FAILED], link)
        rests_s.append((link.until_ns - link.since_ns) / S)
        assert not rested(link, link.until_ns - 1)
        assert rested(link, link.until_ns)
        link = follow(link, Event.RESTED, link.until_ns, RESTS)
        assert link.state is State.SOUGHT
    assert rests_s == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_failures_without_number_do_not_overflow():
    assert RESTS.after(10**6) == 4.0


def test_a_stream_that_breaks_at_once_is_another_failure_in_a_row():
    link = Link()
    for _ in range(3):
        link = after([*GOOD, Event.SILENT, Event.RESTED], link)
    assert link.failures == 3


def test_steady_data_forgives_what_was_before():
    link = Link(failures=5)
    link = after(GOOD, link)
    parted = follow(link, Event.PARTED, link.since_ns + 5 * S, RESTS)
    assert parted.failures == 1
    assert parted.until_ns - parted.since_ns == 0.5 * S


def test_a_refused_band_is_looked_at_again_after_a_long_while():
    link = after([*GOOD, Event.REFUSED])
    assert link.until_ns - link.since_ns == 60 * S
    assert not rested(link, link.since_ns + 59 * S)
    assert after([Event.RESTED], link).state is State.SOUGHT


def test_reconnects_are_the_streams_after_the_first():
    link = Link()
    assert link.reconnects == 0
    for expected in (0, 1, 2):
        link = after(GOOD, link)
        assert link.reconnects == expected
        link = after([Event.PARTED, Event.RESTED], link)


def test_a_closed_link_stays_closed():
    link = after([Event.CLOSE])
    for event in Event:
        assert follow(link, event, 5, RESTS).state is State.CLOSED
