"""Convert a network of the eyes from torch to ONNX, by tracing the torch module that defines it."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from hifihr_core.eyes import protobuf
from hifihr_core.eyes.layers import PadChannels, PerAnchor, SameConv2d


def onnx_bytes(network: nn.Module, input_shape: Sequence[int]) -> bytes:
    """Return the content of an ONNX file, with an input ``(batch, *input_shape)`` and the outputs of `network.forward`.

    Raises: ValueError if the network contains a layer or function that is not in the tables of this module.
    """
    graph = _Graph()
    inputs, outputs = [], []
    for step in _Tracer().trace(network.eval()).nodes:
        if step.op == "placeholder":
            inputs.append(protobuf.value(step.name, ("batch", *input_shape)))
        elif step.op == "output":
            outputs = [protobuf.value(f"{name}.out") for name in _names(step.args[0])]
            for name in _names(step.args[0]):
                graph.add("Identity", [name], f"{name}.out")
        else:
            _write_step(graph, network, step)
    return protobuf.model(graph.nodes, graph.tensors, inputs, outputs)


class _Graph:
    """The nodes and constants written so far of an ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []

    def add(self, operator_name: str, inputs: Sequence[str], output: str, **attributes: protobuf.Attribute) -> None:
        self.nodes.append(protobuf.node(operator_name, inputs, [output], attributes))

    def constant(self, name: str, value: Tensor | np.ndarray) -> str:
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        self.tensors.append(protobuf.tensor(name, array))
        return name


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in _LAYERS


def _write_step(graph: _Graph, network: nn.Module, step: fx.Node) -> None:
    if step.op == "call_module":
        layer = network.get_submodule(str(step.target))
        _LAYERS[type(layer)](graph, layer, str(step.args[0]), step.name)
    elif step.target in _FUNCTIONS:
        _FUNCTIONS[step.target](graph, step)
    else:
        raise ValueError(f"{step.op} {step.target}: onnx_graph has no ONNX operator for it, expected one in its tables")


def _convolution(graph: _Graph, layer: SameConv2d, source: str, name: str) -> None:
    before, after = layer.before_after
    assert layer.bias is not None
    weights = [graph.constant(f"{name}.weight", layer.weight), graph.constant(f"{name}.bias", layer.bias)]
    graph.add(
        "Conv",
        [source, *weights],
        name,
        group=layer.groups,
        strides=list(layer.stride),
        pads=[before, before, after, after],
    )


def _linear(graph: _Graph, layer: nn.Linear, source: str, name: str) -> None:
    weights = [graph.constant(f"{name}.weight", layer.weight), graph.constant(f"{name}.bias", layer.bias)]
    graph.add("Gemm", [source, *weights], name, transB=1)


def _prelu(graph: _Graph, layer: nn.PReLU, source: str, name: str) -> None:
    """Write PReLU as ``slope * x + (1 - slope) * relu(x)``, with convolutions, since onnxruntime's PRelu is slow."""
    slope, channels = layer.weight[:, None, None, None], layer.weight.numel()
    graph.add("Relu", [source], f"{name}.positive")
    for part, value, weight in (("below", source, slope), ("above", f"{name}.positive", 1 - slope)):
        graph.add("Conv", [value, graph.constant(f"{name}.{part}.weight", weight)], f"{name}.{part}", group=channels)
    graph.add("Add", [f"{name}.below", f"{name}.above"], name)


def _relu6(graph: _Graph, layer: nn.ReLU6, source: str, name: str) -> None:
    bounds = [graph.constant(f"{name}.{end}", np.array(at, dtype=np.float32)) for end, at in (("low", 0), ("high", 6))]
    graph.add("Clip", [source, *bounds], name)


def _max_pool(graph: _Graph, layer: nn.MaxPool2d, source: str, name: str) -> None:
    graph.add("MaxPool", [source], name, kernel_shape=[2, 2], strides=[2, 2])


def _pad_channels(graph: _Graph, layer: PadChannels, source: str, name: str) -> None:
    pads = np.array([0, 0, 0, 0, 0, layer.extra, 0, 0], dtype=np.int64)
    graph.add("Pad", [source, graph.constant(f"{name}.pads", pads)], name)


def _double(graph: _Graph, layer: nn.Upsample, source: str, name: str) -> None:
    scales = graph.constant(f"{name}.scales", np.array([1, 1, 2, 2], dtype=np.float32))
    graph.add("Resize", [source, "", scales], name, mode="linear", coordinate_transformation_mode="half_pixel")


def _per_anchor(graph: _Graph, layer: PerAnchor, source: str, name: str) -> None:
    graph.add("Transpose", [source], f"{name}.last", perm=[0, 2, 3, 1])
    shape = graph.constant(f"{name}.shape", np.array([0, -1, layer.values], dtype=np.int64))  # 0: unchanged
    graph.add("Reshape", [f"{name}.last", shape], name)


#: Writers of each layer: functions of (graph, layer, input name, output name).
_LAYERS: dict[type[nn.Module], Callable[[_Graph, Any, str, str], None]] = {
    SameConv2d: _convolution,
    nn.Linear: _linear,
    nn.PReLU: _prelu,
    nn.ReLU6: _relu6,
    nn.MaxPool2d: _max_pool,
    nn.Upsample: _double,
    PadChannels: _pad_channels,
    PerAnchor: _per_anchor,
    nn.AdaptiveAvgPool2d: lambda graph, layer, source, name: graph.add("GlobalAveragePool", [source], name),
    nn.Flatten: lambda graph, layer, source, name: graph.add("Flatten", [source], name, axis=1),
}


def _names(values: Any) -> list[str]:
    return [value.name for value in values]


#: Writers of the functions and methods between layers.
_FUNCTIONS: dict[Any, Callable[[_Graph, fx.Node], None]] = {
    operator.add: lambda graph, step: graph.add("Add", _names(step.args), step.name),
    torch.cat: lambda graph, step: graph.add("Concat", _names(step.args[0]), step.name, axis=1),
    "sigmoid": lambda graph, step: graph.add("Sigmoid", _names(step.args), step.name),
}
