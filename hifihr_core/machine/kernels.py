"""Compiling loops over pixels and points that no library does in one pass."""

import inspect
from collections.abc import Callable
from typing import Any

import numba

#: Loops run without the interpreter lock, and a division by zero gives infinity as it does in numpy.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function on first use, without the interpreter lock, and keep the machine code on disk.

    The code is kept beside the source or, where that is read-only, in the user's cache folder (`NUMBA_CACHE_DIR`
    overrides both). Where no place is writable, every process compiles again.
    """
    function = inspect.unwrap(function)  # the shape checks of the tests wrap every function; numba wants the bare one
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # numba finds no place to keep its cache
        return numba.njit(**_OPTIONS)(function)


def helper(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that only kernels of the same file call; without the wrappers that Python would need."""
    bare: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return numba.njit(**bare, **_OPTIONS)(inspect.unwrap(function))
