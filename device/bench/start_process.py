"""How long a fresh process takes to its first tick: `python -m device.bench.start_process core|pose VIDEO STARTED_NS`. Prints s.

`core`: settings, bundle, core and sinks, and a tick of what it is pushed. `pose`: the eye too, which plays VIDEO in real time,
until the core has worked on a pose in which somebody was found.
"""

from __future__ import annotations

import importlib
import sys
import time

import numpy as np

from device.config import Config, load_config, with_settings
from device.messages import NS_PER_S, Estimate, Pose
from device.runtime.eye import Eye, EyeSpec
from device.runtime.live import build_core
from device.runtime.session import Session
from device.runtime.summary import SetCollector
from device.skeleton import N_NODES

PATIENCE_S = 60


def main(what: str, video: str, started_ns: int) -> None:
    """`started_ns`: the host's monotonic clock when this process was asked for. Raises SpotterError, TimeoutError."""
    # What `spotter run` loads beside the core.
    importlib.import_module("device.commands.run")
    importlib.import_module("device.screen")
    config = with_settings(load_config(), camera={"type": "file", "device": video})
    with Session(build_core(config, time.monotonic_ns()), [SetCollector()]) as session:
        if what == "core":
            _until_tick(session)
        else:
            _until_pose(session, config)
        print((time.monotonic_ns() - started_ns) / 1e9)


def _until_tick(session: Session) -> None:
    """Nobody is seen; with the next pose there, a tick waits no longer."""
    nobody = np.full((N_NODES, 4), np.nan, np.float32)
    for seq in range(PATIENCE_S * 30):
        now_ns = time.monotonic_ns() + seq * NS_PER_S // 30
        session.push(Pose(now_ns, 0, seq, nobody, nobody[:, :3], 640, 480, False))
        if any(isinstance(message, Estimate) for message in session.advance(now_ns)):
            return
    raise TimeoutError("The core made no tick.")


def _until_pose(session: Session, config: Config) -> None:
    with Eye(EyeSpec(config.camera, config.pose)) as eye:
        found_ns: int | None = None
        until_ns = time.monotonic_ns() + PATIENCE_S * NS_PER_S
        while time.monotonic_ns() < until_ns:
            for pose in eye.poses():
                session.push(pose)
                found_ns = pose.t_ns if pose.present and found_ns is None else found_ns
            coached = session.advance(time.monotonic_ns())
            if found_ns is not None and any(isinstance(m, Estimate) and m.t_ns >= found_ns for m in coached):
                return
            time.sleep(1 / config.signals.tick_hz)
    raise TimeoutError(f"Nobody was found within {PATIENCE_S} s.")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
