"""The lock of a folder: one process at a time, and no lock on file systems without them."""

import errno

import pytest

from hifihr_core import folder_lock
from hifihr_core.errors import ConfigError, DataError
from hifihr_core.folder_lock import lock_folder


def test_a_folder_has_one_owner_at_a_time(tmp_path):
    with lock_folder(tmp_path / "new", what="a test") as has_locks:
        assert has_locks
        with (
            pytest.raises(ConfigError, match="a test is using it; wait until it ends"),
            lock_folder(tmp_path / "new", what="a test"),
        ):
            pass
    with lock_folder(tmp_path / "new", what="a test"):
        pass
    assert not list((tmp_path / "new").iterdir())


def test_a_lock_on_a_file_that_its_holder_has_removed_is_not_a_lock(tmp_path, monkeypatch):
    asked, lock = [], folder_lock._lock

    def end_the_other(handle):
        lock(handle)
        asked.append(handle)
        if len(asked) == 1:
            (tmp_path / ".lock").unlink()  # as the other does at its end, between our opening and our locking

    monkeypatch.setattr(folder_lock, "_lock", end_the_other)
    with lock_folder(tmp_path, what="a test"):
        assert len(asked) == 2
        with pytest.raises(ConfigError), lock_folder(tmp_path, what="a test"):
            pass


def test_another_process_is_kept_out_and_a_dead_one_is_not(tmp_path, run_fresh):
    code = (
        "import sys, os; from pathlib import Path; from hifihr_core.folder_lock import lock_folder\n"
        "with lock_folder(Path(sys.argv[1]), what='a test'): os._exit(9)"
    )
    assert run_fresh("-c", code, tmp_path).code == 9  # killed while it held the lock
    with lock_folder(tmp_path, what="a test"):
        assert "using it; wait" in run_fresh("-c", code, tmp_path).err


@pytest.fixture
def no_locks(monkeypatch):
    """Let the file system answer as some NFS and Lustre mounts do."""

    def refuse(handle):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_lock, "_lock", refuse)


@pytest.mark.usefixtures("no_locks")
def test_file_systems_without_locks_are_not_an_error(tmp_path):
    with lock_folder(tmp_path, what="a test") as has_locks, lock_folder(tmp_path, what="a test"):
        assert not has_locks
        assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_locks")
def test_an_existing_file_is_a_lock_if_requested(tmp_path):
    with (
        lock_folder(tmp_path, what="a test", by_presence=True),
        pytest.raises(DataError, match=r"a test is using it; .*\(if there is no such process, delete \.locked in this"),
        lock_folder(tmp_path, what="a test", by_presence=True, error=DataError),
    ):
        pass
    assert not list(tmp_path.iterdir())
