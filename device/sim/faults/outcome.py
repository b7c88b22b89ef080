"""What became of one fault."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """`detected_s`: from the fault's beginning until Spotter noticed; None where there is nothing to notice, as it does no harm.
    `recovered_s`: from the end of the cause (where Spotter itself has to end it: from the detection) until all is as it was; None
    where it never was again. `heard`: sentences that the trainee heard of it. `lost`: data, for people. `survived`: all is well
    again, and nothing is lost that was promised. `problem`: why not."""

    fault: str
    detected_s: float | None
    recovered_s: float | None
    heard: tuple[str, ...]
    lost: str
    survived: bool
    problem: str = ""
