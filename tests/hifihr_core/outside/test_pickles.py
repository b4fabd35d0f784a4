"""The reader must return plain data exactly, and must not run anything in a hostile file."""

import contextlib
import copyreg
import io
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hifihr_core.errors import AssetError, DataError, UnsafePickleError
from hifihr_core.outside.pickles import NUMPY, Stub, read_pickle

PLAIN = st.one_of(
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(sizes=(16, 32, 64)),
    hnp.boolean_dtypes(),
)


def read(data, **options):
    return read_pickle(io.BytesIO(data), **({"allowed": NUMPY} | options))


class Fires:
    """Its pickle calls `function`."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@given(
    array=hnp.arrays(PLAIN, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)),
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
    fortran=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_arrays_survive_in_every_protocol(array, protocol, fortran):
    array = np.asfortranarray(array) if fortran else array
    back = read(pickle.dumps({"a": [array, (array,)]}, protocol))
    for found in (back["a"][0], back["a"][1][0]):
        assert found.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")  # older protocols lose the byte order
        assert found.shape == array.shape
        np.testing.assert_array_equal(np.asarray(found), array)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value", [np.float32(1.5), np.int64(-3), None, "text", 3, [1, {"k": (2.5, True)}], np.array(["ab", "c"])]
)
def test_scalars_text_and_containers(value, protocol):
    back = read(pickle.dumps(value, protocol))
    assert np.array_equal(back, value) if isinstance(value, np.ndarray) else back == value


def test_object_arrays_of_plain_data():
    array = np.array([None, [1, 2], "x"], dtype=object)
    assert read(pickle.dumps(array, 2)).tolist() == array.tolist()


def test_numpy_one_and_python_two_names():
    """The old module path, and bytes written as a Python 2 string (opcode U), as in MANO and HO-3D files."""
    raw = np.array([1.0, 2.0]).tobytes()
    data = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n(S'f8'\nI0\n"
        b"I1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nU\x10" + raw + b"tb."
    )
    assert read(data).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "attack",
    [
        Fires(os.system, "touch fired"),
        Fires(eval, "open('fired', 'w')"),
        Fires(getattr, Fires(__import__, "os"), "system"),
        {"v": [Fires(Fires, Fires(eval, "1"))]},
        np.array([Fires(eval, "open('fired', 'w')")], dtype=object),
    ],
    ids=["os.system", "eval", "getattr chain", "nested reduce", "inside an object array"],
)
def test_calls_are_refused_and_not_run(attack, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafePickleError, match="requests"):
        read(pickle.dumps(attack, protocol))
    assert list(tmp_path.iterdir()) == []


def test_dotted_names_are_refused():
    """Protocol 4 resolves dots through attributes: numpy.dtype.__init__.__globals__ would be a way out."""
    data = pickle.PROTO + b"\x04" + b"\x8c\x05numpy" + b"\x8c\x0edtype.__init__" + b"\x93."
    with pytest.raises(UnsafePickleError, match=r"dtype\.__init__"):
        read(data)


@pytest.mark.parametrize("cached", [False, True])
def test_the_extension_registry_is_not_a_way_around(cached):
    copyreg.add_extension("os", "getcwd", 0xF0)
    try:
        data = b"\x80\x02\x82\xf0)R."
        if cached:
            assert pickle.loads(data) == os.getcwd()
        with pytest.raises(UnsafePickleError, match=r"os\.getcwd"):
            read(data)
    finally:
        copyreg.remove_extension("os", "getcwd", 0xF0)


@pytest.mark.parametrize("data", [b"Pmy_id\n.", b"\x80\x02\x8c\x01xQ."])
def test_persistent_ids_are_refused(data):
    with pytest.raises(UnsafePickleError, match="pickle: the file refers to an object outside it"):
        read(data)


def test_functions_of_the_table_cannot_be_altered():
    """BUILD with a pair sets attributes; `__defaults__` of a shared function would outlive the file."""
    data = b"cnumpy.core.multiarray\n_reconstruct\n(N}S'__defaults__'\n(I1\ntstb."
    with pytest.raises(UnsafePickleError, match="attributes of a function"):
        read(data)


UNSAFE = {
    "a name": b"cos\nsystem\n.",
    "a persistent id": b"Pmy_id\n.",
    "attributes of a function": b"cnumpy.core.multiarray\n_reconstruct\n(N}S'__defaults__'\n(I1\ntstb.",
    "a structured dtype": pickle.dumps(np.zeros(2, [("a", "f4")])),
    "objects from raw bytes": b"cnumpy.core.numeric\n_frombuffer\n(S'a'\ncnumpy\ndtype\n(S'O8'\ntRI1\nS'C'\ntR.",
    "times": pickle.dumps(np.zeros(2, "M8[s]")),
}


@pytest.mark.parametrize("kind", UNSAFE)
def test_an_unsafe_file_is_named_once(tmp_path, kind):
    path = tmp_path / "data.pkl"
    path.write_bytes(UNSAFE[kind])
    with pytest.raises(UnsafePickleError, match=r"^[^:]*data\.pkl: the file ") as caught:
        read_pickle(path, allowed=NUMPY)
    assert str(caught.value).count("data.pkl") == 1


def test_dtype_flags_of_the_file_are_never_used():
    """An object dtype with its flags cleared would make NumPy read pointers from the bytes of the file."""
    data = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\ntcnumpy\ndtype\n(S'O8'\nI0\n"
        b"I1\ntR(I3\nS'|'\nNNNI8\nI8\nI0\ntbI00\nU\x08" + struct.pack("<Q", 0xDEAD) + b"tb."
    )
    with pytest.raises(AssetError, match="has no list of that many objects"):
        read(data)


def test_structured_dtypes_are_refused():
    array = np.zeros(2, dtype=[("x", "f4"), ("y", object)])
    with pytest.raises(UnsafePickleError, match="only plain numbers"):
        read(pickle.dumps(array))


@pytest.mark.parametrize("shape", [b"I3\n", b"I-2\n", b"L99999999999999999999L\n"])
def test_shape_that_does_not_fit_the_bytes(shape):
    data = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(" + shape + b"tcnumpy\ndtype\n"
        b"(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nU\x02abtb."
    )
    with pytest.raises(AssetError, match="2 bytes"):
        read(data)


def test_foreign_objects_become_stubs():
    class Mine(Stub):
        pass

    data = b"\x80\x02cchumpy.ch\nCh\n)\x81}U\x01xK\x05sb."
    back = read(data, allowed={("chumpy.ch", "Ch"): Mine})
    assert isinstance(back, Mine)
    assert back.state == {"x": 5}


def test_a_stub_takes_no_arguments():
    with pytest.raises(AssetError, match="not a readable pickle"):
        read(b"\x80\x02cchumpy.ch\nCh\nK\x01\x85\x81.", allowed={("chumpy.ch", "Ch"): Stub})


@given(cut=st.integers(0, 200), flips=st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), max_size=3))
@settings(max_examples=300, deadline=None)
def test_damage_is_one_clear_error(cut, flips):
    """Whatever is truncated or altered, the result is plain data or our own error."""
    data = bytearray(pickle.dumps({"a": np.arange(6.0).reshape(2, 3), "b": "t"}, 2))
    for place, value in flips:
        data[place % len(data)] = value
    with contextlib.suppress(AssetError):
        read(bytes(data[: len(data) - cut]))


@pytest.mark.parametrize("cut", [0, 1, 20])
def test_truncated_files(cut, tmp_path):
    path = tmp_path / "half.pkl"
    path.write_bytes(pickle.dumps(np.arange(9))[:cut])
    with pytest.raises(DataError, match=r"half\.pkl: not a readable pickle"):
        read_pickle(path, allowed=NUMPY, error=DataError)


def test_missing_file(tmp_path):
    with pytest.raises(AssetError, match="No such file"):
        read_pickle(tmp_path / "none.pkl", allowed=NUMPY)


@pytest.mark.parametrize("tail", [b"r" + struct.pack("<I", 2**31 - 1), b"p2147483000\n"])
def test_an_unneeded_memo_index_is_refused(tail):
    """Python would allocate two billion entries before it stores one."""
    with pytest.raises(AssetError, match="is larger than the file"):
        read(b"N" + tail + b".")


def test_a_number_for_the_bytes_of_an_array_is_refused():
    """bytes(10**10) would be ten gigabytes of zeros."""
    state = b"(I1\n(I10000000000\ntcnumpy\ndtype\n(Vu1\nI0\nI1\ntR" + b"I00\nI10000000000\nt"
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    with pytest.raises(AssetError, match="found int, expected bytes"):
        read(start + state + b"b.")


def test_large_persistent_indices_in_an_array_do_no_harm():
    array = np.frombuffer(b"rrrrrrrrp99999999\n" * 4000, np.uint8)
    np.testing.assert_array_equal(np.asarray(read(pickle.dumps([array, array.copy()], 4))[1]), array)
