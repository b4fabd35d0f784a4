"""Kinds of damage (bytes, JSON values, columns of a shard), each a pure function of a `random.Random`."""

import io
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import numpy as np

Mutate = Callable[[bytes, random.Random], bytes]

_WORDS = (b"\x00" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"[" * 2000, b"{" * 2000, b"9" * 5000)
_WORDS += (
    b"NaN",
    b"-1",
    b"1e999",
    b"null",
    b'"',
    b"\\",
    b"\n",
    b"\x1b[2J",
    b"../../../etc/passwd\x00",
    b"\xed\xa0\x80",
)
_NUMBERS = (0, -1, 1, 2**31 - 1, 2**31, 2**63 - 1, 2**64, 10**400, 1e300, -1e300, 1e-300, float("nan"), float("inf"))
_VALUES: tuple[Any, ...] = (*_NUMBERS, None, True, "", "text", "\ud83d", "a\nb", [], [[]], {}, [1, [2]], {"a": 1})


def damage_bytes(content: bytes, dice: random.Random) -> bytes:
    """Flip, overwrite, cut, duplicate, insert or drop bytes, a few times."""
    found = bytearray(content)
    for _ in range(dice.choice((1, 1, 1, 2, 4, 16))):
        place = dice.randrange(len(found) + 1)
        length = min(dice.choice((1, 1, 2, 4, 8, 64, 1024)), len(found) - place)
        kind = dice.randrange(6)
        if kind == 0 and length:
            found[place] ^= 1 << dice.randrange(8)
        elif kind == 1:
            found[place : place + length] = dice.randbytes(length)
        elif kind == 2:
            found = found[: max(1, place)]
        elif kind == 3:
            found[place:place] = found[place : place + length]
        elif kind == 4:
            word = dice.choice(_WORDS)
            found[place : place + dice.choice((0, len(word)))] = word
        else:
            del found[place : place + length]
    return bytes(found)


def damage_json(content: bytes, dice: random.Random) -> bytes:
    """Replace, drop or duplicate values somewhere in a JSON document."""
    document = json.loads(content)
    for _ in range(dice.choice((1, 1, 2, 5))):
        document = _damage_value(document, dice)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _damage_value(value: Any, dice: random.Random, depth: int = 0) -> Any:
    if not isinstance(value, dict | list) or not value or dice.random() < 0.15 * depth:
        if dice.random() < 0.05:
            return [value] * dice.choice((0, 2, 1000))
        return dice.choice(_VALUES)
    if isinstance(value, dict):
        key = dice.choice(sorted(value))
        if dice.random() < 0.1:
            return {name: each for name, each in value.items() if name != key}
        return {**value, key: _damage_value(value[key], dice, depth + 1)}
    place = dice.randrange(len(value))
    if dice.random() < 0.1:
        return value[:place] + value[place + 1 :]
    return [*value[:place], _damage_value(value[place], dice, depth + 1), *value[place + 1 :]]


def damage_shard(content: bytes, dice: random.Random) -> bytes:
    """Change the structure of an HDF5 file: types, shapes, links, numbers, storage."""
    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        for _ in range(dice.choice((1, 1, 2))):
            name = dice.choice(names)
            if name in file:
                dice.choice(_CHANGES)(file, name, dice)
    return stream.getvalue()


def _drop(file: h5py.File, name: str, dice: random.Random) -> None:
    del file[name]


def _link(file: h5py.File, name: str, dice: random.Random) -> None:
    del file[name]
    links = (h5py.SoftLink("/samples"), h5py.SoftLink("/" + name), h5py.ExternalLink("/etc/passwd", "/"))
    file[name] = dice.choice((*links, h5py.ExternalLink("other.h5", "/" + name)))


def _external(file: h5py.File, name: str, dice: random.Random) -> None:
    del file[name]
    file.create_dataset(name, (8,), "u1", external=[("/etc/passwd", 0, 8)])


def _values(file: h5py.File, name: str, dice: random.Random) -> None:
    if isinstance(file[name], h5py.Dataset) and file[name].size:
        data = file[name][...]
        if data.dtype.kind in "iuf":
            flat = data.reshape(-1)
            place = dice.randrange(flat.size)
            extremes = (np.nan, np.inf, -1.0) if data.dtype.kind == "f" else (0, 1, np.iinfo(data.dtype).max)
            flat[place] = dice.choice(extremes)
            file[name][...] = data


def _retype(file: h5py.File, name: str, dice: random.Random) -> None:
    if not isinstance(file[name], h5py.Dataset):
        return
    shape = dice.choice(((), (0,), (1,), (3, 0, 5), file[name].shape, (*file[name].shape, 2), (1 << 40,)))
    kinds: Sequence[Any] = ("f8", "i1", "u8", "S1", ">f4", h5py.string_dtype(), h5py.vlen_dtype(np.float32))
    kinds = (*kinds, h5py.ref_dtype, np.dtype([("a", "f4")]), file[name].dtype)
    chunks = True if 0 not in shape and shape and dice.random() < 0.3 else None
    del file[name]
    file.create_dataset(name, shape, dice.choice(kinds), chunks=chunks)


def _regroup(file: h5py.File, name: str, dice: random.Random) -> None:
    del file[name]
    file.create_group(name)


def _attribute(file: h5py.File, name: str, dice: random.Random) -> None:
    key = dice.choice(("format", "format_version", "dataset"))
    file.attrs[key] = dice.choice(("", "x" * 1000, 2, -1, [1, 2], np.zeros((3, 3)), h5py.Empty("f4")))


_CHANGES = (_drop, _link, _external, _values, _values, _retype, _retype, _regroup, _attribute)


def damage_npz(content: bytes, dice: random.Random) -> bytes:
    """Change the type, shape or numbers of an array in an .npz, or drop the array."""
    with np.load(io.BytesIO(content)) as found:
        arrays = dict(found)
    for _ in range(dice.choice((1, 1, 2))):
        name = dice.choice(sorted(arrays))
        array = arrays.pop(name)
        if dice.random() < 0.9:
            arrays[name] = _damage_array(array, dice)
        if not arrays:
            break
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _damage_array(array: np.ndarray, dice: random.Random) -> np.ndarray:
    kind = dice.randrange(4)
    if kind == 0:
        return np.zeros(dice.choice(((), (0,), (1,), (3, 0, 5), (*array.shape, 2), array.shape[1:])), array.dtype)
    if kind == 1:
        return np.zeros(array.shape, dice.choice(("U3", "S2", "?", "i1", "u8", "f2", ">f4", "c8", "M8[s]", "V3")))
    if kind == 2 and array.dtype.kind in "iuf" and array.size:
        changed = array.astype(float).reshape(-1)
        changed[dice.randrange(changed.size)] = dice.choice((np.nan, np.inf, -1.0, 1e300, -1e300))
        return changed.reshape(array.shape)
    return np.array(dice.choice(("", "mano", "nimble", "anny", "../x", "a\nb", 3, 1e300)))


def damage_either(structural: Mutate) -> Mutate:
    """Return damage that is sometimes structural and sometimes to bytes."""

    def damage(content: bytes, dice: random.Random) -> bytes:
        return (structural if dice.random() < 0.5 else damage_bytes)(content, dice)

    return damage
