"""A model's ONNX files: exported, described, and compared with the model."""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor
from torch.export import Dim

from shared.errors import JobFailure
from shared.job_status import ErrorCode
from worker.blocks import BetweenBlocks, uninterrupted
from worker.models.base import GenerativeModel, OnnxGraph

OPSET = 20
TOLERANCE = 1e-4  # of every number, absolute, and relative where numbers are large
_SIZES = {"batch": 3}  # in the export; the exporter treats sizes 0 and 1 as constants
_CHECKED = ({"batch": 1}, {"batch": 2}, {"batch": 17})


@dataclass(frozen=True, kw_only=True)
class GraphFile:
    """A finished file. difference: the largest between torch's numbers and onnxruntime's, absolute."""

    name: str
    path: Path
    difference: float


def write_graphs(
    model: GenerativeModel, facts: Mapping[str, str], folder: Path, between_blocks: BetweenBlocks = uninterrupted
) -> list[GraphFile]:
    """Write `NAME.onnx` for each of the model's graphs into a folder.

    facts: further metadata (model type, dataset, versions). Raises JobFailure where the results of a graph differ from
    the model's; its file is then not written.
    """
    written = []
    with torch.no_grad():
        for graph in model.onnx_graphs():
            written.append(_write(graph, facts, folder))
            between_blocks()
    return written


def _write(graph: OnnxGraph, facts: Mapping[str, str], folder: Path) -> GraphFile:
    file = _described(_exported(graph), graph, facts)
    onnx.checker.check_model(file, full_check=True)
    data = file.SerializeToString(deterministic=True)
    difference = checked(data, graph)
    path = folder / f"{graph.name}.onnx"
    path.write_bytes(data)
    return GraphFile(name=graph.name, path=path, difference=difference)


def _exported(graph: OnnxGraph) -> onnx.ModelProto:
    """The graph; axes that the inputs name are dynamic."""
    axes = {name: Dim(name) for shape in graph.inputs.values() for name in shape if isinstance(name, str)}
    shapes = [
        {place: axes[name] for place, name in enumerate(shape) if isinstance(name, str)}
        for shape in graph.inputs.values()
    ]
    with _quiet():
        program = torch.onnx.export(
            _Varying(graph.network).eval(),
            graph.examples(_SIZES),
            dynamo=True,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=(tuple(shapes),),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


class _Varying(torch.nn.Module):
    """Takes any number of inputs, so that axes are named by the position of the input, not by its parameter name."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The network's outputs."""
        outputs: Tensor | tuple[Tensor, ...] = self.network(*inputs)
        return outputs


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's warnings about deprecated functions that it uses, and about axes that share a name.

    A user cannot act on them, and the result is compared with the model.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".* shares the same shape constraints with another axis")
        yield


def _number(graph: onnx.GraphProto) -> None:
    """Name nodes and inner values by their position: the exporter's own numbers differ from run to run."""
    kept = {value.name for value in (*graph.input, *graph.output)}
    names: dict[str, str] = {}
    for place, node in enumerate(graph.node):
        node.name = f"{node.op_type.lower()}_{place}"
        for values in (node.input, node.output):
            for index, name in enumerate(values):
                if name and name not in kept:
                    values[index] = names.setdefault(name, f"value_{len(names)}")
    constants = {tensor.name: tensor for tensor in graph.initializer}
    ordered = [constants[name] for name in names if name in constants]
    for tensor in ordered:
        tensor.name = names[tensor.name]
    del graph.initializer[:]
    graph.initializer.extend(ordered)


def _described(file: onnx.ModelProto, graph: OnnxGraph, facts: Mapping[str, str]) -> onnx.ModelProto:
    """The file with descriptions for the user, without the source lines and paths that the exporter adds."""
    _number(file.graph)
    for node in file.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    for value in (*file.graph.value_info, *file.graph.input, *file.graph.output):
        del value.metadata_props[:]
    del file.graph.value_info[:]
    for value in (*file.graph.input, *file.graph.output):
        value.doc_string = graph.about[value.name]
    file.graph.name = graph.name
    extra = {name: fact if isinstance(fact, str) else json.dumps(fact) for name, fact in graph.facts.items()}
    about = {**facts, "part": graph.name, "about": json.dumps(dict(graph.about), sort_keys=True), **extra}
    onnx.helper.set_model_props(file, dict(sorted(about.items())))
    file.producer_name, file.producer_version = "mimeo", facts.get("mimeo_version", "")
    return file


def checked(data: bytes, graph: OnnxGraph) -> float:
    """The largest difference between torch and onnxruntime, over inputs of several sizes.

    Raises JobFailure where one is larger than TOLERANCE allows, or where shapes differ.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for sizes in _CHECKED:
        inputs = graph.examples(sizes)
        expected = graph.network(*inputs)
        outputs = expected if isinstance(expected, tuple) else (expected,)
        given = {name: tensor.numpy() for name, tensor in zip(graph.inputs, inputs, strict=True)}
        found = session.run(list(graph.outputs), given)
        for name, wanted, got in zip(graph.outputs, outputs, found, strict=True):
            worst = max(worst, _difference(graph.name, name, wanted.numpy(), got))
    return worst


def _difference(graph: str, name: str, wanted: np.ndarray, got: np.ndarray) -> float:
    is_close = wanted.shape == got.shape and bool(np.allclose(got, wanted, rtol=TOLERANCE, atol=TOLERANCE))
    if not is_close:
        message = f"The ONNX graph `{graph}` does not compute what the model does: its output `{name}` differs."
        raise JobFailure(ErrorCode.EXPORT_FAILED, message, "Export the weights (format=safetensors) instead.")
    return float(np.abs(got - wanted).max())
