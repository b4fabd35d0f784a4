"""Files are written completely or not at all, and disk errors are reported in one line."""

import errno
import os
import stat
import tempfile

import pytest

from hifihr_core.errors import DataError
from hifihr_core.files import check_writable, describe_os_error, write_atomically, write_text
from hifihr_core.outside.whole_files import read_text, read_whole


def leftovers(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_a_finished_block_replaces_the_file(tmp_path):
    path = tmp_path / "deep" / "er" / "a.npz"
    for text in ("old", "new"):
        with write_atomically(path) as part:
            assert part.parent == path.parent
            assert part.suffix == ".npz"
            part.write_text(text)
            assert not path.exists() or path.read_text() == "old"
    assert path.read_text() == "new"
    assert leftovers(tmp_path) == ["a.npz", "deep", "er"]


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices as POSIX has them")
def test_what_is_no_file_is_never_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    before = leftovers(tmp_path)
    for name, kind in {"folder": "a folder", "pipe": "a pipe or device", "link": "a pipe or device"}.items():
        with pytest.raises(DataError, match=f"{name}: {kind}, which is never replaced"):
            write_text(tmp_path / name, "x")
        with pytest.raises(DataError, match=f"{name}: {kind}, which is never replaced"):
            check_writable(tmp_path / name)
    assert leftovers(tmp_path) == before
    assert (tmp_path / "link").is_symlink()


def test_a_look_ahead_leaves_nothing(tmp_path):
    check_writable(tmp_path / "new" / "deep" / "a.onnx")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"a\.onnx: a part of this path is a file"):
        check_writable(tmp_path / "file" / "a.onnx")
    assert leftovers(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_a_broken_block_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def work():
        with write_atomically(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(type(error)):
        work()
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EDQUOT, "quota")]
)
def test_a_refusing_disk_is_one_line_with_the_target_and_the_remedy(tmp_path, number, words):
    path = tmp_path / "a.txt"

    def work():
        with write_atomically(path) as part:
            part.write_text("half")
            raise OSError(number, os.strerror(number))

    with pytest.raises(DataError, match=words) as caught:
        work()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert leftovers(tmp_path) == []


def test_a_disk_that_is_really_full_leaves_nothing(tmp_path, run_fresh):
    pytest.importorskip("resource")
    code = f"""
import resource, pathlib
from hifihr_core.files import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
with write_atomically(pathlib.Path({str(tmp_path / "a.bin")!r})) as part:
    part.write_bytes(bytes(8192))
"""
    ended = run_fresh("-c", code)
    assert "DataError" in ended.message
    assert "too large" in ended.message
    assert leftovers(tmp_path) == []


def test_a_missing_source_is_named_and_not_the_target(tmp_path):
    def work():
        with write_atomically(tmp_path / "target.txt"):
            (tmp_path / "source.txt").read_text()

    with pytest.raises(DataError, match=r"source\.txt: no such file"):
        work()


def test_a_file_that_cannot_even_begin_has_the_name_of_the_target(tmp_path, monkeypatch):
    def refuse(**options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path / ".a-1234.txt"))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(DataError, match="read-only") as caught:
        write_text(tmp_path / "a.txt", "text")
    assert str(caught.value).startswith(f"{tmp_path / 'a.txt'}: ")


def test_a_file_where_a_folder_is_needed(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match=r"expected a folder|already exists"):
        write_text(tmp_path / "file" / "a.txt", "text")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(DataError, match="permission denied"):
        write_text(tmp_path / "a.txt", "text")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_new_file_has_the_mode_of_any_new_file(tmp_path):
    write_text(tmp_path / "a.txt", "ours")
    (tmp_path / "b.txt").write_text("theirs")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_text_comes_back(tmp_path):
    write_text(tmp_path / "a.txt", "grün\n")
    assert read_text(tmp_path / "a.txt") == "grün\n"


def test_bytes_that_are_not_text_are_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"ok \xff")
    with pytest.raises(DataError, match="byte 3 is not UTF-8"):
        read_text(tmp_path / "a.txt")


def test_reading_a_folder_or_nothing(tmp_path):
    with pytest.raises(DataError, match="a folder, expected a file"):
        read_text(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        read_text(tmp_path / "nothing")


def test_an_unknown_error_keeps_the_text_of_the_system():
    assert describe_os_error(OSError(errno.ELOOP, "Too many levels")) == "too many levels"


def test_a_generous_bound_takes_no_memory(tmp_path):
    (tmp_path / "a").write_bytes(b"short")
    assert read_whole(tmp_path / "a", most_bytes=1 << 60) == b"short"
    with pytest.raises(DataError, match="5 bytes, expected at most 4"):
        read_whole(tmp_path / "a", most_bytes=4)
