"""A network of device/models/pose on the TFLite runtime that this machine has."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import device
from device.errors import DriverUnavailable
from device.messages import Array
from device.runtime.model import RUNTIMES
from device.runtime.pose import _without_chatter

FOLDER = Path(device.__file__).parent / "models" / "pose"
DETECTOR, LANDMARKS = "pose_detection.tflite", "pose_landmark.tflite"


class Network:
    """One picture in, named tensors out.

    `threads`: how many the runtime may use. `darkest`: what black is to the network; white is 1.
    Raises DriverUnavailable: no runtime is installed, or the model file is absent or damaged.
    """

    def __init__(self, file: str, threads: int, *, darkest: float) -> None:
        path = FOLDER / file
        interpreter = _interpreter_class()
        try:
            with _without_chatter():
                self._interpreter = interpreter(model_path=str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise DriverUnavailable(
                f"{path}: no TFLite model that this runtime reads ({error}). Install Spotter again."
            ) from error
        (picture,) = self._interpreter.get_input_details()
        self.size = int(picture["shape"][1])
        """Side of the square picture that it takes, px."""
        self._input = self._interpreter.tensor(picture["index"])
        self._outputs = {d["name"]: int(d["index"]) for d in self._interpreter.get_output_details()}
        self._darkest = darkest

    def run(self, picture: NDArray[np.uint8]) -> dict[str, Array]:
        """All outputs by name for `picture` (size, size, 3)."""
        # The runtime's own memory; nothing may refer to it while the network runs.
        values = self._input()[0]
        np.multiply(picture, (1.0 - self._darkest) / 255, out=values, dtype=np.float32)
        if self._darkest:
            values += np.float32(self._darkest)
        del values
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}


def _interpreter_class() -> type:
    for module in RUNTIMES.values():
        try:
            interpreter: type = importlib.import_module(module).Interpreter
        except ImportError:
            continue
        return interpreter
    raise DriverUnavailable("The pose estimator litert needs a TFLite runtime. Install one: pip install ai-edge-litert")
