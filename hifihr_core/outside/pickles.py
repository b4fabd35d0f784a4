"""Read an untrusted pickle without running any code in it.

A pickle is a program: it may name any importable object and call it. This reader resolves names only through a table
given by the caller. The table in this module, `NUMPY`, resolves NumPy's names to safe replacements, so a file can only
fill arrays with numbers and nest them in lists, tuples and dicts. NumPy's own functions for this are not used, because
they take the flags of a dtype from the file and then read object pointers out of raw bytes.
"""

import copyreg
import math
import pickle
import pickletools
import struct
from collections.abc import Callable, Mapping
from io import BufferedIOBase, BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from hifihr_core.errors import AssetError, HifihrError, UnsafePickleError

#: Exceptions of the unpickler on damaged input, as documented, and of our stand-ins.
_DAMAGE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)

#: Argument lengths of pickle instructions: a number of bytes, a length prefix, or lines (GLOBAL and INST have two).
_ARGUMENTS = {ord(op.code): op.arg for op in pickletools.opcodes}
_FIXED = {code: 0 if arg is None else arg.n for code, arg in _ARGUMENTS.items() if arg is None or arg.n >= 0}
_SIZES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_LENGTHS = {code: _SIZES[arg.n] for code, arg in _ARGUMENTS.items() if arg is not None and arg.n in _SIZES}
_LINES = {code: 2 for code, arg in _ARGUMENTS.items() if arg is pickletools.stringnl_noescape_pair}
#: The instructions that store at any memo index: one with a four-byte number, one with digits.
_LONG_BINPUT, _PUT = ord("r"), ord("p")
_MOST_DIGITS = 20

#: Kinds of dtype whose bytes are numbers or text, never pointers.
_PLAIN_KINDS = "biufcSU"


class Stub:
    """A replacement for an object of a foreign class; `state` is the state that the file gives to the object.

    Subclass it to distinguish foreign classes. A file cannot pass arguments to its constructor.
    """

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        """Store the state unchanged."""
        self.state = state


