"""What happens outside sets, none of which may count: walking in, standing about, turning, getting down and up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from device.sim.kinematics import COLUMN, RELAXED
from device.sim.motion import Knots, smooth, with_parameters
from device.sim.strange import Strange

Array = NDArray[np.float64]
Keys = tuple[tuple[float, dict[str, float]], ...]

ACTIVITIES: dict[str, Keys] = {
    "scratch_head": (
        (0.9, {"right_flex": 70, "right_abduct": 60, "right_elbow": 42, "right_rotate": 10, "nod": 8, "look": -8}),
        (0.3, {"right_elbow": 50}),
        (0.3, {"right_elbow": 40}),
        (0.3, {"right_elbow": 50}),
        (0.3, {"right_elbow": 42}),
    ),
    "drink": (
        (0.9, {"left_flex": 55, "left_abduct": 15, "left_elbow": 50, "left_rotate": -25, "left_pronate": 60}),
        (0.5, {"left_flex": 68, "left_elbow": 38, "nod": -14}),
        (1.0, {}),
        (0.4, {"left_flex": 50, "left_elbow": 55, "nod": 0}),
    ),
    "tie_shoe": (
        (1.2, {"trunk": 82, "hips_x": -0.16, "knee": 128, "flex": 68, "abduct": -2, "elbow": 150, "lean": 3, "nod": 10}),
        (0.5, {"elbow": 140, "rotate": -40}),
        (0.5, {"elbow": 152, "rotate": -12}),
        (0.5, {"elbow": 142, "rotate": -35}),
        (0.4, {"elbow": 150, "rotate": -12}),
    ),
    "arm_swings": (
        (0.6, {"left_flex": 60, "right_flex": -25, "elbow": 165, "twist": -6}),
        (0.6, {"left_flex": -25, "right_flex": 60, "twist": 6}),
        (0.6, {"left_flex": 60, "right_flex": -25, "twist": -6}),
        (0.6, {"left_flex": -25, "right_flex": 60, "twist": 6}),
    ),
    "shift_weight": (
        (0.8, {"hips_y": 0.05, "lean": -2, "twist": 5, "look": 25}),
        (0.9, {}),
        (1.0, {"hips_y": -0.05, "lean": 2, "twist": -6, "look": -20}),
        (0.8, {}),
    ),
    "hands_on_hips": (
        (0.8, {"abduct": 48, "flex": -14, "elbow": 78, "rotate": -62, "pronate": 140}),
        (1.6, {"look": 15}),
    ),
    "wave": (
        (0.8, {"right_abduct": 100, "right_flex": 10, "right_elbow": 80, "right_rotate": 90, "right_pronate": 160}),
        (0.3, {"right_elbow": 105}),
        (0.3, {"right_elbow": 75}),
        (0.3, {"right_elbow": 105}),
        (0.3, {"right_elbow": 80}),
    ),
    "side_bend": (
        (1.0, {"lean": 18, "hips_y": -0.03, "left_abduct": 4}),
        (0.6, {}),
        (1.3, {"lean": -18, "hips_y": 0.03, "left_abduct": 8}),
        (0.6, {}),
    ),
    "stretch_up": (
        (1.0, {"abduct": 40, "flex": 150, "elbow": 165, "nod": -15, "trunk": -3}),
        (1.0, {}),
    ),
}  # fmt: skip
"""Seconds to each key and the parameters that it changes, from a relaxed stance; at the end the stance is taken up again."""

_AT_THE_SHOULDERS: dict[str, float] = {"flex": 30, "abduct": 30, "rotate": 20, "elbow": 45}
_HANGING_FROM_A_BAR: dict[str, float] = {"flex": 20, "abduct": 155, "rotate": 40, "elbow": 165, "hop": 0.25, "heel": 25}


def _repeated(into: tuple[float, dict[str, float]], *cycle: tuple[float, dict[str, float]], times: int) -> Keys:
    """`times` cycles, taken up with `into`."""
    return (into, *cycle * times)


OTHER_EXERCISES: dict[str, Keys] = {
    "front_raises": _repeated((0.6, {"elbow": 168, "flex": 4}), (0.8, {"flex": 88}), (0.8, {"flex": 6}), times=4),
    "lateral_raises": _repeated((0.6, {"elbow": 165, "abduct": 10}), (0.7, {"abduct": 90}), (0.8, {"abduct": 12}), times=4),
    "one_arm_raises": _repeated(
        (0.6, {"right_elbow": 170}), (1.0, {"right_abduct": 150, "right_rotate": 40}), (1.0, {"right_abduct": 10}), times=4
    ),
    "overhead_presses": _repeated(
        (0.9, _AT_THE_SHOULDERS), (0.8, {"flex": 20, "abduct": 152, "elbow": 166}), (0.9, _AT_THE_SHOULDERS), times=4
    ),
    "pull_ups": _repeated(
        (1.0, _HANGING_FROM_A_BAR), (0.8, {"abduct": 50, "elbow": 48, "hop": 0.55}), (0.8, _HANGING_FROM_A_BAR), times=4
    ),
    "chest_presses": _repeated(
        (0.9, {"flex": 70, "abduct": 55, "rotate": 0, "elbow": 70}), (0.6, {"flex": 88, "abduct": 10, "elbow": 165}),
        (0.7, {"flex": 70, "abduct": 55, "elbow": 70}), times=5,
    ),
    "upright_rows": _repeated(
        (0.5, {"elbow": 165, "pronate": 170}), (0.8, {"abduct": 82, "rotate": -80, "elbow": 55}),
        (0.8, {"abduct": 8, "rotate": -12, "elbow": 165}), times=4,
    ),
    "rows": _repeated(
        (1.0, {"trunk": 55, "hips_x": -0.14, "knee": 150, "flex": 55, "elbow": 165, "nod": -10}),
        (0.6, {"flex": -8, "elbow": 72}), (0.7, {"flex": 55, "elbow": 165}), times=4,
    ),
    "deadlifts": _repeated(
        (0.6, {"elbow": 168}), (1.0, {"trunk": 68, "hips_x": -0.2, "knee": 138, "flex": 68, "nod": -8}),
        (1.0, {"trunk": 2, "hips_x": 0.03, "knee": 172, "flex": 4, "nod": 0}), times=3,
    ),
    "swings": _repeated(
        (0.8, {"trunk": 48, "hips_x": -0.17, "knee": 145, "flex": 30, "elbow": 168}),
        (0.5, {"trunk": 0, "hips_x": 0.03, "knee": 172, "flex": 92}),
        (0.6, {"trunk": 48, "hips_x": -0.17, "knee": 145, "flex": 30}), times=4,
    ),
    "high_knees": _repeated(
        (0.4, {"knee": 165}),
        (0.35, {"left_lift": 0.34, "left_support": 0, "right_flex": 40, "left_flex": -15, "elbow": 100}),
        (0.35, {"left_lift": 0, "left_support": 1, "right_flex": 0, "left_flex": 0}),
        (0.35, {"right_lift": 0.34, "right_support": 0, "left_flex": 40, "right_flex": -15}),
        (0.35, {"right_lift": 0, "right_support": 1, "right_flex": 0, "left_flex": 0}), times=3,
    ),
    "calf_raises": _repeated((0.4, {}), (0.5, {"heel": 28}), (0.6, {"heel": 0}), times=5),
    "jabs": _repeated(
        (0.7, {"flex": 40, "abduct": 10, "rotate": -20, "elbow": 50}), (0.25, {"left_flex": 84, "left_elbow": 165, "twist": -20}),
        (0.3, {"left_flex": 40, "left_elbow": 50, "twist": 0}), (0.25, {"right_flex": 84, "right_elbow": 165, "twist": 20}),
        (0.3, {"right_flex": 40, "right_elbow": 50, "twist": 0}), times=3,
    ),
    "claps": _repeated(
        (0.5, {"flex": 62, "abduct": 38, "rotate": -10, "elbow": 100}), (0.3, {"abduct": 2, "rotate": -30}),
        (0.35, {"abduct": 38, "rotate": -10}), times=5,
    ),
    "waves": _repeated(
        (0.8, {"right_flex": 50, "right_abduct": 70, "right_rotate": 60, "right_elbow": 70}), (0.35, {"right_rotate": 25}),
        (0.35, {"right_rotate": 70}), times=4,
    ),
    "knee_raises": _repeated(
        (0.4, {"knee": 168}), (0.9, {"left_lift": 0.36, "left_support": 0}), (0.9, {"left_lift": 0, "left_support": 1}),
        (0.9, {"right_lift": 0.36, "right_support": 0}), (0.9, {"right_lift": 0, "right_support": 1}), times=2,
    ),
    "torso_twists": _repeated(
        (0.6, {"flex": 60, "abduct": 30, "rotate": -60, "elbow": 70}), (0.7, {"twist": 38}), (0.9, {"twist": -38}), times=3
    ),
}  # fmt: skip
"""What is done in gyms and isn't ours: repeated movements that must be taken for none. Keys as above."""

