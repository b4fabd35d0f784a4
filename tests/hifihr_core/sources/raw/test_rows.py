"""Rows on disk: appended rows are read back, one by one, in any process."""

import pickle

import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.sources.raw.rows import Rows, write_rows


@pytest.mark.parametrize("shape", [(), (3,), (21, 3)])
def test_rows_come_back_and_numpy_reads_the_file(tmp_path, shape):
    values = np.random.default_rng(0).normal(size=(30, *shape)).astype(np.float32)
    with write_rows(tmp_path / "x.npy", shape) as append:
        append(np.asarray(values[0]))
        append(values[1:])
    assert np.array_equal(np.load(tmp_path / "x.npy"), values)
    rows = pickle.loads(pickle.dumps(Rows(tmp_path / "x.npy")))
    assert len(rows) == 30
    assert all(np.array_equal(rows[row], values[row]) for row in (0, 29, 7, -1))
    assert np.array_equal(rows.mapped(), values)
    assert rows[3].flags.writeable
    with pytest.raises(IndexError):
        rows[30]


def test_a_reader_pickles_as_a_path(tmp_path):
    with write_rows(tmp_path / "x.npy", (778, 3)) as append:
        append(np.zeros((50, 778, 3), np.float32))
    rows = Rows(tmp_path / "x.npy")
    assert rows[0].shape == (778, 3)
    assert len(pickle.dumps(rows)) < 1000


def test_no_rows_are_rows_too(tmp_path):
    with write_rows(tmp_path / "x.npy", (2,)):
        pass
    assert len(Rows(tmp_path / "x.npy")) == 0
    assert Rows(tmp_path / "x.npy").mapped().shape == (0, 2)


def test_other_shapes_and_cut_files_are_refused(tmp_path):
    with (
        pytest.raises(ValueError, match=r"rows have shape \(3,\), expected \(2,\)"),
        write_rows(tmp_path / "x", (2,)) as add,
    ):
        add(np.zeros(3, np.float32))
    assert list(tmp_path.iterdir()) == []
    with write_rows(tmp_path / "x.npy", (2,)) as append:
        append(np.zeros((9, 2), np.float32))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-4])
    with pytest.raises(DataError, match=r"x\.npy: ends within row 8"):
        Rows(tmp_path / "x.npy")[8]
    with pytest.raises(DataError, match="no such file"):
        Rows(tmp_path / "none.npy")
