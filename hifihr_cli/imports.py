"""Importing torch and its company sooner."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Do not look for garbage while the body imports, nor among what it made afterwards.

    Modules live to the end of the process. Looking through torch's takes a third of the time of a short command, and
    most of that when the interpreter ends.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
