"""Shards: data survives a round trip, equal rows give equal bytes, and damage is found."""

import json
import pickle
import re
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hifihr_core.errors import DataError
from hifihr_core.sample_batches import stack_samples
from hifihr_core.samples import Sample
from hifihr_core.shards import layout
from hifihr_core.shards.folder import ShardSet, find_shard_folders, verify
from hifihr_core.shards.reader import ShardReader
from hifihr_core.shards.schema import DatasetFacts, Problem, ShardIndex, find_problem, read_index, split_evenly
from hifihr_core.shards.writer import write_shard

FACTS = DatasetFacts(dataset="toy", split="train", version="1", licence="free", joint_definition="freihand")
K = np.asarray([[480, 0, 112], [0, 480, 112], [0, 0, 1]], np.float32)


def samples(poses=4, versions=2, seed=0):
    """Poses with labels of both tables; every second pose lacks a mask, only first pictures have keypoints."""
    rng = np.random.default_rng(seed)
    for pose in range(poses):
        shared = {
            "joints_cam": rng.normal(size=(21, 3)).astype(np.float32),
            "bone_m": np.asarray(0.03 + pose, np.float32),
        }
        if pose % 3 == 0:
            shared["pose"] = rng.normal(size=45).astype(np.float32)
        mask = rng.bytes(10) if pose % 2 else None
        for version in range(versions):
            own = {"keypoints_px": rng.normal(size=(21, 2)).astype(np.float32)} if version == 0 else {}
            yield Sample(
                key=f"{version}/{pose:03d}",
                annotation=f"{pose:03d}",
                image=rng.bytes(50 + pose),
                K=K + pose,
                labels=shared | own,
                mask=mask,
                side="left" if pose == 2 else "right",
            )


def same(left, right):
    return (
        (left.key, left.annotation, left.image, left.mask, left.side)
        == (right.key, right.annotation, right.image, right.mask, right.side)
        and np.array_equal(left.K, right.K)
        and left.labels.keys() == right.labels.keys()
        and all(np.array_equal(left.labels[n], right.labels[n]) for n in left.labels)
    )


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "train-00000.h5"
    facts, problems = write_shard(path, [*samples(), Problem(key="x", reason="bad")], facts=FACTS, software="t")
    assert problems == (Problem(key="x", reason="bad"),)
    return path, facts


@pytest.fixture
def folder(tmp_path, shard):
    """A finished shard folder of two shards."""
    _, first = shard
    second, _ = write_shard(tmp_path / "train-00001.h5", samples(3, 1, seed=9), facts=FACTS, software="t")
    index = ShardIndex(
        software="t",
        facts=FACTS,
        plan={},
        samples=11,
        annotations=7,
        labels={"joints_cam": {"shape": (21, 3), "table": "annotations", "count": 7}},
        shards=(first, second),
    )
    (tmp_path / "index.json").write_text(index.dump())
    return tmp_path


def test_every_sample_comes_back_as_it_was(shard):
    path, facts = shard
    reader = ShardReader(path)
    assert (len(reader), reader.annotation_count) == (facts.samples, facts.annotations) == (8, 4)
    assert all(same(found, given) for found, given in zip(map(reader.__getitem__, range(8)), samples(), strict=True))
    assert reader.problems == (Problem(key="x", reason="bad"),)
    assert same(reader[-1], reader[7])
    with pytest.raises(IndexError):
        reader[8]


def test_same_samples_give_same_bytes_at_another_time(tmp_path):
    facts = []
    for name in ("a.h5", "b.h5"):
        facts.append(write_shard(tmp_path / name, samples(), facts=FACTS, software="t")[0])
        time.sleep(1.1)  # HDF5 keeps times in whole seconds, where it keeps them
    assert facts[0].sha256 == facts[1].sha256
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_annotations_are_stored_once_per_pose(shard):
    with h5py.File(shard[0]) as file:
        assert file["annotations/labels/joints_cam"].shape == (4, 21, 3)
        assert file["samples/labels/keypoints_px"].shape == (8, 21, 2)
        assert file["samples/present/keypoints_px"][:].tolist() == [1, 0] * 4
        assert file["annotations/present/pose"][:].tolist() == [1, 0, 0, 1]


