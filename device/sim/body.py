"""Bodies: segment lengths, masses and thicknesses of a person, sampled from anthropometric tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HEIGHT_M = (1.71, 0.09)
"""Mean and standard deviation of stature over both sexes."""
HEIGHT_RANGE_M = (1.50, 1.95)


@dataclass(frozen=True, slots=True)
class Body:
    """One person. Lengths and radii in metres, measured between joint centres; `build` is 1 for average thickness.

    `*_half`: half the distance between the two joints. `toe`: horizontal distance ankle to foot index; `heel`: ankle to
    heel. `mass_fractions` (Winter, Biomechanics and Motor Control, table 4.1): share of the whole mass of a segment,
    one side for limbs.
    """

    height_m: float
    mass_kg: float
    build: float
    trunk: float
    shoulder_half: float
    hip_half: float
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shank: float
    ankle_height: float
    toe: float
    heel: float
    head: float
    head_radius: float
    neck_radius: float
    trunk_radius: float
    upper_arm_radius: float
    forearm_radius: float
    hand_radius: float
    thigh_radius: float
    shank_radius: float
    foot_radius: float
    mass_fractions: dict[str, float]

    @property
    def leg(self) -> float:
        """Length of the straight leg, hip to ankle."""
        return self.thigh + self.shank

    @property
    def arm(self) -> float:
        """Length of the straight arm, shoulder to wrist."""
        return self.upper_arm + self.forearm


MASS_FRACTIONS: dict[str, float] = {
    "head": 0.081, "trunk": 0.497, "upper_arm": 0.028, "forearm": 0.016, "hand": 0.006,
    "thigh": 0.100, "shank": 0.0465, "foot": 0.0145,
}  # fmt: skip


def sample_body(rng: np.random.Generator) -> Body:
    """A person drawn from a population: stature, proportions (Drillis and Contini, as given by Winter, figure 4.1) and build.

    Joint-centre widths are narrower than the table's outer widths: that is where pose landmarks lie.
    """
    height = float(np.clip(rng.normal(*HEIGHT_M), *HEIGHT_RANGE_M))
    legs, arms, trunk, widths = rng.normal(1.0, (0.02, 0.025, 0.02, 0.04)).clip(0.9, 1.1)
    thigh_share = float(rng.normal(0.0, 0.008))
    build = float(np.clip(rng.normal(1.0, 0.13), 0.78, 1.4))
    thickness = height * build**0.8
    return Body(
        height_m=height,
        mass_kg=float(22.5 * build * height**2),
        build=build,
        trunk=0.288 * height * trunk,
        shoulder_half=0.108 * height * widths,
        hip_half=0.055 * height * widths,
        upper_arm=0.186 * height * arms,
        forearm=0.146 * height * arms,
        hand=0.108 * height * arms,
        thigh=0.245 * height * legs * (1 + thigh_share),
        shank=0.246 * height * legs * (1 - thigh_share),
        ankle_height=0.039 * height,
        toe=0.098 * height,
        heel=0.028 * height,
        head=0.130 * height,
        head_radius=0.060 * height,
        neck_radius=0.032 * thickness,
        trunk_radius=0.075 * thickness,
        upper_arm_radius=0.028 * thickness,
        forearm_radius=0.022 * thickness,
        hand_radius=0.020 * height,
        thigh_radius=0.046 * thickness,
        shank_radius=0.031 * thickness,
        foot_radius=0.022 * height,
        mass_fractions=dict(MASS_FRACTIONS),
    )
