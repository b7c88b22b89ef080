"""Bodies that do an exercise without a name, for the tests of those who draw them."""

import numpy as np

from device.messages import NS_PER_S
from device.sim.script import RestBlock, SessionPlan
from device.sim.strange import Strange
from device.sim.trainee import TruthTrack, VirtualTrainee


def track(strange: Strange) -> TruthTrack:
    """What is true while somebody does it, 50 times a second."""
    one = VirtualTrainee(5, SessionPlan(0.0, (RestBlock(1.0, (strange,)),)), deaf=True)
    return one.track(np.arange(0, one.duration_ns, NS_PER_S // 50))


def assert_a_body_can_do_it_and_it_is_none(strange: Strange, *, fastest: float) -> None:
    """`fastest`: bound of a landmark's speed, m/s."""
    seen = track(strange)
    assert not seen.in_set.any()
    assert np.isfinite(seen.landmarks).all()
    assert np.linalg.norm(np.diff(seen.landmarks, axis=0), axis=-1).max() * 50 < fastest
    assert seen.landmarks[..., 2].min() > -0.35
