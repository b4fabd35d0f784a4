"""Import torch and the like faster."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Pause the garbage collector during imports, and exclude what they create from later collections.

    Modules live until the process ends. Scanning torch's takes a third of the time of a short command, most of it when
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
