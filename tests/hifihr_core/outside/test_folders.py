"""The walk through folders: links, loops, and files that operating systems leave behind."""

import os

from hypothesis import given
from hypothesis import strategies as st

from hifihr_core.outside.folders import find_files, is_junk, natural_key, walk


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_files_come_in_the_order_that_people_count_in(tmp_path):
    touch(*(tmp_path / name for name in ("a/img_10.jpg", "a/img_2.JPG", "b.png", "a/notes.txt")))
    found = [path.relative_to(tmp_path).as_posix() for path in find_files(tmp_path, {".jpg", ".png"})]
    assert found == ["b.png", "a/img_2.JPG", "a/img_10.jpg"]
    assert len(find_files(tmp_path)) == 4


def test_files_that_operating_systems_leave_are_skipped(tmp_path):
    touch(*(tmp_path / name for name in ("a.jpg", "._a.jpg", ".DS_Store", "__MACOSX/a.jpg", "Thumbs.db")))
    assert [path.name for path in find_files(tmp_path)] == ["a.jpg"]
    assert not is_junk(".hidden.jpg")


def test_links_are_followed_and_loops_end(tmp_path):
    touch(tmp_path / "far/photos/a.jpg", tmp_path / "root/b.jpg")
    (tmp_path / "root/link").symlink_to(tmp_path / "far")
    (tmp_path / "far/photos/up").symlink_to(tmp_path / "root")
    (tmp_path / "root/again").symlink_to(tmp_path / "far/photos")
    (tmp_path / "root/self").symlink_to("self")
    (tmp_path / "root/gone.jpg").symlink_to("nothing")
    names = sorted(path.name for path in find_files(tmp_path / "root"))
    assert names == ["a.jpg", "b.jpg"]


def test_a_folder_is_listed_though_it_is_not_entered(tmp_path):
    touch(tmp_path / "rgb/0.jpg", tmp_path / "meta/0.pkl")
    walked = list(walk(tmp_path, enter=lambda name: name != "rgb"))
    assert walked[0] == (tmp_path, ["meta", "rgb"], [])
    assert [folder.name for folder, _, _ in walked[1:]] == ["meta"]
    assert [folder.name for folder, _, _ in walk(tmp_path, most_depth=0)] == [tmp_path.name]


def test_a_missing_folder_and_a_pipe_contain_no_files(tmp_path):
    assert list(walk(tmp_path / "none")) == []
    os.mkfifo(tmp_path / "pipe")
    assert find_files(tmp_path) == []


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_names_can_be_ordered(names):
    assert sorted(dict.fromkeys(names), key=natural_key) == sorted(set(names), key=natural_key)
