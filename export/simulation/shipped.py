"""The shipped bundle in the device's own core, streamed rendered clips as it would be live."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from device.config import Config
from device.messages import EXERCISES, NS_PER_S
from device.runtime.bundle import Bundle
from device.sim.trainee import VirtualTrainee
from export.clips import Clip, clip_plan
from export.datasets.clip import only
from export.datasets.virtual_trainee import rendered
from export.people.watch import streamed
from export.simulation.measures import angle_score
from export.simulation.occlusion import occluded

WARM_UP_NS = NS_PER_S
PARTS = {"both": (True, True), "camera only": (True, False), "bands only": (False, True)}
"""Modalities: camera, bands."""


def stream_clip(config: Config, bundle: Bundle, clip: Clip, part: str, occlusion: float) -> dict[str, Any]:
    """What the core makes of a clip from a cold start, with a share of the landmarks hidden.

    `ticks`, `right`: within sets after their first second; `recognised`: whether most of those are right;
    `in_set`, `angle_score`: all ticks within sets, and eq. 12 over them.
    """
    seen = next(iter(rendered([clip])))
    assert seen.landmarks is not None
    found = np.isfinite(seen.landmarks).all(axis=(1, 2))
    landmarks = seen.landmarks.copy()
    rng = np.random.default_rng((clip.seed, 9))
    world, visibility = occluded(rng, seen.pose_ns[found] / NS_PER_S, landmarks[found, :, :3], landmarks[found, :, 3], occlusion)
    landmarks[found] = np.concatenate([world, visibility[..., None]], -1)
    camera, bands = PARTS[part]
    seen = only(replace(seen, landmarks=landmarks), camera=camera, bands=bands)

    core, log = streamed(seen, config, bundle)
    trainee = VirtualTrainee(clip.seed, clip_plan(clip.seed), deaf=True)
    truth = trainee.track(log.times_ns)
    order = np.array([EXERCISES.index(name) for name in core.classes])
    right = order[log.exercise] == truth.exercise
    within, late = np.zeros(len(right), np.bool_), np.zeros(len(right), np.bool_)
    for done in trainee.sets:
        within |= log.within(done.start_ns, done.end_ns)
        late |= log.within(done.start_ns + WARM_UP_NS, done.end_ns)
    return {
        "ticks": int(late.sum()),
        "right": int(right[late].sum()),
        "recognised": bool(right[late].mean() > 0.5),
        "in_set": int(within.sum()),
        "angle_score": angle_score(log.refined[within], truth.angles[within]),
    }


def pooled(clips: list[dict[str, Any]]) -> dict[str, float]:
    """Figures over all clips: `accuracy` per tick, `clip_accuracy`, `angle_score`."""
    ticks = sum(one["in_set"] for one in clips)
    return {
        "accuracy": sum(one["right"] for one in clips) / sum(one["ticks"] for one in clips),
        "clip_accuracy": sum(one["recognised"] for one in clips) / len(clips),
        "angle_score": sum(one["angle_score"] * one["in_set"] for one in clips) / ticks,
    }
