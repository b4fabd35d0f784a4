"""Rows of numbers on disk: appended one by one, read one by one, and passed to worker processes as a path.

The files are ordinary `.npy`. Rows are read, not mapped: mapped pages would accumulate in every worker's memory.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from hifihr_core.errors import DataError
from hifihr_core.files import describe_os_error, write_atomically


class Rows:
    """A `.npy` file of float32 rows; opened on first read, so it pickles as a path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BufferedIOBase | None = None
        with self._open() as file:
            npy.read_magic(file)
            self.shape, _, _ = npy.read_array_header_1_0(file)
            self._offset = file.tell()
        self._row_bytes = 4 * math.prod(self.shape[1:])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}

    def __del__(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        """Return a copy of one row. Raises: IndexError if there is none; DataError if the file was truncated."""
        index = range(len(self))[index]
        if self._file is None:
            self._file = self._open()
        self._file.seek(self._offset + index * self._row_bytes)
        content = self._file.read(self._row_bytes)
        if len(content) != self._row_bytes:
            raise DataError(f"{self.path}: ends within row {index}; delete the folder {self.path.parent} and run again")
        return np.frombuffer(bytearray(content), "<f4").reshape(self.shape[1:])

    def mapped(self) -> np.ndarray:
        """Return all rows as a memory-mapped array, for occasional access to many of them."""
        return np.load(self.path, mmap_mode="r") if len(self) else np.zeros(self.shape, np.float32)

    def _open(self) -> BufferedIOBase:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise DataError(describe_os_error(error, self.path)) from error


@contextmanager
def write_rows(target: Path, shape: tuple[int, ...]) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that appends rows: one of `shape`, or an array of several.

    No rows are kept in memory. The file appears only if the ``with`` block succeeds. Raises: ValueError for rows of
    another shape; DataError if the file cannot be written.
    """
    count, numbers = 0, max(1, math.prod(shape))
    with write_atomically(target) as part, part.open("wb") as file:

        def append(rows: np.ndarray) -> None:
            nonlocal count
            if rows.shape[-len(shape) or rows.ndim :] != shape:
                raise ValueError(f"the rows have shape {rows.shape}, expected {shape}")
            file.write(np.ascontiguousarray(rows, "<f4").tobytes())
            count += rows.size // numbers

        _write_header(file, (0, *shape))
        begin = file.tell()
        yield append
        file.seek(0)
        _write_header(file, (count, *shape))
        assert file.tell() == begin  # NumPy reserves space for a longer first axis


def _write_header(file: BufferedIOBase, shape: tuple[int, ...]) -> None:
    npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
