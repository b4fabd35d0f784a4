"""Compile loops over pixels and points for which no library has a single-pass function."""

import inspect
from collections.abc import Callable
from typing import Any

import numba

#: Loops run without the interpreter lock, and a division by zero gives infinity, as in numpy.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function on first use, to run without the interpreter lock; cache the machine code on disk.

    The cache is beside the source or, if that is read-only, in the user's cache folder (`NUMBA_CACHE_DIR` overrides
    both). If neither is writable, every process compiles again.
    """
    function = inspect.unwrap(function)  # tests wrap every function with shape checks; numba needs the bare one
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # numba finds no place for its cache
        return numba.njit(**_OPTIONS)(function)


def helper(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile, without a Python wrapper, a function that is only called by kernels in the same file."""
    bare: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return numba.njit(**bare, **_OPTIONS)(inspect.unwrap(function))
