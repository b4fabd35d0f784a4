"""A worker that keeps its memory does not request the same pages repeatedly."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource
import numpy as np
from hifihr_core.machine.freed_memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(80_000_000, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

assert keep_freed_memory()
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can keep freed memory")
def test_large_blocks_are_reused():
    ended = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 1000
