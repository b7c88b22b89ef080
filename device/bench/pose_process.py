"""One pose estimator on a video in a process of its own: `python -m device.bench.pose_process ENGINE VIDEO STARTED_NS`.

Holds what the eye holds, a camera, an estimator and the eye's own modules. Prints JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
import time

import cv2

from device.bench.processes import resident_mb
from device.config import CameraConfig, PoseConfig
from device.drivers.registry import create_camera
from device.errors import EndOfStream
from device.runtime.pose_engine import make_estimator


def main(engine: str, video: str, started_ns: int) -> None:
    """`started_ns`: the host's monotonic clock when this process was asked for."""
    cv2.setNumThreads(1)
    importlib.import_module("device.runtime.eye_process")
    first_ns, cpu_s = 0, 0.0
    camera = create_camera(CameraConfig(type="file", device=video), start_ns=0)
    with camera, make_estimator(PoseConfig(estimator=engine)) as estimator:
        try:
            while True:
                frame, before_s = camera.read(), time.process_time()
                estimator.estimate(frame)
                cpu_s += time.process_time() - before_s
                first_ns = first_ns or time.monotonic_ns()
        except EndOfStream:
            pass
        usage = {"first_pose_s": (first_ns - started_ns) / 1e9, "resident_mb": resident_mb(), "cpu_s": cpu_s}
        print(json.dumps(usage))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
