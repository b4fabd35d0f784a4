"""Checks: correct data passes, a wrong sign, unit or order fails, and impossible checks are skipped by name."""

import numpy as np
import pytest
import torch

from hifihr_core.hands import HandParameters, load_hand
from hifihr_core.sources import checks, cutting, mano_checks

K = np.asarray([[480.0, 0, 112], [0, 480, 112], [0, 0, 1]])


@pytest.fixture
def hands(raw_trees):
    return raw_trees.hands(8, seed=0)


def test_right_hands_pass_and_mirrored_ones_fail(hands):
    assert checks.right_handed(hands).status == "passed"
    for axis in np.eye(3):
        assert checks.right_handed(hands * (1 - 2 * axis)).status == "failed"
    assert checks.right_handed(hands * (1, -1, -1)).status == "passed"  # a half turn mirrors nothing


def test_reprojection_needs_joints_in_the_picture(hands):
    cameras = np.repeat(K[None], 8, axis=0)
    assert checks.reprojection(hands, cameras, width=224, height=224).status == "passed"
    for wrong in (hands * (1, 1, -1), hands * 1000 + (500, 0, 0), hands * (1, 1, 0.1)):
        assert checks.reprojection(wrong, cameras, width=224, height=224).status == "failed"


def test_scale_is_the_length_of_the_bone_to_a_micrometre(hands):
    scale = np.linalg.norm(hands[:, 9] - hands[:, 10], axis=-1)
    assert checks.bone_lengths(hands, scale).status == "passed"
    assert checks.bone_lengths(hands, scale + 2e-6).status == "failed"


def test_labels_must_agree_with_the_camera(hands):
    cameras = np.repeat(K[None], 8, axis=0)
    points = np.stack([cutting.project(joints, K) for joints in hands])
    assert checks.projected_labels(hands, cameras, points, limit_px=0.5).status == "passed"
    assert checks.projected_labels(hands, cameras, points + 0.6, limit_px=0.5).status == "failed"


def test_principal_points_are_reported(hands):
    moved = np.repeat(K[None], 4, axis=0)
    moved[1, 0, 2] = 107.1
    found = checks.principal_points(moved, 224)
    assert (found.status, found.detail) == (
        "passed",
        "75.0% at the centre of the picture, largest offset 4.90 px, limit 56 px",
    )
    moved[2, 1, 2] = 0
    assert checks.principal_points(moved, 224).status == "failed"


def test_hands_are_in_front_of_the_camera(hands):
    assert checks.in_front(hands).status == "passed"
    assert checks.in_front(-hands).status == checks.in_front(hands * 1000).status == "failed"


def test_counts_are_official_or_skipped_by_name():
    assert checks.count("frames", 11_524, [11_524]).status == "passed"
    assert checks.count("frames", 11_523, [11_524]).detail == "11,523, expected 11,524"
    assert checks.count("frames", 3, [11_524], why_not="synthetic").status == "skipped"


@pytest.mark.parametrize(("count", "wanted"), [(1, 5), (5, 5), (1000, 7), (3, 200)])
def test_probes_are_spread_and_whole(count, wanted):
    found = checks.probe(count, wanted)
    assert len(found) == min(count, wanted)
    assert found[0] == 0
    assert found[-1] == count - 1


def test_without_mano_its_checks_are_skipped_by_name(hands, home):
    found = mano_checks.regressed_joints(np.zeros((8, 778, 3)), hands, stand_in=False)
    assert (found.name, found.status) == ("MANO joints", "skipped")
    assert "hifihr assets import mano-right" in found.detail
    found = mano_checks.posed_joints(np.zeros((8, 48)), np.zeros((8, 10)), hands, stand_in=True)
    assert "not MANO's" in found.detail


def test_freihand_joints_are_regressed_from_the_vertices(installed_mano):
    hand = load_hand("mano", joints="freihand")
    with torch.no_grad():
        posed = hand(hand.sample_parameters(6, generator=torch.Generator().manual_seed(0)))
    shift = np.asarray((0.0, 0.1, 0.6))
    vertices, joints = posed.vertices.numpy() + shift, posed.joints.numpy() + shift
    assert mano_checks.regressed_joints(vertices, joints, stand_in=False).status == "passed"
    assert mano_checks.regressed_joints(vertices, joints + 0.001, stand_in=False).status == "failed"


def test_ho3d_joints_are_those_of_the_posed_chain(installed_mano):
    rng = np.random.default_rng(0)
    pose, shape = rng.normal(0, 0.3, (5, 48)), rng.normal(0, 0.5, (5, 10))
    hand = load_hand("mano", joints="ho3d", flat_hand=True)
    values = [torch.from_numpy(v.astype(np.float32)) for v in (pose[:, :3], pose[:, 3:], shape)]
    with torch.no_grad():
        joints = hand(HandParameters(*values)).joints.numpy() + np.asarray((0.1, 0, 0.5))
    assert mano_checks.posed_joints(pose, shape, joints, stand_in=False).status == "passed"
    swapped = joints[:, np.r_[0:9, 13:17, 9:13, 17:21]]
    assert mano_checks.posed_joints(pose, shape, swapped, stand_in=False).status == "failed"


def test_without_readable_annotations_no_check_claims_a_share(hands):
    unknown = np.full_like(hands, np.nan)
    found = [
        checks.reprojection(unknown, np.stack([K] * len(hands)), width=224, height=224),
        checks.right_handed(unknown),
        checks.in_front(hands[:0]),
    ]
    assert [check.status for check in found] == ["failed", "skipped", "skipped"]
    assert {check.detail for check in found} == {"no annotation could be read"}