class _Call:
    """A function that a file may call but not modify: pickle's instruction BUILD can modify a plain function."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> object:
        return self._function(*args)

    def __setstate__(self, state: object) -> None:
        raise UnsafePickleError("the file sets attributes of a function; it is not a data file, so delete it")


class _DType:
    """A dtype as described by the file; converted to a real one only after a check."""

    def __init__(self, code: Any, *_: object) -> None:
        self._code = code
        self._order: Any = "="

    def __setstate__(self, state: Any) -> None:
        if len(state) < 5 or any(part is not None for part in state[2:5]):
            raise UnsafePickleError("the file contains an array of structured dtype; only plain numbers are allowed")
        self._order = state[1]

    def plain(self) -> np.dtype:
        if isinstance(self._code, str) and self._code in ("O", "O8"):
            return np.dtype(object)
        dtype = np.dtype(str(self._code))
        if dtype.kind not in _PLAIN_KINDS or dtype.hasobject:
            raise UnsafePickleError(
                f"the file contains an array of dtype {self._code!r}; only plain numbers are allowed"
            )
        return dtype if self._order in "|=" else dtype.newbyteorder(self._order)


class _Array(np.ndarray):
    """An array whose dtype, shape and bytes are checked before they reach NumPy."""

    def __setstate__(self, state: Any) -> None:
        shape, dtype, fortran, data = state[-4:]
        plain = dtype.plain()
        if plain.hasobject:
            if not isinstance(data, list) or len(data) != math.prod(shape):
                raise ValueError(f"an object array of shape {shape} has no list of that many objects")
            fill: Any = data
        else:
            fill = _sized(data, shape, plain)
        checked: Any = (1, shape, plain, bool(fortran), fill)
        super().__setstate__(checked)


# The stand-ins below accept anything from a file, so their arguments are deliberately unchecked.
def _sized(data: Any, shape: Any, dtype: np.dtype) -> bytes:
    if not isinstance(data, str | bytes | bytearray):  # bytes() of a number would give that many zeros
        raise ValueError(f"the content of an array of shape {shape}: found {type(data).__name__}, expected bytes")
    raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
    if any(size < 0 for size in shape) or len(raw) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of shape {shape} and dtype {dtype} does not fit its {len(raw)} bytes")
    return raw


def _blank_array(*_: object) -> _Array:
    return np.ndarray.__new__(_Array, (0,), np.int8)


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    plain = dtype.plain()
    if plain.hasobject:
        raise UnsafePickleError("the file tries to read objects from raw bytes; it is not a data file, so delete it")
    return np.frombuffer(_sized(data, shape, plain), plain).reshape(shape, order="F" if order == "F" else "C").copy()


def _scalar(dtype: Any, data: Any = b"") -> object:
    return _from_buffer(data, dtype, (), "C")[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes are encoded as {encoding!r}, expected 'latin1'")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


#: Plain NumPy arrays and scalars, as Python 2 and 3 and NumPy 1 and 2 write them. Arrays come back as a subclass of
#: ``numpy.ndarray``; ``numpy.asarray`` strips it.
NUMPY: Mapping[tuple[str, str], object] = MappingProxyType(
    {
        ("numpy", "ndarray"): object(),  # only ever an argument, so it need not be the class
        ("numpy", "dtype"): _DType,
        ("_codecs", "encode"): _encode,  # how Python 3 writes bytes for Python 2
        ("__builtin__", "bytes"): _no_bytes,
        **{(f"{core}.multiarray", "_reconstruct"): _blank_array for core in ("numpy.core", "numpy._core")},
        **{(f"{core}.multiarray", "scalar"): _scalar for core in ("numpy.core", "numpy._core")},
        **{(f"{core}.numeric", "_frombuffer"): _from_buffer for core in ("numpy.core", "numpy._core")},
    }
)


class _Reader(pickle.Unpickler):
    def __init__(self, stream: BufferedIOBase, allowed: Mapping[tuple[str, str], object], encoding: str) -> None:
        super().__init__(stream, encoding=encoding)
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self._allowed:
            raise UnsafePickleError(
                f"the file requests {module}.{name}, which no file of this kind needs; "
                "nothing in it was run; get the file from its authors again"
            )
        found = self._allowed[module, name]
        return found if isinstance(found, type) or not callable(found) else _Call(found)

    def persistent_load(self, pid: object) -> object:
        raise UnsafePickleError("the file refers to an object outside it; get the file from its authors again")


def _check_memo(content: bytes) -> None:
    """Raise ValueError for a memo index that no pickle of this length needs.

    Python allocates memory for all smaller indices as well: gigabytes for a pickle of ten bytes. Truncated pickles are
    not detected here but by the reader.
    """
    place, end = 0, len(content)
    while place < end:
        code = content[place]
        place += 1
        index = 0
        if code == _LONG_BINPUT:
            index = int.from_bytes(content[place : place + 4], "little")
        elif code == _PUT:
            digits = content[place : content.find(b"\n", place)].strip()
            index = int(digits[:_MOST_DIGITS]) if digits.isdigit() else 0
        if index > end:
            raise ValueError(f"memo index {index:,} is larger than the file, which has {end:,} bytes")
        fixed = _FIXED.get(code)
        if fixed is not None:
            place += fixed
        elif code in _LENGTHS:
            size = _LENGTHS[code]
            place += size + int.from_bytes(content[place : place + size], "little")
        else:
            for _ in range(_LINES.get(code, 1)):
                place = content.find(b"\n", place) + 1 or end


def read_pickle(
    source: Path | BufferedIOBase,
    *,
    allowed: Mapping[tuple[str, str], object],
    encoding: str = "latin1",
    error: type[HifihrError] = AssetError,
    name: str | None = None,
) -> Any:
    """Read a pickle that may name only the (module, name) pairs in `allowed`, and return its content.

    A name is resolved to its value in `allowed`: a class, a function (called with the file's arguments, so it must be
    safe for any argument), or any other object. Extension codes are resolved through the same table; references to
    objects outside the file are rejected. `name` is the source's name in messages.

    Raises: UnsafePickleError if the file needs another name or tries anything else that data never does; `error` if it
    is missing, damaged or truncated.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as stream:
                return read_pickle(stream, allowed=allowed, encoding=encoding, error=error)
        except OSError as problem:
            raise error(f"{source}: {problem.strerror or problem}, expected a readable pickle file") from problem
    name = name or str(getattr(source, "name", "pickle"))
    content = source.read()
    copyreg.clear_extension_cache()  # a cached extension would be returned without calling `find_class`
    try:
        _check_memo(content)
        return _Reader(BytesIO(content), allowed, encoding).load()
    except UnsafePickleError as problem:
        raise UnsafePickleError(f"{name}: {problem}") from problem
    except _DAMAGE as problem:
        reason = str(problem) or type(problem).__name__
        raise error(
            f"{name}: not a readable pickle ({reason}); it is damaged or truncated; get the file again"
        ) from problem
