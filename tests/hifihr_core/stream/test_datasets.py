"""Shard folders by the names of datasets."""

import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.records import Sample
from hifihr_core.shards.packing import pack_split
from hifihr_core.shards.schema import DatasetFacts
from hifihr_core.shards.split import Split
from hifihr_core.stream.datasets import first_pictures, open_dataset, spread


class Poses(Split):
    """Poses of two pictures each."""

    bytes_each, plan = 1000, {}

    def __init__(self, count, split="train"):
        facts = {"dataset": "toy", "version": "1", "licence": "free", "joint_definition": "freihand"}
        self.count, self.facts = count, DatasetFacts(**facts, split=split, crop_scale=1.5)

    def read(self, start, stop):
        for pose in range(start, stop):
            for picture in "ab":
                labels = {"bone_m": np.asarray(pose, np.float32)}
                yield Sample(f"{picture}{pose}", str(pose), b"image", np.eye(3, dtype=np.float32), labels)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIHR_DATA", str(tmp_path))
    return tmp_path / "shards"


def test_a_dataset_is_found_by_name_or_path_and_split(home):
    pack_split(Poses(5), home / "toy/train")
    pack_split(Poses(2, "evaluation"), home / "toy/evaluation")
    for name in ("toy", str(home / "toy")):
        assert len(open_dataset(name, training=True, labels=None).positions) == 5
        assert len(open_dataset(name, training=False, labels=None, versions="all").positions) == 4
    dataset = open_dataset("toy", training=True, labels=None)
    assert dataset.labels == {"bone_m"}
    assert dataset.part(0.5).hand_scale == 1.5
    assert first_pictures(dataset.shards).tolist() == [0, 2, 4, 6, 8]
    assert spread(dataset, 2).positions.tolist() == [0, 8]


def test_a_split_without_samples_is_refused(home):
    pack_split(Poses(0), home / "none/train")
    with pytest.raises(DataError, match="contains no samples; prepare the dataset again"):
        open_dataset("none", training=True, labels=None)
    pack_split(Poses(2), home / "half/train")
    pack_split(Poses(2, "other"), home / "half/train2")
    with pytest.raises(DataError, match="no such folder"):
        open_dataset("missing", training=True, labels=None)


def test_a_dataset_is_found_by_its_address_and_kept_in_the_cache(home):
    fsspec = pytest.importorskip("fsspec")
    pack_split(Poses(5), home / "toy/train")
    pack_split(Poses(2, "evaluation"), home / "toy/evaluation")
    fsspec.filesystem("memory").put(str(home / "toy"), "/toy", recursive=True)
    local, distant = (open_dataset(name, training=True, labels=None) for name in ("toy", "memory://toy"))
    assert distant.positions.tolist() == local.positions.tolist()
    assert (distant.labels, distant.facts) == (local.labels, local.facts)
    assert len(open_dataset("memory://toy", training=False, labels=None, versions="all").positions) == 4
    assert len(list((home.parent / "cache").glob("*.h5"))) == 1  # taking all pictures needs no look into shards
    part = distant.part(None)
    assert part.samples[1].key == local.part(None).samples[1].key == "a1"
    assert part.samples.window == 1
    assert part.samples.shards.tolist() == [0] * 5
