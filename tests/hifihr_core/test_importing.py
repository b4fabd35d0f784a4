"""A file, a folder or a zip from the user becomes the same installed asset; anything else is rejected."""

import hashlib
import os
import zipfile

import numpy as np
import pytest

from hifihr_core.assets import find_asset
from hifihr_core.assets.registry import Source
from hifihr_core.assets.store import check, installed_path
from hifihr_core.errors import AssetError
from hifihr_core.importing import gather, import_asset


def zipped(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def mano(home):
    return find_asset("mano-right")


@pytest.mark.parametrize("form", ["file", "renamed", "folder", "zip", "zip with other letters"])
def test_mano_from_every_form_gives_the_same_arrays(mano, mano_pickle, mano_path, tmp_path, form):
    data = mano_pickle.read_bytes()
    if form == "renamed":
        source = tmp_path / "mine.pkl"
        source.write_bytes(data)
    elif form == "folder":
        source = tmp_path / "download"
        (source / "mano_v1_2" / "models").mkdir(parents=True)
        (source / "mano_v1_2" / "models" / "MANO_RIGHT.pkl").write_bytes(data)
        (source / "mano_v1_2" / "models" / "MANO_LEFT.pkl").write_bytes(b"not this one")
    elif form.startswith("zip"):
        name = "mano_v1_2/models/" + ("Mano_Right.PKL" if "letters" in form else "MANO_RIGHT.pkl")
        source = zipped(tmp_path / "mano_v1_2.zip", {"mano_v1_2/readme.txt": b"", name: data})
    else:
        source = mano_pickle
    path = import_asset(mano, source)
    assert path == installed_path(mano)
    assert check(mano) == "present"
    with np.load(path, allow_pickle=False) as found, np.load(mano_path, allow_pickle=False) as expected:
        assert set(found) == set(expected)
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nothing", "no such file or folder"),
        (lambda folder: folder, "contains no MANO_RIGHT.pkl"),
        (lambda folder: zipped(folder / "a.zip", {"b.txt": b""}), "contains no MANO_RIGHT.pkl"),
        (lambda folder: _write(folder / "a.npz", b"x"), r"suffix \.npz, expected \.pkl"),
        (lambda folder: _write(folder / "a.zip", b"not a zip"), r"suffix \.zip, expected \.pkl"),
    ],
)
def test_a_source_without_the_file_is_refused_with_the_name_of_the_needed_file(mano, tmp_path, make, words):
    with pytest.raises(AssetError, match=words) as caught:
        import_asset(mano, make(tmp_path))
    assert "mano-right is made from MANO_RIGHT.pkl" in str(caught.value)
    assert not installed_path(mano).exists()


def _write(path, data):
    path.write_bytes(data)
    return path


def test_a_damaged_zip(mano, tmp_path):
    path = zipped(tmp_path / "a.zip", {"MANO_RIGHT.pkl": bytes(range(256)) * 100}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[3000:3010] = b"!" * 10
    path.write_bytes(data)
    with pytest.raises(AssetError, match="wrong checksum; the zip is damaged: download or write it again"):
        import_asset(mano, path)


def test_a_name_that_climbs_out_of_the_zip_is_refused(mano, tmp_path):
    scratch = tmp_path / "a" / "b" / "scratch"
    scratch.mkdir(parents=True)
    path = zipped(tmp_path / "a.zip", {"../../MANO_RIGHT.pkl": b"x"})
    with pytest.raises(AssetError, match="points outside the zip"):
        gather(mano, path, scratch)
    assert [entry.name for entry in (tmp_path / "a").rglob("*")] == ["b", "scratch"]


def test_several_files_are_gathered_from_one_or_many_folders(tmp_path, home):
    nimble = find_asset("nimble")
    together, apart, scratch = tmp_path / "together", tmp_path / "apart", tmp_path / "scratch"
    for folder in (together, apart, scratch):
        folder.mkdir()
    for index, name in enumerate(nimble.files):
        (together / name).write_text(name)
        (apart / str(index)).mkdir()
        (apart / str(index) / name.lower()).write_text(name)
    assert gather(nimble, together, scratch) == together
    members = {f"NIMBLE/{name}": name.encode() for name in nimble.files}
    for source in (apart, zipped(tmp_path / "a.zip", members)):
        found = gather(nimble, source, scratch)
        assert {path.name: path.read_text() for path in found.iterdir()} == {name: name for name in nimble.files}
        for path in list(scratch.iterdir()):
            path.unlink()


def test_one_file_of_several_is_not_enough(tmp_path, home):
    nimble = find_asset("nimble")
    path = _write(tmp_path / nimble.files[0], b"x")
    with pytest.raises(AssetError, match=f"one file, but nimble needs {len(nimble.files)}"):
        import_asset(nimble, path)
    with pytest.raises(AssetError, match="give a folder or zip that contains these files, from https://"):
        import_asset(nimble, tmp_path / "nothing")


def test_two_files_that_match_a_pattern_are_ambiguous(tmp_path, home):
    for name in ("a.t7", "b.t7"):
        _write(tmp_path / name, b"x")
    with pytest.raises(AssetError, match=r"a\.t7, b\.t7 all match \*\.t7, expected one; give the file itself"):
        import_asset(find_asset("hifihr-t7"), tmp_path)


def test_a_free_file_imported_by_hand_is_checked_and_copied(tmp_path, home):
    data = b"weights" * 100
    source = Source(url="https://example.org/w.pth", sha256=hashlib.sha256(data).hexdigest())
    asset = find_asset("vgg19").model_copy(update={"source": source})
    given = _write(tmp_path / "anything.pth", data)
    assert import_asset(asset, given).read_bytes() == data
    assert given.read_bytes() == data
    given.write_bytes(data + b"!")
    with pytest.raises(AssetError, match="the file is damaged or was replaced"):
        import_asset(asset, given)
    assert installed_path(asset).read_bytes() == data
    assert given.exists()


def test_a_zip_that_unpacks_to_far_more_is_stopped(mano, tmp_path):
    small = mano.model_copy(update={"largest_bytes": 1 << 20})
    bomb = zipped(tmp_path / "a.zip", {"MANO_RIGHT.pkl": bytes(4 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(AssetError, match="unpacks to 4,194,304 bytes, expected at most 1,048,576"):
        import_asset(small, bomb)
    with pytest.raises(AssetError, match="2,097,152 bytes, expected at most 1,048,576; mano-right is made from"):
        import_asset(small, _write(tmp_path / "MANO_RIGHT.pkl", bytes(2 << 20)))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_pipes_and_devices_are_refused_at_once(mano, tmp_path):
    os.mkfifo(tmp_path / "MANO_RIGHT.pkl")
    (tmp_path / "zero.pkl").symlink_to("/dev/zero")
    for name in ("MANO_RIGHT.pkl", "zero.pkl"):
        with pytest.raises(AssetError, match="a pipe or device, expected a file"):
            import_asset(mano, tmp_path / name)
    with pytest.raises(AssetError, match="contains no "):  # in a folder they do not count as files
        import_asset(mano, tmp_path)


def test_the_error_about_an_encrypted_zip_names_the_remedy(mano, tmp_path):
    path = zipped(tmp_path / "a.zip", {"MANO_RIGHT.pkl": b"x" * 100}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[6] = content[directory + 8] = 1
    path.write_bytes(content)
    with pytest.raises(AssetError, match="is encrypted; unpack the zip and pass its contents"):
        import_asset(mano, path)
