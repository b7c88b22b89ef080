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
from device.runtime.bundle import Bundle, Past
from device.runtime.evidence import Response
from device.runtime.features import FeatureConstants
from device.runtime.pose import _without_chatter
from device.skeleton import N_NODES

PASTS = ("taps", "sight", "bands", "memory")
"""Tensors that a step takes of its past: of the encoder, (2 L, 33, C), of the onlooker, (2 L, C), and of the network of the
bands, (2 L, 4, C), (2 L, C)."""
INPUTS = ("skeleton", "inertial", *PASTS)
"""Tensors that a step takes, the first two of this tick: (1, 33, 11), (1, 4, 8)."""
HEADS = ("exercise", "stage", "phase", "angles", "log_sigma", "importance")
"""Tensors that a step tells: logits (1, 6) and (1, 4), sin and cos (1, 2), rad (1, 12), log rad (1, 12), (1, 33)."""
READ = {name: f"{name}_read" for name in PASTS}
"""Tensors that a step gives to be its past later, by what they become: what each layer has read now, half as many as it takes."""
OUTPUTS = (*HEADS, *READ.values())
"""All tensors that a step gives."""
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

    A layer over time sees its own input now and d and 2d ticks ago: a ring for each layer holds them, so that a tick costs the
    same however long the past is.
    """

    def __init__(self, bundle: Bundle, runtime: str = "auto", file: Path | None = None) -> None:
        """`file`: another form of the same step than the bundle's own, to compare with."""
        file = file or bundle.step
        self.bundle = bundle
        self._network = Network(str(file), runtime)
        self._rings = {name: _Rings(past) for name, past in bundle.past.items()}
        past = {name: rings.taps.shape for name, rings in self._rings.items()}
        expected = {"skeleton": (1, N_NODES, 11), "inertial": (1, 4, 8), **past}
        if self._network.shapes != expected:
            raise BundleError(
                f"{file}: takes {self._network.shapes}, not {expected}. Install the bundle that belongs "
                "to this version of Spotter."
            )

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
        for rings in self._rings.values():
            rings.clear()

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
        past = {name: rings.taps for name, rings in self._rings.items()}
        raw = self._network.run(skeleton=skeleton[None], inertial=inertial[None], **past)
        for name, rings in self._rings.items():
            rings.push(raw[READ[name]])
        return raw


class _Rings:
    """What layers over time read in their last 2d ticks. An empty ring is zero, as in training."""

    def __init__(self, past: Past) -> None:
        self._dilations = past.dilations
        self._rings = [np.zeros((2 * d, *past.shape), np.float32) for d in past.dilations]
        self._tick = 0
        self.taps = np.zeros((2 * len(past.dilations), *past.shape), np.float32)
        """What each layer read 2d and d ticks before the next one."""

    def push(self, read: Array) -> None:
        """Take in what each layer has read in this tick."""
        for layer, (ring, now, d) in enumerate(zip(self._rings, read, self._dilations, strict=True)):
            ring[self._tick % (2 * d)] = now
            self.taps[2 * layer] = ring[(self._tick + 1) % (2 * d)]
            self.taps[2 * layer + 1] = ring[(self._tick + 1 + d) % (2 * d)]
        self._tick += 1

    def clear(self) -> None:
        """Forget everything."""
        for held in (*self._rings, self.taps):
            held[:] = 0
        self._tick = 0


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
