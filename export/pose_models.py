"""`python -m export.pose_models`: the pose networks of device/models/pose, made from the ones in MediaPipe's wheel.

The landmark network loses its segmentation mask, a third of its time, and both get outputs with names.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from device.runtime.pose_litert.network import DETECTOR, FOLDER, LANDMARKS

SOURCES = {
    DETECTOR: ("pose_detection/pose_detection.tflite", {"Identity": "boxes", "Identity_1": "scores"}),
    LANDMARKS: (
        "pose_landmark/pose_landmark_full.tflite",
        {"Identity": "landmarks", "Identity_1": "presence", "Identity_3": "heatmap", "Identity_4": "world"},
    ),
}
"""File in the wheel and the outputs that stay, by the name that they get. The mask is `Identity_2`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write both networks."""
    parser = argparse.ArgumentParser(prog="python -m export.pose_models", description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for the networks (default: the shipped ones)")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in SOURCES:
        (args.out / name).write_bytes(network(name))
    return 0


def network(name: str) -> bytes:
    """The file `name` of device/models/pose, made anew from the installed MediaPipe."""
    source, outputs = SOURCES[name]
    return cut((mediapipe_modules() / source).read_bytes(), outputs)


def mediapipe_modules() -> Path:
    """Where the installed MediaPipe keeps its networks. Raises FileNotFoundError where there is none."""
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("MediaPipe is not installed. Install it: pip install mediapipe==0.10.18")
    return Path(spec.origin).parent / "modules"


def cut(model: bytes, outputs: Mapping[str, str]) -> bytes:
    """`model` with those `outputs` only, renamed, and without the operators, tensors and weights that nothing needs now."""
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(model), 0))
    (graph,) = tree.subgraphs
    for tensor in graph.tensors:
        if tensor.name.decode() in outputs:
            tensor.name = outputs[tensor.name.decode()].encode()
    graph.outputs = [t for t in graph.outputs if graph.tensors[t].name.decode() in outputs.values()]
    graph.operators = _needed(graph)
    _drop_tensors(graph)
    _drop_buffers(tree, graph)
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _needed(graph: Any) -> list[Any]:
    """Operators on a way from the inputs to the outputs, in their order."""
    wanted = set(graph.outputs)
    needed = []
    for operator in reversed(graph.operators):
        if wanted.intersection(operator.outputs):
            wanted.update(operator.inputs)
            needed.append(operator)
    return needed[::-1]


def _drop_tensors(graph: Any) -> None:
    used = {*graph.inputs, *graph.outputs}
    for operator in graph.operators:
        used.update(operator.inputs, operator.outputs)
    kept = sorted(used - {-1})
    place = {old: new for new, old in enumerate(kept)} | {-1: -1}
    graph.tensors = [graph.tensors[t] for t in kept]
    for holder in (graph, *graph.operators):
        holder.inputs = [place[t] for t in holder.inputs]
        holder.outputs = [place[t] for t in holder.outputs]


def _drop_buffers(tree: Any, graph: Any) -> None:
    # Buffer 0 is the empty one, by definition of the format.
    kept = sorted({0, *(t.buffer for t in graph.tensors), *(m.buffer for m in tree.metadata or ())})
    place = {old: new for new, old in enumerate(kept)}
    tree.buffers = [tree.buffers[b] for b in kept]
    for holder in (*graph.tensors, *(tree.metadata or ())):
        holder.buffer = place[holder.buffer]


if __name__ == "__main__":
    raise SystemExit(main())