def test_a_reader_reads_only_the_labels_asked_for_and_pickles(shard):
    reader = pickle.loads(pickle.dumps(ShardReader(shard[0], labels=("bone_m",))))
    assert set(reader[0].labels) == {"bone_m"}
    values, present = ShardReader(shard[0]).column("keypoints_px")
    assert values.shape == (8, 21, 2)
    assert present.tolist() == [True, False] * 4
    with pytest.raises(DataError, match="no label 'light'; this shard contains"):
        reader.column("light")


def test_returned_labels_may_be_changed_safely(shard):
    reader = ShardReader(shard[0])
    reader[0].labels["joints_cam"][:] = 0
    reader[0].K[:] = 0
    assert same(reader[0], next(samples()))


def test_samples_of_one_pose_must_agree_and_follow_each_other(tmp_path):
    first, second, third, *_ = samples()
    moved = Sample(second.key, second.annotation, second.image, second.K + 1, second.labels, second.mask)
    with pytest.raises(ValueError, match="share an annotation but differ in K, mask, side or labels"):
        write_shard(tmp_path / "a.h5", [first, moved], facts=FACTS, software="t")
    with pytest.raises(ValueError, match="appears twice"):
        write_shard(tmp_path / "a.h5", [first, third, second], facts=FACTS, software="t")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image": b""}, "image is empty"),
        ({"K": np.zeros((3, 3), np.float32)}, "expected a 3 x 3 matrix of finite numbers with positive focal lengths"),
        ({"labels": {"jonts": np.zeros((21, 3), np.float32)}}, "unknown label 'jonts'"),
        ({"labels": {"joints_cam": np.zeros((20, 3), np.float32)}}, r"joints_cam is float32 \(20, 3\)"),
        ({"labels": {"joints_cam": np.zeros((21, 3))}}, "joints_cam is float64"),
        ({"labels": {"bone_m": np.asarray(np.nan, np.float32)}}, "bone_m contains a non-finite number"),
    ],
)
def test_a_sample_that_violates_the_schema_is_skipped_and_listed(tmp_path, change, reason):
    good = next(samples())
    bad = Sample(**{**good.__dict__, "key": "bad", "annotation": "bad", **change})
    facts, problems = write_shard(tmp_path / "a.h5", [bad, good], facts=FACTS, software="t")
    assert facts.samples == 1
    assert [problem.key for problem in problems] == ["bad"]
    assert re.search(reason, problems[0].reason)
    assert find_problem(good) is None


def test_a_shard_that_the_disk_has_no_room_for_is_not_begun(tmp_path, monkeypatch):
    """HDF5 crashes the process if the disk is full when it closes a file."""
    need = sum(len(sample.image) for sample in samples()) + (4 << 20)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=need))
    monkeypatch.setattr(h5py, "File", None)
    with pytest.raises(DataError, match=r"a\.h5: the disk is full"):
        write_shard(tmp_path / "a.h5", samples(), facts=FACTS, software="t")
    assert list(tmp_path.iterdir()) == []


def test_only_arrays_shared_with_a_sibling_are_not_checked_again():
    good = next(samples())
    good.labels["joints_cam"][0] = np.nan
    assert find_problem(good, sibling=good) is None
    other_pose = Sample(**{**good.__dict__, "annotation": "other"})
    assert "joints_cam" in find_problem(other_pose, sibling=good)
    copied = Sample(**{**good.__dict__, "labels": {name: value.copy() for name, value in good.labels.items()}})
    assert "joints_cam" in find_problem(copied, sibling=good)


