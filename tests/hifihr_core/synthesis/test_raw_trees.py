import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hifihr_core.errors import DataError
from hifihr_core.hands import HandParameters, load_hand
from hifihr_core.records import Sample
from hifihr_core.sources.contract import Request
from hifihr_core.sources.marker import MARKER_NAME
from hifihr_core.sources.table import find_source
from hifihr_core.sources.written.layouts import LAYOUTS, RawRequest, write_raw_tree

REAL_MANO = os.environ.get("HIFIHR_TEST_MANO")


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """One small dataset per layout, whose vertices are not MANO's."""
    root = tmp_path_factory.mktemp("raw")
    for layout in LAYOUTS:
        write_raw_tree(layout, RawRequest(root / layout, count=6, evaluation=2, seed=1, hand="anny", backgrounds=4))
    return root


def open_splits(root, tmp_path):
    source = find_source("freihand" if root.name == "freihand" else "ho3d")
    splits = list(source.open(Request(root)))
    for split in splits:
        folder = tmp_path / split.facts.split
        folder.mkdir(parents=True)
        split.stage(folder)
    return splits


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_readers_accept_generated_datasets_like_real_ones(trees, tmp_path, layout):
    splits = open_splits(trees / layout, tmp_path)
    assert [split.facts.split for split in splits] == ["train", "evaluation"]
    assert [split.count for split in splits] == [6, 2]
    for split in splits:
        assert split.facts.synthetic
        assert split.facts.mano_stand_in
        failed = [check for check in split.checks() if check.status == "failed" and check.name != "handedness"]
        assert not failed
        rows = list(split.read(0, split.count))
        assert all(isinstance(row, Sample) for row in rows)
        expected = 24 if layout == "freihand" and split.facts.split == "train" else split.count
        assert len(rows) == expected
        assert all(np.isfinite(row.labels["joints_cam"]).all() for row in rows)


def test_freihand_masks_and_keypoints_arrive(trees, tmp_path):
    train, evaluation = open_splits(trees / "freihand", tmp_path)
    samples = list(train.read(0, 6)) + list(evaluation.read(0, 2))
    for sample in samples:
        mask = cv2.imdecode(np.frombuffer(sample.mask, np.uint8), cv2.IMREAD_GRAYSCALE) > 127
        inside = sample.labels["joints_px"].astype(int).clip(0, 223)
        assert mask[inside[:, 1], inside[:, 0]].mean() > 0.2
    detected = [sample for sample in train.read(0, 6) if "keypoints_px" in sample.labels]
    assert len(detected) >= 6
    errors = [
        np.linalg.norm(s.labels["keypoints_px"] - s.labels["joints_px"], axis=1)[s.labels["keypoints_confidence"] > 0]
        for s in detected
    ]
    assert np.median(np.concatenate(errors)) < 6


@pytest.mark.parametrize("layout", ["ho3d-v2", "ho3d-v3"])
def test_ho3d_hands_are_where_their_masks_are(trees, tmp_path, layout):
    train, _ = open_splits(trees / layout, tmp_path)
    assert train.hand_channel == (2 if layout == "ho3d-v2" else 0)
    for sample in train.read(0, 6):
        assert sample.mask is not None
        picture = cv2.imdecode(np.frombuffer(sample.image, np.uint8), 1)
        assert (sample.labels["joints_px"] >= 0).all()
        assert (sample.labels["joints_px"] <= picture.shape[1::-1]).all()


def test_ho3d_ground_truth_is_in_opengl_order_and_axes(trees):
    root = trees / "ho3d-v3"
    xyz = np.array(json.loads((root / "evaluation_xyz.json").read_text()))
    assert xyz.shape == (2, 21, 3)
    assert (xyz[..., 2] < 0).all()
    lengths = np.linalg.norm(xyz[:, 4] - xyz[:, 0], axis=-1)  # wrist to middle MCP
    assert ((lengths > 0.05) & (lengths < 0.12)).all()
    assert (root / "evaluation.txt").read_text().splitlines() == ["AP10/0000", "AP10/0001"]


def test_a_dataset_states_what_it_is(trees):
    for layout in LAYOUTS:
        marker = json.loads((trees / layout / MARKER_NAME).read_text())
        assert marker == {"synthetic": True, "stand_in_vertices": True}


def test_a_real_download_is_never_overwritten(tmp_path):
    (tmp_path / "training_K.json").write_text("[]")
    with pytest.raises(DataError, match="nor a synthetic dataset"):
        write_raw_tree("freihand", RawRequest(tmp_path, count=1, evaluation=0, hand="anny"))
    with pytest.raises(ValueError, match="expected one of freihand"):
        write_raw_tree("rhd", RawRequest(tmp_path, count=1, evaluation=0, hand="anny"))


@pytest.mark.skipif(not REAL_MANO, reason="HIFIHR_TEST_MANO names no MANO_RIGHT.pkl")
def test_with_mano_the_labels_pose_mano(tmp_path, monkeypatch):
    from hifihr_core.hands.mano.convert import convert_mano

    converted = tmp_path / "mano.npz"
    convert_mano(Path(REAL_MANO), converted)
    monkeypatch.setattr("hifihr_core.hands.table.asset_path", lambda asset: converted)
    for layout, flat, joints in (("freihand", False, "freihand"), ("ho3d-v2", True, "ho3d")):
        root = tmp_path / layout
        write_raw_tree(layout, RawRequest(root, count=3, evaluation=1, hand="mano", backgrounds=4))
        hand = load_hand("mano", path=converted, joints=joints, flat_hand=flat)
        train = open_splits(root, tmp_path / f"work-{layout}")[0]
        assert not train.facts.mano_stand_in
        for sample in train.read(0, 3):
            labels = {name: torch.from_numpy(np.array(value))[None] for name, value in sample.labels.items()}
            posed = hand(HandParameters(labels["global_orient"], labels["pose"], labels["shape"]))
            torch.testing.assert_close(
                posed.joints, labels["joints_cam"] - labels["joints_cam"][:, 9:10], atol=1e-5, rtol=0
            )


@pytest.mark.skipif(not REAL_MANO, reason="HIFIHR_TEST_MANO names no MANO_RIGHT.pkl")
def test_ho3d_translation_is_the_one_of_its_definition(tmp_path, monkeypatch):
    from hifihr_core.hands.mano.convert import convert_mano
    from hifihr_core.outside.pickles import NUMPY, read_pickle

    converted = tmp_path / "mano.npz"
    convert_mano(Path(REAL_MANO), converted)
    monkeypatch.setattr("hifihr_core.hands.table.asset_path", lambda asset: converted)
    write_raw_tree("ho3d-v2", RawRequest(tmp_path / "ho3d", count=2, evaluation=0, hand="mano", backgrounds=4))
    native = load_hand("mano", path=converted, joints="ho3d", flat_hand=True, centred=False)
    meta = read_pickle(tmp_path / "ho3d" / "train" / "ABF10" / "meta" / "0001.pkl", allowed=NUMPY)
    pose = torch.from_numpy(meta["handPose"]).float()[None]
    posed = native(HandParameters(pose[:, :3], pose[:, 3:], torch.from_numpy(meta["handBeta"]).float()[None]))
    found = posed.joints[0].numpy() + meta["handTrans"]
    expected = meta["handJoints3D"][[0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]]
    np.testing.assert_allclose(found, expected, atol=2e-5)
