"""Raw trees: folders and zips alike, merged; hostile and broken zips rejected."""

import pickle
import struct
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.outside.zips import read_zip_index
from hifihr_core.sources.raw.raw_tree import RawFile, Tree, find_places


@pytest.fixture
def files():
    return {"a/train.txt": b"list", "a/rgb/0.jpg": b"picture" * 1000, "a/rgb/1.jpg": b"", "a/deep/er/x": b"\0" * 70000}


def write_zip(path, files, kind=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_zip_reads_like_its_folder(tmp_path, files, kind):
    for name, content in files.items():
        (tmp_path / "plain" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / name).write_bytes(content)
    (tmp_path / "packed").mkdir()
    write_zip(tmp_path / "packed" / "x.zip", {f"top/{name}": content for name, content in files.items()}, kind)
    trees = [Tree(tuple(find_places(tmp_path / name, ["train.txt"]))) for name in ("plain", "packed")]
    for tree in (*trees, *(pickle.loads(pickle.dumps(tree)) for tree in trees)):
        assert tree.names("rgb") == ["0.jpg", "1.jpg"]
        assert tree.find("rgb/2.jpg") is None
        for name, content in files.items():
            file = tree.need(name.removeprefix("a/"))
            assert (file.read(), file.size) == (content, len(content))
            with file.open() as stream:
                assert b"".join(iter(lambda: stream.read(777), b"")) == content
    with pytest.raises(DataError, match=r"rgb/9\.jpg: missing, searched in .*x\.zip/top/a"):
        trees[1].need("rgb/9.jpg")


def test_a_zip_stored_inside_a_zip_is_read_in_place(tmp_path, files):
    inner = write_zip(tmp_path / "inner.zip", files).read_bytes()
    middle = write_zip(tmp_path / "middle.zip", {"x/inner.zip": inner}, zipfile.ZIP_STORED).read_bytes()
    for path in tmp_path.iterdir():
        path.unlink()
    write_zip(tmp_path / "outer.zip", {"first": b"1", "y/middle.zip": middle}, zipfile.ZIP_STORED)
    tree = Tree(tuple(find_places(tmp_path, ["train.txt"])))
    assert tree.places[0].name.endswith("outer.zip/y/middle.zip/x/inner.zip/a")
    for name, content in files.items():
        assert tree.need(name.removeprefix("a/")).read() == content
    write_zip(tmp_path / "outer.zip", {"inner.zip": inner})
    with pytest.raises(DataError, match=r"outer\.zip/inner\.zip: a zip compressed inside another; unpack"):
        find_places(tmp_path, ["train.txt"])
    write_zip(tmp_path / "outer.zip", {"inner.zip": inner[:-60]}, zipfile.ZIP_STORED)
    with pytest.raises(DataError, match=r"outer\.zip/inner\.zip: not a complete zip"):
        find_places(tmp_path, ["train.txt"])


def test_roots_are_merged_and_the_first_wins(tmp_path):
    write_zip(tmp_path / "1.zip", {"K.json": b"one", "only1": b"1"})
    write_zip(tmp_path / "2.zip", {"x/K.json": b"two", "x/only2": b"2"})
    tree = Tree(tuple(find_places(tmp_path, ["K.json"])))
    assert [tree.need(name).read() for name in ("K.json", "only1", "only2")] == [b"one", b"1", b"2"]


def test_anchors_may_be_patterns_and_folders(tmp_path):
    write_zip(tmp_path / "seg.zip", {"anything/train/ABF10/seg/0000.png": b"x"})
    (place,) = find_places(tmp_path, ["train/"])
    assert place.names("train/ABF10/seg") == ["0000.png"]
    write_zip(tmp_path / "d.zip", {"part_12.pkl": b"x"})
    assert [place.names("") for place in find_places(tmp_path, ["part_*.pkl"])] == [["part_12.pkl"]]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a\\..\\x", "C:/x"])
def test_entries_that_climb_out_are_refused(tmp_path, name):
    write_zip(tmp_path / "evil.zip", {"train.txt": b"", name.replace("\\", "~"): b"x"})
    content = (tmp_path / "evil.zip").read_bytes()
    (tmp_path / "evil.zip").write_bytes(content.replace(name.replace("\\", "~").encode(), name.encode()))
    with pytest.raises(DataError, match="points outside the zip; no dataset contains such entries"):
        find_places(tmp_path, ["train.txt"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.zip"]


def test_a_truncated_zip_is_refused(tmp_path, files):
    path = write_zip(tmp_path / "x.zip", files)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(
        DataError, match=r"x\.zip: not a complete zip .*; the download may be incomplete, so download it again"
    ):
        find_places(tmp_path, ["train.txt"])


def test_a_changed_byte_in_a_zip_is_found_on_reading(tmp_path, files):
    path = write_zip(tmp_path / "x.zip", files, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.index(b"picture") + 3] ^= 1
    path.write_bytes(content)
    file = read_zip_index(RawFile(path)).find("a/rgb/0.jpg")
    with pytest.raises(DataError, match=r"x\.zip/a/rgb/0\.jpg: wrong checksum; the zip is damaged"):
        file.read()


def test_a_zip_whose_index_lies_is_refused(tmp_path, files):
    path = write_zip(tmp_path / "x.zip", files)
    file = read_zip_index(RawFile(path)).find("a/rgb/0.jpg")
    (offset, packed, size, crc, deflated) = file.entry
    for entry, reason in (
        ((offset + 1, packed, size, crc, deflated), "no entry at the offset in the zip's index"),
        ((offset, packed, size + 1, crc, deflated), "ends too early"),
        ((offset, packed // 2, size, crc, deflated), "ends too early|wrong checksum"),
    ):
        with pytest.raises(DataError, match=reason):
            type(file)(file.path, file.inner, entry).read()


def test_encrypted_and_unusual_entries_are_refused(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"train.txt": b"x"})
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[central + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="is encrypted; unpack the zip and pass its contents"):
        find_places(tmp_path, ["train.txt"])
    write_zip(path, {"train.txt": b"x" * 99}, zipfile.ZIP_BZIP2)
    with pytest.raises(DataError, match="uses an unsupported compression method; unpack the zip"):
        find_places(tmp_path, ["train.txt"])


def test_a_zip_of_a_later_version_is_refused(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"train.txt": b"x"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 99  # the version that is needed to read the entry, times ten
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"x\.zip: an unsupported kind of zip \(.*9\.9\); unpack it and give the folder"
    ):
        find_places(tmp_path, ["train.txt"])


def test_no_root_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(DataError, match="no such folder or zip; give the location of the download with --root"):
        find_places(tmp_path / "none", ["x"])
    assert struct.calcsize("<4s22xHH") == 30  # the local header of a zip, as PKWARE's note lays it out


def test_a_zip_of_windows_has_the_same_files(tmp_path):
    """`Compress-Archive` in old versions of PowerShell separates folders with backslashes."""
    path = write_zip(tmp_path / "x.zip", {"data/train.txt": b"list", "data/rgb/0.jpg": b"one", "data/empty/": b""})
    path.write_bytes(path.read_bytes().replace(b"data/", b"data\\").replace(b"rgb/", b"rgb\\").replace(b"ty/", b"ty\\"))
    (place,) = find_places(tmp_path, ["train.txt"])
    assert place.find("train.txt").read() == b"list"
    assert place.names("rgb") == ["0.jpg"]
    assert place.find("rgb/0.jpg").read() == b"one"


def test_files_that_macos_adds_to_a_zip_are_skipped(tmp_path):
    files = {"d/train.txt": b"a", "__MACOSX/d/._train.txt": b"b", "d/.DS_Store": b"c", "__MACOSX/d/train.txt": b"d"}
    write_zip(tmp_path / "x.zip", files)
    (place,) = find_places(tmp_path, ["train.txt"])
    assert place.names("") == ["train.txt"]


def test_files_that_macos_adds_to_a_folder_are_skipped(tmp_path):
    for name in ("train.txt", "._train.txt", ".DS_Store", "rgb/0.jpg", "rgb/._0.jpg", "__MACOSX/train.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (place,) = find_places(tmp_path, ["train.txt"])
    assert place.names("") == ["train.txt"]
    assert place.names("rgb") == ["0.jpg"]


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_zip_is_one_line_or_read_in_part(tmp_path, files, seed):
    random = np.random.default_rng(seed)
    path = write_zip(tmp_path / "x.zip", files, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[seed % 2])
    content = bytearray(path.read_bytes())
    for place in random.integers(0, len(content), 1 + seed % 5):
        content[place] = random.integers(256)
    path.write_bytes(content)
    with suppress(DataError):
        for file in read_zip_index(RawFile(path)).files():
            file.read()


def test_zips_do_not_nest_endlessly(tmp_path):
    inner = write_zip(tmp_path / "0.zip", {"train.txt": b"x"}).read_bytes()
    (tmp_path / "0.zip").unlink()
    for _ in range(5):
        inner = write_zip(tmp_path / "x.zip", {"a.zip": inner}, zipfile.ZIP_STORED).read_bytes()
    with pytest.raises(DataError, match="nested more than 3 levels deep"):
        find_places(tmp_path, ["train.txt"])
