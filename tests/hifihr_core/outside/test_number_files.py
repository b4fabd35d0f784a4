"""Numbers from files: three formats, and any damage is one line."""

import io
import pickle

import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.outside.number_files import read_numbers

K = [[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]


def npy(values, **options):
    stream = io.BytesIO()
    np.save(stream, values, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("K.npy", npy(np.array(K))),
        ("K.npy", npy(np.asfortranarray(np.array(K, ">f4")))),
        ("K.NPY", npy(np.array(K, np.int64))),
        ("K.json", b"\xef\xbb\xbf[[500, 0, 320], [0, 500, 240], [0, 0, 1]]"),
        ("K.JSON", b"[[500, 0, 320], [0, 500, 240], [0, 0, 1]]"),
        ("K.txt", b"# camera\n500 0 320\n0 500 240\n0 0 1\n"),
        ("K.csv", b"500,0,320\r\n0,500,240\r\n0,0,1"),
    ],
)
def test_every_form_is_read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    found = read_numbers(tmp_path / name)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, K)


HEADER = b"\x93NUMPY\x01\x00"


def headed(text):
    return HEADER + len(text).to_bytes(2, "little") + text.encode() + b"0" * 72


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("K.npy", b""),
        ("K.npy", npy(np.array(K))[:-1]),
        ("K.npy", npy(np.array([{}]), allow_pickle=True)),
        ("K.npy", headed("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }")),
        ("K.npy", headed("{'descr': '<f8', 'fortran_order': False, 'shape': (-9,), }")),
        ("K.npy", headed("{'descr': '|O', 'fortran_order': False, 'shape': (9,), }")),
        ("K.npy", headed("{'descr': ((((((")),
        ("K.npy", headed("(" * 5000)),
        ("K.npy", HEADER.replace(b"\x01\x00", b"\x09\x00")),
        ("K.json", b"[" * 10_000),
        ("K.json", b"[1e999, " + b"9" * 400 + b"]"),
        ("K.json", b'{"K": 1}'),
        ("K.json", b"[[1], [2, 3]]"),
        ("K.txt", b""),
        ("K.txt", b"1 2\n3"),
        ("K.txt", pickle.dumps(K)),
    ],
)
def test_every_damage_is_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r": not an array of numbers \(.*\); ask the author") as caught:
        read_numbers(tmp_path / name, remedy="ask the author")
    assert "\n" not in str(caught.value)
    assert "write it again" not in str(caught.value)
