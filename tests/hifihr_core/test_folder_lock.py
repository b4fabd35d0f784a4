"""The lock of a folder: one process at a time, none where the file system has no locks."""

import errno

import pytest

from hifihr_core import folder_lock
from hifihr_core.errors import ConfigError
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


def test_another_process_is_kept_out_and_a_dead_one_is_not(tmp_path, run_fresh):
    code = (
        "import sys, os; from pathlib import Path; from hifihr_core.folder_lock import lock_folder\n"
        "with lock_folder(Path(sys.argv[1]), what='a test'): os._exit(9)"
    )
    assert run_fresh("-c", code, tmp_path).code == 9  # killed while it held the lock
    with lock_folder(tmp_path, what="a test"):
        assert "using it; wait" in run_fresh("-c", code, tmp_path).err


def test_file_systems_without_locks_are_no_error(tmp_path, monkeypatch):
    def refuse(handle):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_lock, "_lock", refuse)
    with lock_folder(tmp_path, what="a test") as has_locks:
        assert not has_locks
