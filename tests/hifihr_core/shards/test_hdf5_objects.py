"""Shards are read without the HDF5 library: where it would, and never where it would hang."""

import re
import struct
from dataclasses import replace
from types import MappingProxyType

import h5py
import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.samples import Sample
from hifihr_core.shards.reader import ShardReader
from hifihr_core.shards.schema import DatasetFacts
from hifihr_core.shards.writer import write_shard

FACTS = DatasetFacts(dataset="toy", split="train", version="1", licence="free", joint_definition="freihand")


@pytest.fixture
def shard(tmp_path):
    """A shard of four pictures of two poses."""
    joints = np.arange(63, dtype=np.float32).reshape(21, 3)
    rows = [
        Sample(
            key=f"{index}",
            annotation=f"pose {index // 2}",
            image=b"picture" * (index + 1),
            K=np.diag([100, 100, 1]).astype(np.float32),
            labels=MappingProxyType({"joints_cam": joints + index // 2, "keypoints_px": joints[:, :2] + index}),
            mask=b"mask",
            side="right",
        )
        for index in range(4)
    ]
    path = tmp_path / "train-00000.h5"
    write_shard(path, rows, facts=FACTS, software="t")
    return path


@pytest.mark.parametrize("size", [0, 8, 1 << 40])
@pytest.mark.parametrize("padding", [0, 3 << 20])
def test_a_damaged_heap_of_strings_is_never_read(shard, size, padding):
    """The HDF5 library reads some of these without end, wherever in the file they are."""
    content = shard.read_bytes()
    heap = content.index(b"GCOL")
    collection = content[heap : heap + int.from_bytes(content[heap + 8 : heap + 16], "little")]
    first = collection.index(b"toy") - 16  # the first string of the attributes, after its 16 bytes
    zeroed = collection[:first] + b"\0\0" + collection[first + 2 : first + 8] + size.to_bytes(8, "little")
    damaged = zeroed + collection[first + 16 :]
    if padding:
        place = len(content) + padding
        text = rb"([^\0]\0\0\0)" + re.escape(heap.to_bytes(8, "little")) + rb"([^\0]\0\0\0)"  # length, address, index
        goal = place.to_bytes(8, "little")
        moved, count = re.subn(text, lambda found: found[1] + goal + found[2], content)
        assert count >= 5
        end = (place + len(damaged)).to_bytes(8, "little")
        content = moved[:40] + end + moved[48:] + bytes(padding) + damaged
    else:
        content = content[:heap] + damaged + content[heap + len(damaged) :]
    shard.write_bytes(content)
    assert len(ShardReader(shard)) == 4
    assert list(ShardReader(shard).verify()) == []


def test_an_array_computed_from_a_damaged_heap_is_refused(shard):
    """The HDF5 library reads the heap as soon as it opens such an array."""
    with h5py.File(shard, "r+") as file:
        virtual = h5py.VirtualLayout((4,), "u4")
        virtual[:] = h5py.VirtualSource(".", "samples/checksum", (4,))
        file.create_virtual_dataset("virtual", virtual)
        del file["samples/checksum"]
        file.move("virtual", "samples/checksum")
    content = shard.read_bytes()
    heap = content.rindex(b"GCOL")
    shard.write_bytes(content[: heap + 16] + bytes(16) + content[heap + 32 :])
    with pytest.raises(DataError, match="checksum is not contiguous inside the file"):
        ShardReader(shard)[0]


@pytest.mark.parametrize("address", [0, 96, 1 << 63, (1 << 64) - 1])
def test_tables_that_lead_in_circles_or_out_of_the_file_are_refused(shard, address):
    """Every number of 8 bytes that may be an address is replaced, one at a time."""
    content, goal = shard.read_bytes(), address.to_bytes(8, "little")
    outcomes = set()
    words = struct.unpack_from("<768Q", content)
    for place in (8 * i for i, word in enumerate(words) if 0 < word < len(content)):
        shard.write_bytes(content[:place] + goal + content[place + 8 :])
        try:
            outcomes.add(len(ShardReader(shard)))
        except DataError as error:
            outcomes.add(re.sub(r"[\d,]+", "N", str(error).partition("complete shard (")[2]))
    assert 4 in outcomes
    assert len(outcomes) > 3


def test_continuations_without_end_are_refused(shard):
    content = bytearray(shard.read_bytes())
    root = int.from_bytes(content[64:72], "little")
    content[root + 16 : root + 40] = struct.pack("<HHB3xQQ", 0x10, 16, 0, root + 16, 24)
    shard.write_bytes(content)
    with pytest.raises(DataError, match=r"its tables have more than 1,048,576 bytes"):
        ShardReader(shard)[0]


def test_a_continuation_without_an_address_is_refused(shard):
    content = bytearray(shard.read_bytes())
    root = int.from_bytes(content[64:72], "little")
    content[root + 16 : root + 32] = struct.pack("<HHB3xQ", 0x10, 8, 0, root + 16)
    shard.write_bytes(content)
    with pytest.raises(DataError, match="an object header is damaged"):
        ShardReader(shard)[0]


def _put(place, new):
    """Return a change that writes bytes at `place`, counted from the beginning of the file."""
    return lambda content: content[:place] + new + content[place + len(new) :]


def _put_in_root(offset, new):
    """Return a change that writes bytes at an offset in the header of the root group."""
    return lambda content: _put(int.from_bytes(content[64:72], "little") + offset, new)(content)


def _put_in_trees(offset, new):
    """Return a change that writes bytes at an offset in every B-tree; ``b"self"`` is the address of the tree."""

    def change(content):
        for found in re.finditer(b"TREE", content):
            place = found.start()
            content = _put(place + offset, new.replace(b"self", place.to_bytes(8, "little")))(content)
        return content

    return change


def _replace(pattern, new):
    """Return a change that replaces a pattern wherever it is found."""

    def change(content):
        changed, count = re.subn(pattern, new, content, flags=re.DOTALL)
        assert count
        return changed

    return change


#: A message with the location of an array, and one that is too short for it, followed by an empty message.
_LAYOUT = rb"(\x08\0)\x18\0(.\0\0\0\x03\x01.{6}).{16}"
_SHORT = b"\\1\x08\0\\2" + struct.pack("<HH4x8x", 0, 8)

DAMAGE = {
    "another beginning": (_put(24, b"\x08"), "it extends from byte 8 to"),
    "another end": (_put(40, b"\xff\xff\xff"), "it extends from byte 0 to"),
    "a shared message": (_put_in_root(20, b"\x02"), "an object header is damaged"),
    "a message longer than its header": (_put_in_root(18, b"\x40\x01"), "an object header is damaged"),
    "other trees": (_put_in_trees(4, b"\x01"), "the index of a group is damaged"),
    "a tree in itself": (_put_in_trees(5, b"\x01\x01\0" + bytes(24) + b"self"), "the index of a group is damaged"),
    "other nodes": (_replace(b"SNOD", b"XNOD"), "the index of a group is damaged"),
    "other heaps of names": (_replace(b"HEAP", b"XEAP"), "the names of a group are missing"),
    "too many dimensions": (_replace(rb"(\x01\0..[\0\1]\0\0\0\x01)[\1-\4]", b"\\1\xc8"), "a damaged shape"),
    "a location without an address": (_replace(_LAYOUT, _SHORT), "is not contiguous inside the file"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_structure_is_named(shard, name):
    change, reason = DAMAGE[name]
    shard.write_bytes(change(shard.read_bytes()))
    with pytest.raises(DataError, match=rf"not a complete shard \(.*{reason}"):
        ShardReader(shard)[0]


def test_later_versions_of_the_format_and_empty_files_are_refused(tmp_path):
    with h5py.File(tmp_path / "later.h5", "w", libver="latest"):
        pass
    with pytest.raises(DataError, match=r"later\.h5: not a complete shard \(its HDF5 versions are "):
        ShardReader(tmp_path / "later.h5")[0]
    (tmp_path / "empty.h5").touch()
    with pytest.raises(DataError, match=r"empty\.h5: not a complete shard \(it is empty\)"):
        ShardReader(tmp_path / "empty.h5")[0]


def test_a_shard_without_masks_or_samples_has_empty_columns(shard, tmp_path):
    bare = [replace(sample, mask=None) for sample in ShardReader(shard)]
    write_shard(tmp_path / "bare.h5", bare, facts=FACTS, software="t")
    assert [sample.mask for sample in ShardReader(tmp_path / "bare.h5")] == [None] * 4
    write_shard(tmp_path / "none.h5", [], facts=FACTS, software="t")
    assert list(ShardReader(tmp_path / "none.h5")) == []


def test_columns_are_where_hdf5_says_they_are(shard):
    found = ShardReader(shard).layout
    with h5py.File(shard) as file:
        for name, table in (("samples", found.samples), ("annotations", found.annotations)):
            assert table.labels.keys() == set(file[name]["labels"])
            for label, column in table.labels.items():
                data = file[name]["labels"][label]
                assert (column.offset, column.shape, column.dtype) == (data.id.get_offset(), data.shape, data.dtype)
        assert found.samples.blob.offset == file["samples/image/bytes"].id.get_offset()
        assert [key.decode() for key in file["annotations/key"]] == list(found.annotations.keys)
        assert np.array_equal(file["annotations/K"], found.cameras)


def test_a_shard_is_read_without_locks(shard):
    """Cluster file systems may have none, and two readers never disturb each other."""
    with h5py.File(shard, "r+"):  # which holds a lock where there are locks
        assert len(ShardReader(shard)) == 4
