"""From the trained network to the files that the device runs: PyTorch -> litert-torch -> ai-edge-quantizer -> TFLite.

The float step keeps its weights as 16-bit floats (the network is rounded to them first, so all forms share the very
same weights). The int8 step has 8-bit weights in every weighted layer of encoder, reasoner and heads. The layer that says
exercise, stage and phase multiplies them by 8-bit activations in the static range of its calibration. Where an angle depends
on them, activations stay float: in 8 bits with a static range single ticks go wrong by 10 degrees and more, with a range of
each tick's own by 2, and on a tick of 0.1 ms neither is measurably faster.
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from device.runtime.bundle import Past
from device.runtime.features import INERTIAL_CHANNELS, SKELETON_CHANNELS
from device.runtime.model import HEADS, INPUTS, OUTPUTS, PASTS
from device.skeleton import N_BANDS, N_NODES
from export.blind import Blind
from export.model import Coach, CoachStep, CoachWindow
from export.onlooker import Onlooker
from export.temporal import TemporalLayer

INT8_LAYERS = "(?!.*Fusion).*"
"""Names of the operations that are quantised: all but those of the fusion. Of -1, 0 and 1, which say what hangs on what, nothing
is lost."""
STATIC_LAYERS = ".*Linear_action.*"
"""Those of them whose activations have the static range of the calibration."""


@dataclass(frozen=True, slots=True)
class Converted:
    """The network's forms as TFLite flat buffers. `window_float` is the reference for checks, not for the device."""

    step_int8: bytes
    step_float: bytes
    window_float: bytes


def rounded(coach: Coach) -> Coach:
    """A copy in evaluation mode with the weights that all forms share.

    The layers that the int8 step quantises hold whole multiples of a 127th of their largest weight, so int8 loses nothing of
    them and only its activations differ from the float step's; everything is a number that a 16-bit float holds.
    """
    copied = copy.deepcopy(coach).eval()
    with torch.no_grad():
        for part in (copied.encoder, copied.reasoner, copied.readout, copied.onlooker, copied.blind, copied.refiner):
            for layer in part.modules() if part is not None else ():
                if isinstance(layer, nn.Linear):
                    step = layer.weight.abs().max() / 127
                    layer.weight.copy_(torch.round(layer.weight / step) * step)
        for parameter in copied.parameters():
            parameter.copy_(parameter.half().float())
    return copied


def convert(coach: Coach, skeleton: NDArray[np.float32], inertial: NDArray[np.float32]) -> Converted:
    """All forms of `coach`, whose networks are all trained.

    `skeleton` (S, T, 33, 11), `inertial` (S, T, 4, 8): sequences on which the int8 step is calibrated.
    """
    coach = rounded(coach)
    onlooker, blind = _beside(coach)
    tick = torch.zeros(1, N_NODES, SKELETON_CHANNELS), torch.zeros(1, N_BANDS, INERTIAL_CHANNELS)
    before = [torch.zeros(2 * len(past.dilations), *past.shape) for past in pasts(coach).values()]
    step = _to_tflite(CoachStep(coach, onlooker, blind), *tick, *before)
    ticks = 1 + max(network.shape.receptive_field for network in (coach, onlooker, blind))
    window = _to_tflite(CoachWindow(coach), *(signal[:, None].repeat(1, ticks, 1, 1) for signal in tick))
    samples = list(_calibration_ticks(coach, skeleton, inertial))
    return Converted(
        _named(_quantised(step, samples), INPUTS, OUTPUTS),
        _named(_with_half_weights(step), INPUTS, OUTPUTS),
        _named(_with_half_weights(window), INPUTS[:2], HEADS),
    )


def pasts(coach: Coach) -> dict[str, Past]:
    """What the step of `coach` is given of its past, by the input's name."""
    onlooker, blind = _beside(coach)
    shape, seen, felt = coach.shape, onlooker.shape, blind.shape
    encoder, sight = Past(shape.dilations, (N_NODES, shape.channels)), Past(seen.dilations, (seen.channels,))
    bands, memory = Past(felt.dilations, (N_BANDS, felt.channels)), Past(felt.memory, (felt.action,))
    return dict(zip(PASTS, (encoder, sight, bands, memory), strict=True))


def _beside(coach: Coach) -> tuple[Onlooker, Blind]:
    """The networks beside the graph."""
    if coach.onlooker is None or coach.blind is None:
        raise ValueError("the onlooker and the network of the bands must be trained before the step is made")
    return coach.onlooker, coach.blind