WALK_STEPS = 4
WALK_STEP = 0.38
"""Steps with which one walks to the place, and their length in leg lengths."""

_CROUCH: dict[str, float] = {
    "hips_x": 0.15, "trunk": 88.0, "knee": 60.0, "heel": 40.0, "plant": 1.0, "pronate": 180.0, "flex": 75.0, "elbow": 160.0,
}  # fmt: skip
_WALK_KNEE = 158.0
_STEP_KNEE = 163.0
"""Knees stay bent while feet are moved, so that no leg snaps straight."""
_FOOT = ("foot_x", "spread", "toe_out", "heel")


class Choreography:
    """The knots of a session's motion, laid down one after the other."""

    def __init__(self, heading_rad: float) -> None:
        self.heading_deg = float(np.degrees(heading_rad))
        self.times_s: list[float] = [0.0]
        self.vectors: list[Array] = []
        self._given: dict[int, tuple[Array, Array]] = {}
        self._walk_in()

    @property
    def now_s(self) -> float:
        return self.times_s[-1]

    def knots(self) -> Knots:
        """The path through everything laid down so far."""
        path = Knots(np.array(self.times_s), np.stack(self.vectors))
        for i, (slope, bend) in self._given.items():
            path.slopes[i], path.bends[i] = slope, bend
        return path

    def facing(self, vector: Array) -> Array:
        """`vector`, made for the heading 0, turned to the current heading."""
        return _turned(vector, self.heading_deg)

    def key(self, after_s: float, vector: Array) -> None:
        """Be at `vector` (for the heading 0) `after_s` from now."""
        self._knot(after_s, self.facing(vector))

    def repeat(self, repetition: Knots, duration_s: float, amplitude: Array) -> None:
        """Do one repetition in `duration_s`, its departure from the start posture scaled by `amplitude`."""
        start = repetition.values[0]
        for i in range(1, len(repetition.times)):
            after_s = float(repetition.times[i] - repetition.times[i - 1]) * duration_s
            self.key(after_s, start + (repetition.values[i] - start) * amplitude)
            slope, bend = repetition.slopes[i] * amplitude / duration_s, repetition.bends[i] * amplitude / duration_s**2
            self._given[len(self.vectors) - 1] = (slope, bend)

    def hold(self, duration_s: float) -> None:
        """Stay as one is."""
        if duration_s > 1e-3:
            self._knot(duration_s, self.vectors[-1])

    def go(self, vector: Array, duration_s: float) -> None:
        """Take up another posture; feet that stand elsewhere then are lifted there, one after the other."""
        start, end = self.vectors[-1], self.facing(vector)
        feet = [[COLUMN[f"{side}_{name}"] for name in (*_FOOT, "foot_yaw")] for side in ("left", "right")]
        if all(np.abs(end - start)[f].max() < 0.5 and abs(end - start)[f[0]] < 0.01 for f in feet):
            self._knot(duration_s, end)
            return
        done = list(start)
        for i, columns in enumerate(feet):
            side, other = ("left", "right") if i == 0 else ("right", "left")
            for part in (0.0, 0.5, 1.0):
                at = (0.08 + 0.42 * i) + 0.36 * part
                now = start + (end - start) * smooth(np.array(at))
                now[feet[0]], now[feet[1]] = np.array(done)[feet[0]], np.array(done)[feet[1]]
                now[columns] = start[columns] + part * (end - start)[columns]
                now[COLUMN[f"{side}_lift"]] = 0.05 if part == 0.5 else 0.0
                now[COLUMN[f"{side}_support"]], now[COLUMN[f"{other}_support"]] = 0.0, 1.0
                knees = [COLUMN["left_knee"], COLUMN["right_knee"]]
                now[knees] = np.minimum(now[knees], _STEP_KNEE)
                done = list(now)
                self._knot(duration_s * (0.08 if part == 0 and i == 0 else 0.06 if part == 0 else 0.18), now)
        self._knot(duration_s * 0.14, end)

    def turn(self, heading_rad: float, stance: Array = RELAXED) -> None:
        """Turn on the spot in steps of at most 45 degrees."""
        change = float(np.degrees(heading_rad)) - self.heading_deg
        steps = int(np.ceil(abs(change) / 45 - 1e-9))
        for _ in range(steps):
            self.heading_deg += change / steps
            self.go(stance, 0.9)

    def activity(self, name: str, pace: float = 1.0, size: float = 1.0) -> None:
        """Do one of ACTIVITIES or OTHER_EXERCISES, from and back to the relaxed stance: `pace` times as long, `size` times as far
        from that stance."""
        vector = RELAXED
        for after_s, changes in ACTIVITIES[name] if name in ACTIVITIES else OTHER_EXERCISES[name]:
            vector = with_parameters(vector, changes)
            self.key(after_s * pace, RELAXED + size * (vector - RELAXED))
        self.key(1.0, RELAXED)

    def exercise(self, strange: Strange) -> tuple[float, float]:
        """Do an exercise without a name, from and back to the relaxed stance. Returns when it begins and ends (s)."""
        stance = with_parameters(RELAXED, strange.stance)
        if strange.prone:
            self.get_down(stance)
        else:
            self.go(stance, strange.way_s)
        begun, vector = self.now_s, stance
        for after_s, changes in strange.cycle * strange.times:
            vector = with_parameters(vector, changes)
            self.key(after_s, vector)
        ended = self.now_s
        if strange.prone:
            self.key(0.6, stance)
            self.get_up()
        else:
            self.key(strange.way_s, RELAXED)
        return begun, ended

    def get_down(self, plank: Array) -> None:
        """From standing into the push-up position `plank`: crouch, hands to the floor, one foot back after the other."""
        crouch = with_parameters(RELAXED, _CROUCH)
        half = with_parameters(
            RELAXED, {**_CROUCH, "plant": 0.0, "knee": 84.0, "heel": 18.0, "hips_x": 0.03, "trunk": 62.0, "flex": 60.0}
        )
        self.key(0.8, half)
        self.key(0.7, crouch)
        self._move_feet(crouch, plank, (0.4, 0.8, 0.9, 1.0))

    def get_up(self) -> None:
        """From the push-up position back to standing."""
        plank = _turned(self.vectors[-1], -self.heading_deg)
        crouch = with_parameters(RELAXED, _CROUCH)
        half = with_parameters(
            RELAXED, {**_CROUCH, "plant": 0.0, "knee": 84.0, "heel": 18.0, "hips_x": 0.03, "trunk": 58.0, "flex": 50.0}
        )
        self._move_feet(plank, crouch, (0.1, 0.2, 0.6, 1.0))
        self.key(0.6, half)
        self.key(0.9, RELAXED)

    def _move_feet(self, start: Array, end: Array, shares: tuple[float, float, float, float]) -> None:
        """Between crouch and plank: left foot, then right, each in two knots at which the body has gone `shares` of the way."""
        sides = ("left", "right")
        feet = [[COLUMN[f"{side}_{name}"] for name in (*_FOOT, "knee")] for side in sides]
        rear = sides[int(end[COLUMN["left_foot_x"]] > start[COLUMN["left_foot_x"]])]
        now = start.copy()
        for i, side in enumerate(sides):
            for part in (0.5, 1.0):
                stepped = start + (end - start) * shares[2 * i + int(part)]
                stepped[feet[0]], stepped[feet[1]] = now[feet[0]], now[feet[1]]
                stepped[feet[i]] = start[feet[i]] + part * (end - start)[feet[i]]
                bent = start if side == rear and part == 0.5 else end
                stepped[COLUMN[f"{side}_knee"]] = bent[COLUMN[f"{side}_knee"]]
                stepped[COLUMN[f"{side}_lift"]] = 0.05 if part == 0.5 else 0.0
                stepped[COLUMN[f"{rear}_support"]] = 0.0
                now = stepped
                self.key(0.32, now)
        self.key(0.25, end)

    def _walk_in(self) -> None:
        start = -WALK_STEP * (WALK_STEPS - 0.5)
        vector = with_parameters(RELAXED, {"hips_x": 0.03 + start, "foot_x": start})
        self.vectors.append(self.facing(vector))
        self.hold(0.6)
        for step in range(WALK_STEPS):
            side, other = ("left", "right") if step % 2 == 0 else ("right", "left")
            middle = -WALK_STEP * (WALK_STEPS - 1 - step)
            before = vector
            arms = {f"{side}_flex": -12, f"{other}_flex": 16}
            landing = {f"{side}_foot_x": min(middle + 0.5 * WALK_STEP, 0.0), "hips_x": 0.02 + min(middle, -0.25 * WALK_STEP)}
            vector = with_parameters(vector, {**arms, **landing, "knee": _WALK_KNEE})
            self._swing(before, vector, side, other, 0.28)
        closing, other = ("left", "right") if WALK_STEPS % 2 == 0 else ("right", "left")
        self._swing(vector, RELAXED, closing, other, 0.36)

    def _swing(self, before: Array, after: Array, side: str, other: str, half_s: float) -> None:
        """A step with `side` while `other` carries."""
        lifted = {f"{side}_lift": 0.05, f"{side}_support": 0.0, f"{other}_support": 1.0, f"{other}_knee": _WALK_KNEE}
        self.key(half_s, with_parameters(0.5 * (before + after), lifted))
        self.key(half_s, after)

    def _knot(self, after_s: float, vector: Array) -> None:
        if self.times_s and len(self.vectors) == len(self.times_s):
            self.times_s.append(self.times_s[-1] + after_s)
        self.vectors.append(vector)


def _turned(vector: Array, heading_deg: float) -> Array:
    turned = vector.copy()
    for name in ("yaw", "left_foot_yaw", "right_foot_yaw"):
        turned[COLUMN[name]] += heading_deg
    return turned