def test_a_set_is_one_sequence(folder):
    shards = ShardSet(folder)
    expected = [*samples(), *samples(3, 1, seed=9)]
    assert len(shards) == 11
    assert all(same(found, given) for found, given in zip(shards, expected, strict=True))
    assert same(shards[-1], expected[-1])
    assert shards.starts == (0, 8, 11)
    assert shards.locate(8) == (1, 0)
    assert shards.keys[8] == "0/000"
    assert shards.column("joints_cam")[0].shape == (11, 21, 3)
    with pytest.raises(DataError, match=r"no label 'light'; its shards contain .*joints_cam"):
        shards.column("light")
    with pytest.raises(IndexError, match="position 11 is not in a dataset of 11 samples"):
        shards[11]


@pytest.mark.parametrize("positions", [[7], [0, 1, 2], [10, 3, 8, 3, 0, 9], list(range(11))])
def test_samples_read_together_are_those_read_one_by_one(folder, positions):
    shards = ShardSet(folder)
    together, stacked = shards.read(np.array(positions)), stack_samples([shards[position] for position in positions])
    assert together.pictures == stacked.pictures
    assert together.sides == stacked.sides
    np.testing.assert_array_equal(together.K, stacked.K)
    assert together.labels.keys() == together.present.keys() == stacked.labels.keys()
    for name in stacked.labels:
        np.testing.assert_array_equal(together.labels[name], stacked.labels[name])
        np.testing.assert_array_equal(together.present[name], stacked.present[name])


def test_samples_read_together_are_within_the_set(folder):
    for positions in ([0, 11], [-1, 0]):
        with pytest.raises(IndexError):
            ShardSet(folder).read(np.array(positions))
    with pytest.raises(IndexError, match="indices are 0 to 8, expected 0 to 7"):
        ShardReader(folder / "train-00000.h5").read(np.array([0, 8]))


def test_labels_that_were_not_asked_for_are_not_read_together(folder):
    read = ShardSet(folder, labels={"bone_m"}).read(np.array([9, 0]))
    assert list(read.labels) == ["bone_m"]
    assert read.labels_of(1) == {"bone_m": np.float32(0.03)}


