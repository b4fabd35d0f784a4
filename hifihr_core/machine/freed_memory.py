"""Memory that a process frees and soon needs again: a worker keeps it instead of returning it to the system."""

import ctypes
import sys

#: Numbers of glibc's `mallopt`: how many blocks are mapped apart, and how much may lie free at the top of the heap.
_MMAP_MAX, _TRIM_THRESHOLD = -4, -1
_MOST_FREE_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep large blocks that it frees; return whether its C library can.

    glibc maps every large block and unmaps it when it is freed, so that a loop over pictures spends a sixth of its
    time on fresh pages. For a worker process that does one thing: freed memory stays with it to its end.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _MOST_FREE_BYTES))
