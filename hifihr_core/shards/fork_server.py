"""Error reports of the server that forks the workers of `prepare`: a worker whose parent was killed ends silently.

The server loads this module before it forks.

A starting worker reads its task from its parent's pipe and opens semaphores that vanish with the parent. If the parent
is killed in the meantime, multiprocessing shows an error that is useless to users; a live parent reports the end of its
worker itself.
"""

import multiprocessing
import sys
import traceback
from pathlib import Path
from types import TracebackType

#: Exceptions from reading from a process that has ended, or opening its former resources.
_GONE = (EOFError, ConnectionError, FileNotFoundError)


def lost_its_parent(error: BaseException) -> bool:
    """Return whether multiprocessing raised this error because the parent process has ended."""
    frames = traceback.extract_tb(error.__traceback__)
    own = Path(multiprocessing.__file__).parent
    return isinstance(error, _GONE) and bool(frames) and Path(frames[-1].filename).parent == own


def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error of the server or of a starting worker as Python does, unless its cause is that the parent ended."""
    if not lost_its_parent(error):
        sys.__excepthook__(kind, error, trace)


if any("multiprocessing.forkserver" in word for word in sys.orig_argv):  # only in the server, not on import
    sys.excepthook = show
