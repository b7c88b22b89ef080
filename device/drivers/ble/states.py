"""The life of the link to one band: a table of transitions, and how long it rests after what went wrong. No input, no output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from device.messages import NS_PER_S


class State(Enum):
    """Where a link is."""

    SOUGHT = auto()
    """Its band's advertisement is listened for."""
    FOUND = auto()
    """Its band was heard and waits for its turn: one connects at a time, and not while scanning."""
    CONNECTING = auto()
    SUBSCRIBING = auto()
    """Connected; its services are looked at and its streams asked for."""
    STREAMING = auto()
    RESTING = auto()
    """It failed, and waits before it is sought again."""
    REFUSED = auto()
    """What answered is not to be trusted or not understood; it is looked at again after a long while."""
    CLOSED = auto()


class Event(Enum):
    """What happens to a link."""

    HEARD = auto()
    TURN = auto()
    CONNECTED = auto()
    SUBSCRIBED = auto()
    FAILED = auto()
    """Connecting or subscribing did not succeed; a connection without services counts as one."""
    SILENT = auto()
    """Connected, and yet no data."""
    PARTED = auto()
    """The connection ended."""
    REFUSED = auto()
    RESTED = auto()
    CLOSE = auto()


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.SOUGHT: {Event.HEARD: State.FOUND, Event.REFUSED: State.REFUSED},
    State.FOUND: {Event.TURN: State.CONNECTING, Event.REFUSED: State.REFUSED},
    State.CONNECTING: {
        Event.CONNECTED: State.SUBSCRIBING,
        Event.FAILED: State.RESTING,
        Event.PARTED: State.RESTING,
        Event.REFUSED: State.REFUSED,
    },
    State.SUBSCRIBING: {
        Event.SUBSCRIBED: State.STREAMING,
        Event.FAILED: State.RESTING,
        Event.SILENT: State.RESTING,
        Event.PARTED: State.RESTING,
        Event.REFUSED: State.REFUSED,
    },
    State.STREAMING: {
        Event.FAILED: State.RESTING,
        Event.SILENT: State.RESTING,
        Event.PARTED: State.RESTING,
        Event.REFUSED: State.REFUSED,
    },
    State.RESTING: {Event.RESTED: State.SOUGHT},
    State.REFUSED: {Event.RESTED: State.SOUGHT},
    State.CLOSED: {},
}
"""What is not in the table changes nothing: a disconnection may be told twice or late. `CLOSE` closes from everywhere."""


@dataclass(frozen=True, slots=True)
class Rests:
    """How long a link rests: doubled with each failure in a row up to a limit. Steady data for `steady_s` forgives them."""

    first_s: float = 0.25
    longest_s: float = 15.0
    refused_s: float = 60.0
    steady_s: float = 5.0

    def after(self, failures: int) -> float:
        """Seconds to rest after the failure that was number `failures` (from 1) in a row."""
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30))


@dataclass(frozen=True, slots=True)
class Link:
    """One band's link. `since_ns`: when it came into `state`. `until_ns`: when a rest ends. `connections` counts streams."""

    state: State = State.SOUGHT
    since_ns: int = 0
    until_ns: int = 0
    failures: int = 0
    connections: int = 0

    @property
    def reconnects(self) -> int:
        """Streams after the first."""
        return max(0, self.connections - 1)


def follow(link: Link, event: Event, now_ns: int, rests: Rests) -> Link:
    """`link` after `event`."""
    state = State.CLOSED if event is Event.CLOSE else TRANSITIONS[link.state].get(event)
    if state is None or state is link.state:
        return link
    after = replace(link, state=state, since_ns=now_ns)
    if state is State.STREAMING:
        return replace(after, connections=link.connections + 1)
    if state is State.RESTING:
        steady = link.state is State.STREAMING and now_ns - link.since_ns >= rests.steady_s * NS_PER_S
        failures = 1 if steady else link.failures + 1
        return replace(after, failures=failures, until_ns=now_ns + round(rests.after(failures) * NS_PER_S))
    if state is State.REFUSED:
        return replace(after, until_ns=now_ns + round(rests.refused_s * NS_PER_S))
    return after


def rested(link: Link, now_ns: int) -> bool:
    """Whether a rest is over."""
    return link.state in (State.RESTING, State.REFUSED) and now_ns >= link.until_ns
