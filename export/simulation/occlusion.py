"""Something in front of the trainee: a share of the landmarks is hidden, and the estimator guesses where they are.

A hidden limb hangs on a seen joint and strays from there: a bone at a time, by 2 to 10 cm (one standard deviation an axis), and
the guess changes every half second, gradually. The visibility says that it is a guess. What is hidden changes every two seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.skeleton import N_NODES, NODE

HIDDEN_S, GUESS_S = 2.0, 0.5
STRAY_M = (0.02, 0.10)
VISIBILITY = (0.05, 0.4)

Floats = NDArray[np.floating[Any]]


def _side(side: str, *parts: str) -> tuple[int, ...]:
    return tuple(NODE[f"{side}_{part}"] for part in parts)


_ARMS = [_side(side, "pinky", "index", "thumb", "wrist", "elbow", "shoulder") for side in ("left", "right")]
_LEGS = [_side(side, "foot_index", "heel", "ankle", "knee", "hip") for side in ("left", "right")]
_FACE = tuple(range(NODE["left_shoulder"]))
PARTS: tuple[tuple[int, ...], ...] = (*_ARMS, *_LEGS, _FACE)
"""Parts of the body, each from its far end to where it hangs; together all landmarks."""


def hidden_landmarks(rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    """(33,) which are hidden: part after part in random order until it is `share` of all, the last one from its far end."""
    order = [node for i in rng.permutation(len(PARTS)) for node in PARTS[i]]
    hidden = np.zeros(N_NODES, dtype=np.bool_)
    hidden[order[: round(share * N_NODES)]] = True
    return hidden


def occluded(
    rng: np.random.Generator, seconds: Floats, world: Floats, visibility: Floats, share: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`world` (n, 33, 3) m and `visibility` (n, 33) at `seconds` (n,), with `share` of the landmarks hidden at any time."""
    world, visibility = np.array(world, np.float32), np.array(visibility, np.float32)
    if not len(seconds) or not share:
        return world, visibility
    start = float(seconds[0]) - rng.uniform(0, HIDDEN_S)
    guesses = int((seconds[-1] - start) / GUESS_S) + 2
    for begin in np.arange(start, float(seconds[-1]) + 1e-9, HIDDEN_S):
        span = (seconds >= begin) & (seconds < begin + HIDDEN_S)
        hidden = hidden_landmarks(rng, share)
        stray = rng.uniform(*STRAY_M)
        steps = rng.normal(0, stray, (guesses, N_NODES, 3)) * hidden[:, None]
        for part in PARTS:
            # The far end strays furthest, along with all that it hangs on.
            steps[:, list(part)] = np.cumsum(steps[:, list(part)[::-1]], axis=1)[:, ::-1] * hidden[list(part), None]
        place = (np.asarray(seconds[span]) - start) / GUESS_S
        low = place.astype(np.int64)
        between = (place - low)[:, None, None]
        world[span] += (steps[low] * (1 - between) + steps[low + 1] * between).astype(np.float32)
        visibility[span] = np.where(hidden, visibility[span] * rng.uniform(*VISIBILITY), visibility[span])
    return world, visibility
