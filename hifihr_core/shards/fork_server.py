"""Preloaded by the server that forks the workers of `prepare`: a worker whose parent is killed ends in silence.

A starting worker reads its work from a pipe of its parent's and opens semaphores that vanish with it. Where the parent
is killed meanwhile, multiprocessing shows an error that nobody can act on; a parent that lives reports the end of its
worker itself.
"""

import multiprocessing
import sys
import traceback
from pathlib import Path
from types import TracebackType

#: What reading from a process that has ended raises, and opening what it took with it.
_GONE = (EOFError, ConnectionError, FileNotFoundError)


def lost_its_parent(error: BaseException) -> bool:
    """Return whether multiprocessing itself raised this, because the other side has gone."""
    frames = traceback.extract_tb(error.__traceback__)
    own = Path(multiprocessing.__file__).parent
    return isinstance(error, _GONE) and bool(frames) and Path(frames[-1].filename).parent == own


def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error of the server or of a worker that is starting, as Python does."""
    if not lost_its_parent(error):
        sys.__excepthook__(kind, error, trace)


if any("multiprocessing.forkserver" in word for word in sys.orig_argv):  # only there, not where it is imported
    sys.excepthook = show
