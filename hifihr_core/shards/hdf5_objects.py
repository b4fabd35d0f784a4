"""Find groups, arrays and attributes in an HDF5 file, without the HDF5 library.

The library never finishes reading some damaged files, and crashes on others. A shard needs little of the format: only
the oldest version of each structure, which `writer.py` writes and which has not changed since HDF5's first release.
Everything else is rejected, every address must be inside the file, and the total size of what is read is limited.

Source: HDF5 File Format Specification 3.0, sections II.A (superblock 0), III.A (B-trees, symbol tables, local heaps)
and IV.A (object headers 1 and their messages).
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass

#: Types of messages in an object header.
DATASPACE, DATATYPE, EXTERNAL, LAYOUT, FILTERS, ATTRIBUTE = 0x01, 0x03, 0x07, 0x08, 0x0B, 0x0C
_CONTINUATION, _SYMBOL_TABLE = 0x10, 0x11
#: "Nowhere in the file", for example for an array without elements.
NOWHERE = (1 << 64) - 1

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SHARED = 2
_SOFT_LINK = 2
_LONGEST_NAME = 256
_MOST_LEVELS = 8
#: Maximum size of all parts that are read, each with `_PART_BYTES` more because there may be many small ones. A shard
#: with every label needs 43 KB.
_MOST_BYTES = 1 << 20
_PART_BYTES = 32


@dataclass(frozen=True)
class Hdf5Object:
    """The header of a group or an array: the types and contents of its messages, in order."""

    messages: tuple[tuple[int, bytes], ...]

    def find(self, kind: int) -> bytes | None:
        """Return the content of the first message of the type `kind`, or None if there is none."""
        return next((content for found, content in self.messages if found == kind), None)


class Hdf5Objects:
    """The objects of a mapped HDF5 file. All methods raise ValueError if a structure is damaged or of another form."""

    def __init__(self, memory: mmap.mmap) -> None:
        self.memory = memory
        self.bytes_read = 0

    def read_root(self) -> Hdf5Object:
        """Return the root group, which contains all other groups."""
        if self.memory[:8] != _SIGNATURE:
            raise ValueError("it is not an HDF5 file")
        versions = self._unpack("<8x4B", 0)
        sizes = self._unpack("<13x2B", 0)
        if any(versions) or sizes != (8, 8):
            raise ValueError(f"its HDF5 versions are {versions} and its sizes {sizes}, expected zeros and (8, 8)")
        base, _, end, _, _, root = self._unpack("<24x6Q", 0)
        if base or end > len(self.memory):
            raise ValueError(
                f"it extends from byte {base:,} to {base + end:,}, expected 0 to at most {len(self.memory):,}"
            )
        return self.read_object(root)

    def read_object(self, address: int) -> Hdf5Object:
        """Return the object whose header is at `address`."""
        version, size = self._unpack("<B7xI", address)
        if version != 1:
            raise ValueError(f"an object header has version {version}, expected 1")
        messages: list[tuple[int, bytes]] = []
        blocks = [(address + 16, size)]
        for start, length in blocks:  # it grows
            for kind, content in self._read_messages(start, start + length):
                if kind == _CONTINUATION:
                    blocks.append(struct.unpack("<QQ", _exactly(content, 16)))
                messages.append((kind, content))
        return Hdf5Object(tuple(messages))

    def list_members(self, group: Hdf5Object) -> Mapping[str, int | None]:
        """Return the address of every member of a group by name; None for a link.

        Raises: ValueError if the object is not a group, or as for all methods.
        """
        table = group.find(_SYMBOL_TABLE)
        if table is None:
            raise ValueError("a group has no symbol table")
        tree, heap = struct.unpack("<QQ", _exactly(table, 16))
        signature, size, names = self._unpack("<8sQ8xQ", heap)
        if signature != b"HEAP\0\0\0\0":
            raise ValueError("the names of a group are missing")
        members: dict[str, int | None] = {}
        for node in self._list_leaves(tree, None):
            members |= self._read_symbols(node, names, size)
        return members

    def _read_messages(self, at: int, end: int) -> list[tuple[int, bytes]]:
        messages = []
        while end - at >= 8:
            kind, size, flags = self._unpack("<HHB", at)
            if size > end - at - 8 or flags & _SHARED:
                raise ValueError("an object header is damaged")
            messages.append((kind, self._read_bytes(at + 8, size)))
            at += 8 + size
        return messages

    def _list_leaves(self, address: int, level: int | None) -> list[int]:
        """Return the addresses of the symbol tables below the node of a B-tree at `address`.

        `level` is the node's expected level, None for any.
        """
        signature, kind, found, used = self._unpack("<4sBBH", address)
        if signature != b"TREE" or kind != 0 or found > _MOST_LEVELS or found != (found if level is None else level):
            raise ValueError("the index of a group is damaged")
        leaves: list[int] = []
        for place in range(used):
            (child,) = self._unpack("<Q", address + 32 + 16 * place)
            leaves += self._list_leaves(child, found - 1) if found else [child]
        return leaves

    def _read_symbols(self, address: int, names: int, size: int) -> dict[str, int | None]:
        signature, count = self._unpack("<4s2xH", address)
        if signature != b"SNOD":
            raise ValueError("the index of a group is damaged")
        members: dict[str, int | None] = {}
        for place in range(count):
            name, header, kind = self._unpack("<QQI", address + 8 + 40 * place)
            members[self._read_name(names, name, size)] = None if kind == _SOFT_LINK else header
        return members

    def _read_name(self, names: int, offset: int, size: int) -> str:
        text = self._read_bytes(names + offset, min(_LONGEST_NAME, max(0, size - offset)))
        name, separator, _ = text.partition(b"\0")
        if not separator:
            raise ValueError(f"a name in a group has no end within {_LONGEST_NAME} bytes")
        return name.decode()

    def _unpack(self, form: str, address: int) -> tuple:
        return struct.unpack(form, self._read_bytes(address, struct.calcsize(form)))

    def _read_bytes(self, address: int, size: int) -> bytes:
        self.bytes_read += size + _PART_BYTES
        if self.bytes_read > _MOST_BYTES:
            raise ValueError(f"its tables have more than {_MOST_BYTES:,} bytes")
        if address + size > len(self.memory):
            end, length = address + size, len(self.memory)
            raise ValueError(f"a structure ends at byte {end:,}, but the file has {length:,} bytes")
        return self.memory[address : address + size]


def find_attribute(item: Hdf5Object, name: str) -> tuple[bytes, bytes, bytes] | None:
    """Return the bytes (type, shape, content) of an attribute in the file, or None if it has no such attribute.

    The content of a string of variable length is its address, which is not followed.
    """
    for kind, content in item.messages:
        if kind != ATTRIBUTE or len(content) < 8:
            continue
        version, *sizes = struct.unpack("<BxHHH", content[:8])
        edges = [8]
        for size in sizes:
            edges.append(edges[-1] + -(-size // 8) * 8)
        if version == 1 and content[8 : 8 + sizes[0]].rstrip(b"\0") == name.encode():
            return content[edges[1] : edges[2]], content[edges[2] : edges[3]], content[edges[3] :]
    return None


def _exactly(content: bytes, size: int) -> bytes:
    if len(content) < size:
        raise ValueError("an object header is damaged")
    return content[:size]
