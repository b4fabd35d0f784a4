"""Faster imports of large packages such as torch."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Pause the garbage collector during imports, and exempt what they create from later collections.

    Modules live until the process ends. Scanning torch's objects takes a third of a short command's time, mostly when
    the interpreter exits.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
