"""Workers whose parent is killed while they start."""

import sys

import pytest

from hifihr_core.shards.fork_server import lost_its_parent

#: A parent that starts a worker; while the worker reads its task, it waits until the parent, about to end, has removed
#: the semaphore that comes next in the task, and kills the parent, which waits for its worker. (Killed before, the
#: parent would never remove it.)
ORPHAN = """
import os, signal, time
from multiprocessing import get_context

class Kill:
    def __init__(self, pid, name):
        self.pid, self.name = pid, name
    def __reduce__(self):
        return kill, (self.pid, self.name)

def kill(pid, name):
    while os.path.exists("/dev/shm/sem." + name.strip("/")):
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)

if __name__ == "__main__":
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    lock = context.Lock()
    context.Process(target=print, args=(Kill(os.getpid(), lock._semlock.name), lock)).start()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for semaphores where Linux has them")
@pytest.mark.parametrize(("preload", "shown"), [([], True), (["hifihr_core.shards.fork_server"], False)])
def test_a_worker_whose_parent_is_killed_while_it_starts_is_silent(tmp_path, run_fresh, preload, shown):
    (tmp_path / "parent.py").write_text(ORPHAN.replace("PRELOAD", repr(preload)))
    ended = run_fresh(tmp_path / "parent.py")
    assert ended.code == -9
    assert ("Traceback" in ended.err) == shown


def test_errors_of_others_are_shown(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "no such file").read_text()
    assert not lost_its_parent(caught.value)