def test_verify_is_silent_about_intact_shards(folder):
    assert list(verify(folder)) == []
    assert find_shard_folders(folder) == [folder]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished folder of one shard, and the bytes of the shard."""
    folder = tmp_path_factory.mktemp("damaged")
    facts, _ = write_shard(folder / "train-00000.h5", samples(), facts=FACTS, software="t")
    index = ShardIndex(software="t", facts=FACTS, plan={}, samples=8, annotations=4, labels={}, shards=(facts,))
    (folder / "index.json").write_text(index.dump())
    return folder, (folder / "train-00000.h5").read_bytes()


@settings(max_examples=60)
@given(place=st.floats(0, 0.9999), bit=st.integers(0, 7))
def test_verify_finds_one_changed_bit_anywhere(whole, place, bit):
    folder, content = whole
    damaged = bytearray(content)
    damaged[int(place * len(damaged))] ^= 1 << bit
    (folder / "train-00000.h5").write_bytes(damaged)
    assert list(verify(folder))


def test_verify_names_the_row_that_changed(folder):
    path = folder / "train-00000.h5"
    with h5py.File(path, "r+") as file:
        file["samples/image/bytes"][60] ^= 1
    assert f"{path}: sample 1/000 does not match its checksum" in list(verify(folder))


def test_a_shard_that_was_cut_is_refused(folder):
    path = folder / "train-00001.h5"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"train-00001.h5: [\d,]+ bytes, expected [\d,]+ bytes"):
        ShardSet(folder)
    with pytest.raises(DataError, match="not a complete shard"):
        ShardReader(path)[0]


def test_missing_and_foreign_files_are_named(folder, tmp_path_factory):
    with pytest.raises(DataError, match="no such file"):
        ShardReader(folder / "none.h5")[0]
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="not a shard but another HDF5 file"):
        ShardReader(folder / "other.h5")[0]
    assert any("not listed in index.json" in line for line in verify(folder))
    (folder / "train-00001.h5").unlink()
    with pytest.raises(DataError, match=r"train-00001\.h5: missing"):
        ShardSet(folder)
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(
        DataError, match=r"no index\.json, expected a finished shard folder; create or complete it with"
    ):
        ShardSet(empty)
    with pytest.raises(DataError, match="no such folder"):
        ShardSet(empty / "none")
    (empty / "file").write_text("")
    with pytest.raises(DataError, match="a file, expected a finished shard folder"):
        ShardSet(empty / "file")


def test_another_layout_version_is_refused(folder):
    with h5py.File(folder / "train-00000.h5", "r+") as file:
        file.attrs["format_version"] = 9
    with pytest.raises(DataError, match="layout version 9, expected 1"):
        ShardReader(folder / "train-00000.h5")[0]
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {"format_version": 2}))
    with pytest.raises(DataError, match="layout version 2, expected 1"):
        read_index(folder)
    (folder / "index.json").write_text("[1,")
    with pytest.raises(DataError, match=r"index\.json: not valid JSON .*; prepare the dataset again"):
        read_index(folder)


@pytest.mark.parametrize(("dataset", "scale"), [("freihand", None), ("ho3d", 2.2), ("rhd", 1.8), ("mine", 2.0)])
def test_an_index_of_the_first_release_opens_with_the_crops_it_had(folder, dataset, scale):
    """There the size of crops depended on the name of the dataset; now it is a fact in the index."""
    index = json.loads((folder / "index.json").read_text())
    index["facts"] = {"dataset": dataset} | {
        n: v for n, v in index["facts"].items() if n not in ("dataset", "crop_scale")
    }
    index["plan"] = {"facts": dict(index["facts"])}
    (folder / "index.json").write_text(json.dumps(index))
    renewed = read_index(folder)
    assert renewed.facts.crop_scale == scale
    assert renewed.plan["facts"] == renewed.facts.model_dump(mode="json")
    assert len(ShardSet(folder)) == 11
    assert list(verify(folder)) == []


def _vlen(file):
    del file["annotations/labels/bone_m"]
    data = file.create_dataset("annotations/labels/bone_m", (4,), h5py.vlen_dtype(np.float32))
    data[0] = [1, 2]


def _external(file):
    path = file.filename + ".secret"
    Path(path).write_bytes(b"s" * 60)
    del file["samples/image/bytes"]
    file.create_dataset("samples/image/bytes", (60,), "u1", external=[(path, 0, 60)])


def _virtual(file):
    layout = h5py.VirtualLayout((8,), "u4")
    layout[:] = h5py.VirtualSource(".", "samples/checksum", (8,))
    file.create_virtual_dataset("virtual", layout)
    del file["samples/checksum"]
    file.move("virtual", "samples/checksum")


def _relink(file, name, link):
    del file[name]
    file[name] = link


def _replace(name, values=None, **options):
    def change(file):
        del file[name]
        file.create_dataset(name, data=values, **options)

    return change


HOSTILE = {
    "a label of variable length": (_vlen, "bone_m has the wrong type, expected float32"),
    "data in another file": (_external, "bytes is not contiguous inside the file"),
    "a virtual array": (_virtual, "checksum is not contiguous inside the file"),
    "a soft link": (lambda f: _relink(f, "samples/key", h5py.SoftLink("/annotations/key")), "key is a link"),
    "another file": (
        lambda f: _relink(f, "samples", h5py.ExternalLink("other.h5", "/samples")),
        "a group has no symbol table",
    ),
    "a group for an array": (lambda f: _relink(f, "samples/key", f["samples/image"]), "key is not an array"),
    "an array for a group": (lambda f: _relink(f, "samples/image", f["samples/key"]), "image is not a group"),
    "a missing column": (lambda f: f.__delitem__("annotations/K"), "K is missing"),
    "chunks": (_replace("samples/checksum", np.zeros(8, "u4"), chunks=(2,)), "not contiguous inside the file"),
    "other numbers": (_replace("annotations/K", np.zeros((4, 3, 3))), "K has the wrong type, expected float32"),
    "other shapes": (_replace("annotations/K", np.zeros((4, 9), "f4")), r"K has shape \(4, 9\)"),
    "strings without end": (
        _replace("samples/key", ["a"] * 8, dtype=h5py.string_dtype()),
        "key has the wrong type, expected text",
    ),
    "strings longer than any key": (
        _replace("samples/key", np.array([b"a"] * 8, "S5000")),
        "key has strings of 5,000 bytes, expected 1 to 4,096",
    ),
    "an array that was never written": (
        _replace("samples/checksum", shape=(8,), dtype="u4"),
        "checksum ends at byte .*, but the file has",
    ),
    "a version that is not a number": (
        lambda f: f.attrs.__setitem__("format_version", "1"),
        "its layout version is not a number",
    ),
    "an annotation that is not there": (
        _replace("samples/annotation", np.full(8, 4)),
        "row 4 of 4 annotations, counted from 0",
    ),
    "a negative annotation": (_replace("samples/annotation", np.full(8, -1)), "row -1 of 4 annotations"),
    "a third side": (_replace("annotations/side", np.full(4, 2, "u1")), "has side 2"),
    "offsets out of order": (
        _replace("samples/image/offsets", np.array([0, 50, 40, *range(100, 600, 100), 410])),
        "the offsets of the images do not ascend",
    ),
    "offsets beyond the end": (
        _replace("samples/image/offsets", np.arange(9) * 10**12),
        "the offsets of the images do not ascend",
    ),
    "problems of another kind": (_replace("problems", np.frombuffer(b'[{"key": 1}]', "u1")), "Problem"),
    "problems that are a number": (
        _replace("problems", np.frombuffer(b"5", "u1")),
        "problems has type int, expected a list",
    ),
    "problems nested for ever": (_replace("problems", np.full(10_000, ord("["), "u1")), "nested too deeply"),
}


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        ("_LARGEST_SHORT", 20, "key takes 40 bytes, expected at most 20"),
        ("_LONGEST_PICTURE", 5, "one image has more than 5 bytes"),
    ],
)
def test_no_more_is_read_than_the_limits_allow(shard, monkeypatch, limit, value, reason):
    monkeypatch.setattr(layout, limit, value)
    with pytest.raises(DataError, match=rf"not a complete shard \({reason}\)"):
        ShardReader(shard[0])[0]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_shard_that_breaks_the_schema_is_refused_in_one_line(shard, name):
    change, reason = HOSTILE[name]
    with h5py.File(shard[0], "r+") as file:
        change(file)
    with pytest.raises(DataError, match=rf"not a complete shard \(.*{reason}") as caught:
        ShardReader(shard[0])[0]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"file": "../train-00000.h5"}, "file: String should match pattern"),
        ({"file": "/etc/passwd"}, "file: String should match pattern"),
        ({"samples": 10**15}, "bytes are too few for 1,000,000,000,000,000 samples and"),
        ({"samples": -1}, "samples: "),
    ],
)
def test_an_index_cannot_lead_elsewhere_or_promise_the_impossible(folder, change, reason):
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0] |= change
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=reason) as caught:
        ShardSet(folder)
    assert "\n" not in str(caught.value)


def test_a_shard_shorter_than_its_index_says_is_named(folder):
    index = json.loads((folder / "index.json").read_text())
    index["shards"][1]["samples"] = 5
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"train-00001\.h5: 3 samples, expected 5 as its index states"):
        ShardSet(folder)[12]


@given(count=st.integers(1, 5000), each=st.integers(1, 10**6), target=st.integers(1, 10**8))
def test_shards_are_even_and_cover_all(count, each, target):
    runs = split_evenly(count, bytes_each=each, target_bytes=target)
    assert [i for run in runs for i in run] == list(range(count))
    lengths = {len(run) for run in runs}
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) * each <= max(target, each)
