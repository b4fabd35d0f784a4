"""`.npz` files: intact ones are read as by NumPy; any damage is one line, before anything large is allocated."""

import io
import os
import zipfile

import numpy as np
import pytest

from hifihr_core.errors import AssetError, DataError
from hifihr_core.outside.array_archives import read_arrays

ARRAYS = {
    "angles": np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4),
    "turned": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
    "name": np.array("mano 3"),
    "none": np.zeros((0, 3)),
    "one": np.array(2.5),
}

#: Whether this machine has longer floats than float64.
LONG_DOUBLES = np.dtype(np.longdouble).itemsize > 8


def read(path, **options):
    return read_arrays(path, what="a hand file", remedy="install it again", **options)


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(text, version=b"\x01\x00"):
    padded = text.encode() + b" " * (118 - len(text)) + b"\n"
    return b"\x93NUMPY" + version + len(padded).to_bytes(2, "little") + padded


def zipped(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_they_were_saved_and_can_be_written_to(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS)
    found = read(tmp_path / "a.npz", needed=("angles",))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.writeable


def test_arrays_of_the_other_byte_order_come_back_in_ours(tmp_path):
    """Torch takes no others."""
    arrays = {
        "a": np.arange(6, dtype=">f8").reshape(2, 3),
        "b": np.arange(3, dtype=">i4"),
        "c": np.array("anny", ">U4"),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    found = read(tmp_path / "a.npz")
    for name, array in arrays.items():
        assert found[name].dtype.isnative
        assert found[name].flags.writeable
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy(np.array([{}], dtype=object)), "entries have type object"),
        (npy(np.zeros(3, dtype="c8")), "entries have type complex64"),
        *([(npy(np.zeros(3, np.longdouble)), "entries have type float")] if LONG_DOUBLES else []),
        (npy(np.zeros(8))[:-3], "61 bytes of numbers, expected 64"),
        (npy(np.zeros(8)) + b"more", "68 bytes of numbers, expected 64"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 99999999), }"), "0 bytes of numbers"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"), "bytes of numbers"),
        (header("{'descr': __import__('os'), }"), "malformed node"),
        (header("{} = {"), r"\("),
        (header("{}", version=b"\x09\x00"), "version"),
        (b"no array", "magic string"),
        (b"", "magic"),
    ],
)
def test_a_broken_entry_is_one_line(tmp_path, content, reason):
    path = zipped(tmp_path / "a.npz", {"angles.npy": content})
    with pytest.raises(AssetError, match=reason) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: not a hand file (")
    assert str(caught.value).endswith("; install it again")
    assert "\n" not in str(caught.value)


def test_other_files_are_one_line(tmp_path):
    np.savez(tmp_path / "whole.npz", **ARRAYS)
    whole = (tmp_path / "whole.npz").read_bytes()
    encrypted = bytearray(whole)
    encrypted[6] = encrypted[whole.index(b"PK\x01\x02") + 8] = 1
    for number, content in enumerate((b"", b"text", whole[:-30], whole[40:], whole[:200] + whole[210:], encrypted)):
        path = tmp_path / f"{number}.npz"
        path.write_bytes(content)
        with pytest.raises(AssetError, match=r"not a hand file \(.*\); install it again$"):
            read(path)
    with pytest.raises(AssetError, match=r"gone\.npz: no such file, expected a hand file; install it again"):
        read(tmp_path / "gone.npz")
    with pytest.raises(DataError, match="a folder, expected a file"):
        read(tmp_path, error=DataError)


def test_a_file_that_unpacks_to_more_than_allowed_is_not_unpacked(tmp_path):
    path = zipped(tmp_path / "a.npz", {"angles.npy": npy(np.zeros(1 << 20))})
    assert path.stat().st_size < 20_000
    with pytest.raises(AssetError, match="8,388,736 bytes, expected at most 1,000,000"):
        read(path, most_bytes=1_000_000)


def test_a_missing_array_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    with pytest.raises(
        AssetError, match=r"no array 'faces', expected a hand file for this version of hifihr; install it again"
    ):
        read(tmp_path / "a.npz", needed=("angles", "faces"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(AssetError, match="a pipe or device, expected a file"):
        read(tmp_path / "a.npz")
