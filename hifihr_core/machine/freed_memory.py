"""Let a worker process keep freed memory, which it soon needs again, instead of returning it to the system."""

import ctypes
import sys

#: Parameters of glibc's `mallopt`: the number of separately mapped blocks, and the free memory allowed at the top of
#: the heap.
_MMAP_MAX, _TRIM_THRESHOLD = -4, -1
_MOST_FREE_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Make this process keep large blocks that it frees; return whether its C library supports this.

    glibc maps every large block separately and unmaps it when it is freed, so that a loop over pictures spends a sixth
    of its time on new pages. This is meant for single-purpose workers: freed memory stays with the process until it
    ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _MOST_FREE_BYTES))
