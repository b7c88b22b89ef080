"""The model step: one tick's features in, one Estimate out. The encoder's past lives here, in ring buffers."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.errors import BundleError
from device.messages import Array, Estimate
from device.runtime.bundle import Bundle
from device.runtime.evidence import Response
from device.runtime.features import FeatureConstants
from device.runtime.pose import _without_chatter
from device.skeleton import N_NODES

INPUTS = ("skeleton", "inertial", "taps")
"""Tensors that a step takes: (1, 33, 11), (1, 4, 8), (2 L, 33, C)."""
OUTPUTS = ("exercise", "stage", "phase", "angles", "log_sigma", "importance", "states")
"""Tensors that a step gives: logits (1, 6) and (1, 4), sin and cos (1, 2), rad (1, 12), log rad (1, 12), (1, 33), (L, 33, C)."""
RUNTIMES = {"litert": "ai_edge_litert.interpreter", "tflite_runtime": "tflite_runtime.interpreter"}
"""TFLite runtimes in order of preference, and the module that holds their interpreter."""

MAX_LOG_SIGMA = 1.0
"""Beyond e rad an angle is unknown; the bound keeps the exponential finite whatever comes out of the network."""


class Network:
    """A TFLite file whose inputs and outputs are reached by name. Raises BundleError: no runtime is installed, or the
    file is no model of this version.
    """

    def __init__(self, path: str, runtime: str = "auto") -> None:
        interpreter = _interpreter_class(runtime)
        try:
            with _without_chatter():
                self._interpreter = interpreter(model_path=path, num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"{path}: no TFLite model that this runtime reads ({error}). Install the bundle again.") from error
        self._inputs = {d["name"]: int(d["index"]) for d in self._interpreter.get_input_details()}
        self._outputs = {d["name"]: int(d["index"]) for d in self._interpreter.get_output_details()}
        self.shapes = {d["name"]: tuple(int(n) for n in d["shape"]) for d in self._interpreter.get_input_details()}

    def run(self, **inputs: NDArray[np.float32]) -> dict[str, Array]:
        """All outputs by name, for the inputs by name."""
        for name, value in inputs.items():
            self._interpreter.set_tensor(self._inputs[name], value)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}


class StepModel:
    """The bundle's step on one of the TFLite runtimes.

    Layer l of the encoder sees its own input now and d and 2d ticks ago: a ring of 2d entries for each layer holds
    them, so that a tick costs the same however long the past is. An empty ring is zero, as in training.
    """

    def __init__(self, bundle: Bundle, runtime: str = "auto", file: Path | None = None) -> None:
        """`file`: another form of the same step than the bundle's own, to compare with."""
        file = file or bundle.step
        self.bundle = bundle
        self._dilations = bundle.dilations
        self._network = Network(str(file), runtime)
        layers, channels = len(self._dilations), bundle.channels
        expected = {"skeleton": (1, N_NODES, 11), "inertial": (1, 4, 8), "taps": (2 * layers, N_NODES, channels)}
        if self._network.shapes != expected:
            raise BundleError(
                f"{file}: takes {self._network.shapes}, not {expected}. Install the bundle that belongs "
                "to this version of Spotter."
            )
        self._rings = [np.zeros((2 * d, N_NODES, channels), np.float32) for d in self._dilations]
        self._taps = np.zeros((2 * layers, N_NODES, channels), np.float32)
        self._tick = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """Exercises in the order of `Estimate.exercise`."""
        return self.bundle.classes

    @property
    def constants(self) -> FeatureConstants:
        """What the features must be made with."""
        return self.bundle.constants

    @property
    def responses(self) -> Mapping[str, Mapping[str, Response]]:
        """How the network shows errors, by class and error."""
        return self.bundle.responses

    def reset(self) -> None:
        """Forget the past."""
        for ring in self._rings:
            ring[:] = 0
        self._tick = 0

    def step(self, skeleton: Array, inertial: Array, t_ns: int, seq: int) -> Estimate:
        """The estimate of the next tick. `skeleton`: (33, 11), `inertial`: (4, 8), as `features.FeatureExtractor` gives."""
        raw = self.step_raw(skeleton, inertial)
        sine, cosine = raw["phase"][0].tolist()
        return Estimate(
            t_ns=t_ns,
            seq=seq,
            exercise=softmax(raw["exercise"][0]),
            stage=softmax(raw["stage"][0]),
            phase=math.atan2(sine, cosine) / math.tau % 1.0,
            angles=raw["angles"][0],
            angle_sigma=np.exp(np.minimum(raw["log_sigma"][0], MAX_LOG_SIGMA)),
            importance=raw["importance"][0],
        )

    def step_raw(self, skeleton: Array, inertial: Array) -> dict[str, Array]:
        """The network's own outputs of the next tick, by the names of `OUTPUTS`."""
        taps, tick = self._taps, self._tick
        for layer, (ring, d) in enumerate(zip(self._rings, self._dilations, strict=True)):
            taps[2 * layer] = ring[tick % (2 * d)]
            taps[2 * layer + 1] = ring[(tick + d) % (2 * d)]
        raw = self._network.run(skeleton=skeleton[None], inertial=inertial[None], taps=taps)
        for ring, state, d in zip(self._rings, raw["states"], self._dilations, strict=True):
            ring[tick % (2 * d)] = state
        self._tick = tick + 1
        return raw


def softmax(logits: Array) -> Array:
    """Probabilities of logits (n,)."""
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum(), dtype=np.float32)


def available_runtimes() -> tuple[str, ...]:
    """TFLite runtimes that this machine has, in order of preference."""
    return tuple(name for name in RUNTIMES if _module(name) is not None)


def _module(runtime: str) -> Any:
    try:
        return importlib.import_module(RUNTIMES[runtime])
    except ImportError:
        return None


def _interpreter_class(runtime: str) -> Any:
    if runtime != "auto" and runtime not in RUNTIMES:
        raise BundleError(f"model runtime {runtime!r} is unknown; there are auto, {', '.join(RUNTIMES)}.")
    for name in RUNTIMES if runtime == "auto" else (runtime,):
        module = _module(name)
        if module is not None:
            return module.Interpreter
    package = "tflite-runtime" if runtime == "tflite_runtime" else "ai-edge-litert"
    raise BundleError(f"no TFLite runtime for model.runtime = {runtime!r}. Install one: pip install {package}")
