"""Files of `torch.save`: tensors are read, programs are not run, damage is one line."""

import os
import pickle
import zipfile
from argparse import Namespace

import pytest
import torch

from hifihr_core.errors import AssetError, UnsafePickleError
from hifihr_core.outside.torch_files import read_torch_file


def read(path, **options):
    return read_torch_file(path, what="a checkpoint", remedy="get it again", **options)


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("is_zip", [True, False])
def test_tensors_and_containers_are_read(tmp_path, is_zip):
    torch.save({"a": torch.arange(3), "n": 2}, tmp_path / "a.pt", _use_new_zipfile_serialization=is_zip)
    found = read(tmp_path / "a.pt")
    assert torch.equal(found["a"], torch.arange(3))
    assert found["n"] == 2


@pytest.mark.parametrize("is_zip", [True, False])
def test_nothing_in_a_file_is_run(tmp_path, is_zip):
    marker = tmp_path / "ran"
    torch.save({"a": Attack(marker)}, tmp_path / "a.pt", _use_new_zipfile_serialization=is_zip)
    with pytest.raises(UnsafePickleError, match=r"a\.pt: refers to more than plain data; nothing in it was run"):
        read(tmp_path / "a.pt")
    assert not marker.exists()


def test_a_type_is_read_only_if_allowed(tmp_path):
    torch.save({"args": Namespace(lr=1)}, tmp_path / "a.pt")
    with pytest.raises(UnsafePickleError):
        read(tmp_path / "a.pt")
    assert read(tmp_path / "a.pt", allowed=[Namespace])["args"].lr == 1
    with pytest.raises(UnsafePickleError):
        read(tmp_path / "a.pt")


def test_damage_is_one_line(tmp_path):
    torch.save({"a": torch.arange(1000)}, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    contents = [b"", b"text", b"PK\x03\x04", whole[:500], whole[:-40], pickle.dumps([1], 2)[:-2]]
    for number, content in enumerate(contents):
        path = tmp_path / f"{number}.pt"
        path.write_bytes(content)
        with pytest.raises(AssetError, match=r"\d\.pt: not a checkpoint \(.*\); get it again$") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("a.txt", "a")
    for name in ("other.pt", "gone.pt", ""):
        with pytest.raises(AssetError):
            read(tmp_path / name)
