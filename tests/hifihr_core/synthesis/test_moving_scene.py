import numpy as np
import pytest
import torch

from hifihr_core.hands import load_hand
from hifihr_core.synthesis.clip_frames import ClipOptions, ClipSynthesizer
from hifihr_core.synthesis.moving_scene import KINDS, draw_scene


@pytest.fixture(scope="module")
def hand():
    return load_hand("anny").eval()


@pytest.mark.parametrize("kind", KINDS)
def test_hands_move_smoothly_through_plausible_poses(hand, kind: str) -> None:
    scene = draw_scene(hand, kind, seconds=4.0, size_px=(480, 640), random=np.random.default_rng(3))
    limits = hand.pose_prior().limits
    for moving in scene.hands:
        coarse, fine = (moving.at(np.arange(0, 4, step)) for step in (1 / 15, 1 / 30))
        assert (fine.parameters.pose >= limits[:, 0] - 1e-6).all()
        assert (fine.parameters.pose <= limits[:, 1] + 1e-6).all()
        assert torch.equal(fine.parameters.pose[::2], coarse.parameters.pose)
        jumps = np.linalg.norm(np.diff(fine.root_cam, axis=0), axis=1)
        assert 0 < jumps.max() < 0.08
        assert fine.root_cam[:, 2].min() > 0.2


def test_crossing_hands_change_places(hand) -> None:
    scene = draw_scene(hand, "crossing", seconds=5.0, size_px=(480, 640), random=np.random.default_rng(1))
    ends = np.array([0.2, 4.8])
    right, left = (moving.at(ends) for moving in scene.hands)
    assert (right.side, left.side) == ("right", "left")
    apart = right.root_cam[:, 0] / right.root_cam[:, 2] + left.root_cam[:, 0] / left.root_cam[:, 2]  # left is mirrored
    assert apart[0] < 0 < apart[1]


def test_frames_have_the_ground_truth(hand) -> None:
    options = ClipOptions(width=160, height=120, frames=3, seed=2, kinds=("crossing",))
    frames = list(ClipSynthesizer(hand, options).frames(0))
    again = next(iter(ClipSynthesizer(hand, options).frames(0)))
    np.testing.assert_array_equal(again.image, frames[0].image)
    assert [frame.number for frame in frames] == [0, 1, 2]
    for frame in frames:
        assert frame.image.shape == (120, 160, 3)
        for label in frame.hands:
            rays = label.joints_cam @ frame.K.T
            np.testing.assert_allclose(rays[:, :2] / rays[:, 2:], label.joints_px, atol=0.05)
    assert frames[0].hands[0].visible.any()
    assert (frames[0].image != frames[2].image).any()


def test_unknown_kinds_are_refused(hand) -> None:
    with pytest.raises(ValueError, match="juggling"):
        draw_scene(hand, "juggling", seconds=1.0, size_px=(48, 64), random=np.random.default_rng(0))
