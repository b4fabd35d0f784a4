"""Check HDF5's heaps of strings: if a size in one is zero, the HDF5 library itself never stops reading.

See "Global Heap" in the HDF5 file format specification: a collection is ``GCOL``, a version, its size, and objects of
16 bytes and their content; object 0 is the free rest, whose size includes its own 16 bytes.
"""

import mmap
import struct

#: The strings of a shard are its attributes, which come first in the file.
_SEARCHED_BYTES = 1 << 20
_LARGEST = 1 << 20
_SIGNATURE = b"GCOL\x01\0\0\0"
_HEAD, _OBJECT = struct.Struct("<8sQ"), struct.Struct("<HHIQ")


def check_string_heaps(memory: mmap.mmap) -> None:
    """Check the collections in the first MiB of a file. Raises: ValueError if one is damaged."""
    place = memory.find(_SIGNATURE, 0, _SEARCHED_BYTES)
    while place >= 0:
        _check_collection(memory, place)
        place = memory.find(_SIGNATURE, place + 1, _SEARCHED_BYTES)


def _check_collection(memory: mmap.mmap, place: int) -> None:
    if len(memory) - place < _HEAD.size:
        raise ValueError("a heap of strings is truncated")
    _, size = _HEAD.unpack_from(memory, place)
    if not _HEAD.size <= size <= min(_LARGEST, len(memory) - place):
        raise ValueError(f"a heap of strings has the impossible size of {size:,} bytes")
    at, end = place + _HEAD.size, place + size
    while end - at >= _OBJECT.size:
        number, _, _, length = _OBJECT.unpack_from(memory, at)
        step = length if number == 0 else _OBJECT.size + -(-length // 8) * 8
        if not _OBJECT.size <= step <= end - at:
            raise ValueError(f"a string in a heap has the impossible size of {length:,} bytes")
        at += step
