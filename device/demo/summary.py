"""The demo's summary.json: what was coached, what was true, and the scores."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from device.config import Config
from device.demo.scores import InjectedError, SessionTruth, is_justified, right_cues
from device.messages import NS_PER_S, Cue
from device.rows import Row
from device.runtime.bundle import Bundle
from device.runtime.coach import threshold_rad
from device.runtime.summary import DoneSet, as_json

WALL_CLOCK = frozenset({"model_step_ms", "realtime_factor"})
"""Rows that depend on the machine; they are kept apart, so that the rest is the same for the same seed."""


def summarise(
    *,
    status: str,
    seed: int,
    config: Config,
    bundle: Bundle,
    duration_ns: int,
    sets: Sequence[DoneSet],
    latency: Mapping[str, Any],
    rows: Sequence[Row],
    truth: SessionTruth | None,
    cues: Sequence[Cue],
    warnings: Sequence[str],
    machine: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything but `machine` is the same whenever the same seed, config and bundle run. Times s, angles degrees.

    `truth`: None for a session that was stopped.
    """
    return {
        "status": status,
        "seed": seed,
        "bundle": bundle.version,
        "duration_s": round(duration_ns / NS_PER_S, 3),
        "rows": [dataclasses.asdict(row) for row in rows if row.name not in WALL_CLOCK],
        **as_json(sets, 0),
        "latency": dict(latency),
        "truth": _truth_as_json(truth, cues, config) if truth is not None else None,
        "warnings": list(warnings),
        "config": {name: section for name, section in dataclasses.asdict(config).items() if name not in ("store", "speaker")},
        "machine": {**machine, "rows": [dataclasses.asdict(row) for row in rows if row.name in WALL_CLOCK]},
    }


def _truth_as_json(truth: SessionTruth, cues: Sequence[Cue], config: Config) -> dict[str, Any]:
    threshold = threshold_rad(config.coach)
    corrections = [cue for cue in cues if cue.kind == "correction"]
    return {
        "sets": [
            {
                "exercise": true.exercise,
                "reps": len(true.repetitions),
                "start_s": round(true.start_ns / NS_PER_S, 3),
                "end_s": round(true.end_ns / NS_PER_S, 3),
                "rep_times_s": [round(rep.end_ns / NS_PER_S, 3) for rep in true.repetitions],
                "variants": [rep.variant for rep in true.repetitions],
                "errors": [_error_as_json(e, truth, corrections) for e in truth.errors if e.set_index == i],
            }
            for i, true in enumerate(truth.sets)
        ],
        "false_corrections": [
            {"t_s": round(cue.t_ns / NS_PER_S, 3), "exercise": cue.exercise, "joint": cue.joint, "sign": cue.sign}
            for cue in corrections
            if not is_justified(cue, truth, threshold)
        ],
    }


def _error_as_json(error: InjectedError, truth: SessionTruth, corrections: Sequence[Cue]) -> dict[str, Any]:
    return {
        "error": error.error,
        "joint": error.joint,
        "sign": error.sign,
        "size_deg": round(math.degrees(error.size_rad), 2),
        "sizes_deg": [round(math.degrees(size), 2) for size in error.sizes_rad],
        "corrected_s": [round(cue.t_ns / NS_PER_S, 3) for cue in right_cues(corrections, error, truth)],
    }