def _to_tflite(module: nn.Module, *inputs: torch.Tensor) -> bytes:
    import litert_torch

    with _quiet(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        litert_torch.convert(module.eval(), inputs).export(str(path))
        return path.read_bytes()


@torch.no_grad()
def _calibration_ticks(
    coach: Coach, skeleton: NDArray[np.float32], inertial: NDArray[np.float32], ticks: int = 400
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Inputs of the step, those of its past included, at ticks spread over the sequences."""
    rng = np.random.default_rng(0)
    onlooker, blind = _beside(coach)
    groups = list(zip((coach.encoder, onlooker.encoder, blind.encoder, blind.memory), pasts(coach).values(), strict=True))
    layers = [layer for group, _ in groups for layer in group]
    read: dict[nn.Module, torch.Tensor] = {}
    hooks = [layer.register_forward_pre_hook(lambda layer, given: read.update({layer: given[0]})) for layer in layers]
    coach(torch.from_numpy(skeleton), torch.from_numpy(inertial))
    for hook in hooks:
        hook.remove()
    for _ in range(ticks):
        s, t = int(rng.integers(len(skeleton))), int(rng.integers(skeleton.shape[1]))
        given = [skeleton[s, t][None], inertial[s, t][None]]
        given += [_taps(group, read, s, t).reshape(-1, *past.shape) for group, past in groups]
        yield {f"args_{i}": value for i, value in enumerate(given)}


def _taps(layers: Iterable[nn.Module], read: dict[nn.Module, torch.Tensor], s: int, t: int) -> NDArray[np.float32]:
    """What `layers` had read in sequence `s` 2d and d ticks before the tick `t`; zeros before the first one."""
    taps = []
    for layer in layers:
        assert isinstance(layer, TemporalLayer)
        inputs = read[layer][s]
        taps += [inputs[t - ago] if t >= ago else torch.zeros_like(inputs[0]) for ago in (2 * layer.dilation, layer.dilation)]
    return torch.stack(taps).numpy()


def _quantised(model: bytes, samples: Sequence[dict[str, NDArray[np.float32]]]) -> bytes:
    from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    recipe = recipe_manager.RecipeManager()
    # One scale for a whole matrix, the one that `rounded` has made the weights multiples of.
    whole = qtyping.QuantGranularity.TENSORWISE
    recipe.add_weight_only_config(INT8_LAYERS, qtyping.TFLOperationName.FULLY_CONNECTED, 8, granularity=whole)
    recipe.add_static_config(STATIC_LAYERS, qtyping.TFLOperationName.FULLY_CONNECTED, 8, 8)
    with _quiet():
        # The quantiser's own calibration averages the samples' extremes, which cuts off whatever is above their average.
        ranges = calibrator.Calibrator(bytes(model), num_threads=1, qsv_update_func=qsv_utils.min_max_update)
        ranges.calibrate({"serving_default": samples}, recipe)
        tool = quantizer.Quantizer(bytearray(model))
        tool.load_quantization_recipe(recipe.get_quantization_recipe())
        return bytes(tool.quantize(ranges.get_model_qsvs()).quantized_model)


def _with_half_weights(model: bytes) -> bytes:
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

    half = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(16, dtype=qtyping.TensorDataType.FLOAT),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    casting = algorithm_manager.AlgorithmName.FLOAT_CASTING
    with _quiet():
        tool = quantizer.Quantizer(bytearray(model))
        tool.update_quantization_recipe(".*", qtyping.TFLOperationName.FULLY_CONNECTED, half, algorithm_key=casting)
        return bytes(tool.quantize().quantized_model)


def _named(model: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The model with its inputs and outputs named, and without what nobody reads: all other names, a fifth of the file, and the
    tables of tensors that aren't quantised."""
    from ai_edge_litert.tools import flatbuffer_utils

    content = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    signature = content.signatureDefs[0]
    graph = content.subgraphs[0]
    flatbuffer_utils.strip_strings(content)
    for tensor in graph.tensors:
        tensor.name = ""
        if tensor.quantization is not None and tensor.quantization.scale is None:
            tensor.quantization = None
    for maps, names in ((signature.inputs, inputs), (signature.outputs, outputs)):
        prefix = "args_" if maps is signature.inputs else "output_"
        for entry in maps:
            graph.tensors[entry.tensorIndex].name = names[int(_text(entry.name).removeprefix(prefix))]
    content.signatureDefs = []
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The converters print their progress by themselves, some of it from C++: keep it off the screen."""
    saved = [os.dup(1), os.dup(2)]
    with open(os.devnull, "wb") as sink, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            for number, duplicate in enumerate(saved, start=1):
                os.dup2(duplicate, number)
                os.close(duplicate)
