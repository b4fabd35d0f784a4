from pathlib import Path

import pytest
from PIL import Image

from hifihr_core.errors import DataError
from hifihr_core.photos.finding import find_photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.PNG", "c.jfif", "notes.txt", "._b.jpg", ".DS_Store"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_a_folder_a_pattern_and_a_file_give_each_photo_once(folder: Path) -> None:
    every = (folder / "a.PNG", folder / "b.jpg", folder / "c.jfif")
    assert find_photos([folder]).photos == every
    assert find_photos([folder / "*.jpg", folder]).photos == (every[1], every[0], every[2])
    assert find_photos([str(folder / "*"), str(every[1])]).photos == every


def test_twins_of_macos_are_skipped_and_other_files_are_counted(folder: Path) -> None:
    found = find_photos([folder])
    assert folder / "._b.jpg" not in found.photos
    assert found.left_out == (folder / "notes.txt",)
    assert found.left_out_line() == "files skipped because they are not photos: 1 (1 .txt)"
    assert find_photos([folder / "*.jpg"]).left_out_line() is None


def test_a_pattern_enters_sub_folders(folder: Path) -> None:
    (folder / "x" / "y").mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(folder / "x" / "y" / "deep.jpg")
    assert find_photos([str(folder / "**" / "*.jpg")]).photos == (folder / "b.jpg", folder / "x" / "y" / "deep.jpg")


def test_a_pattern_without_matches_is_refused(folder: Path) -> None:
    (folder / "none").mkdir()
    with pytest.raises(DataError, match="the folder contains no photos"):
        find_photos([folder / "none"])
    for missing in ("*.gif", "absent.jpg", "a" * 300):
        with pytest.raises(DataError):
            find_photos([folder / missing])
