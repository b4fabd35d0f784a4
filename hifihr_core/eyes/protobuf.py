"""The few ONNX messages that a network needs, encoded as bytes (github.com/onnx/onnx, onnx.proto)."""

from collections.abc import Mapping, Sequence

import numpy as np

Attribute = int | str | Sequence[int]

_TENSOR_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}
_IR_VERSION, _OPSET = 8, 13


def model(nodes: Sequence[bytes], tensors: Sequence[bytes], inputs: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
    """Return an ONNX file assembled from its parts."""
    graph = [(1, node) for node in nodes] + [(2, "hifihr")] + [(5, tensor) for tensor in tensors]
    graph += [(11, value) for value in inputs] + [(12, value) for value in outputs]
    opset = _message([(1, ""), (2, _OPSET)])
    return _message([(1, _IR_VERSION), (2, "hifihr"), (7, _message(graph)), (8, opset)])


def node(
    operator: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Attribute] | None = None
) -> bytes:
    """Return an operation on named values."""
    named = [(1, name) for name in inputs] + [(2, name) for name in outputs] + [(4, operator)]
    return _message([*named, *((5, _attribute(name, value)) for name, value in (attributes or {}).items())])


def tensor(name: str, value: np.ndarray) -> bytes:
    """Return a named float32 or int64 constant."""
    little = value.astype(value.dtype.newbyteorder("<"), copy=False)
    dims: list[tuple[int, int | str | bytes]] = [(1, size) for size in value.shape]
    return _message([*dims, (2, _TENSOR_TYPES[value.dtype]), (8, name), (9, little.tobytes())])


def value(name: str, shape: Sequence[int | str] | None = None) -> bytes:
    """Return the declaration of a float32 value; a dimension given by name may vary, and without a shape all do."""
    tensor_type: list[tuple[int, int | str | bytes]] = [(1, 1)]
    if shape is not None:
        dims = [(1, _message([(1, size) if isinstance(size, int) else (2, size)])) for size in shape]
        tensor_type.append((2, _message(dims)))
    return _message([(1, name), (2, _message([(1, _message(tensor_type))]))])


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return _message([(1, name), (3, value), (20, 2)])
    if isinstance(value, str):
        return _message([(1, name), (4, value), (20, 3)])
    return _message([(1, name), *((8, number) for number in value), (20, 7)])


def _message(fields: Sequence[tuple[int, int | str | bytes]]) -> bytes:
    """Encode a message: an integer field as tag and varint, any other as tag, length and bytes."""
    parts = []
    for number, content in fields:
        if isinstance(content, int):
            parts += [_varint(number << 3), _varint(content)]
        else:
            data = content.encode() if isinstance(content, str) else content
            parts += [_varint(number << 3 | 2), _varint(len(data)), data]
    return b"".join(parts)


def _varint(number: int) -> bytes:
    """Encode a number in groups of seven bits, lowest first; negative ones as 64-bit two's complement."""
    number &= (1 << 64) - 1
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])
