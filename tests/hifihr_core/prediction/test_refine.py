from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel
from hifihr_core.lifting.hand_crops import Crops, cut_crops
from hifihr_core.photos.masks import beyond_wrist, segment_hands
from hifihr_core.photos.reading import as_photo
from hifihr_core.placed_hands import LitHands, choose, default_light, map_tensors, mean_texture
from hifihr_core.prediction.refine import Refined, RefineSettings, refine
from hifihr_core.prediction.refinement.picture_fit import PictureWeights
from hifihr_core.rendering import Renderer

SIZE = 96


@pytest.fixture(scope="module")
def scene(hand: HandModel, shoot: Callable) -> tuple[Crops, LitHands, LitHands]:
    """Return a crop with its keypoints, the truth, and a start with every parameter perturbed."""
    shot = shoot(1)
    crops = cut_crops(as_photo(shot.image), [shot.detection], shot.K, image_px=SIZE)
    generator = torch.Generator().manual_seed(0)

    def noise(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    parameters = mean_texture(hand, shot.state.parameters)
    orient = roma.rotvec_composition((0.12 * noise(1, 3), parameters.global_orient))
    parameters = replace(parameters, global_orient=orient, pose=parameters.pose + 0.1 * noise(1, hand.pose_dim))
    root = shot.state.root_cam * 1.04 + 0.004 * noise(1, 3)
    return crops, shot.state, LitHands(parameters, root, default_light(root))


def _refine(hand: HandModel, start: LitHands, crops: Crops, steps: int = 40) -> Refined:
    renderer = Renderer(hand.faces, height=SIZE, width=SIZE)
    return refine(hand, renderer, start, crops, RefineSettings(steps=steps))


def _error_px(hand: HandModel, state: LitHands, crops: Crops) -> float:
    joints = hand.joints_of(state.parameters) + state.root_cam[:, None]
    return float((project(joints, crops.K) - crops.keypoints_px).norm(dim=-1).mean())


def test_refinement_halves_the_error_and_matches_the_picture(hand: HandModel, scene: tuple) -> None:
    crops, _, start = scene
    refined = _refine(hand, start, crops)
    assert _error_px(hand, refined.hands, crops) < 0.5 * _error_px(hand, start, crops)
    assert refined.after.psnr_db > refined.before.psnr_db + 4
    assert refined.after.iou > refined.before.iou
    assert refined.after.keypoint_px < refined.before.keypoint_px


def test_without_keypoints_the_picture_alone_leads(hand: HandModel, scene: tuple) -> None:
    crops, _, start = scene
    blind = replace(crops, confidence=torch.zeros_like(crops.confidence))
    refined = _refine(hand, start, blind)
    assert _error_px(hand, refined.hands, crops) < _error_px(hand, start, crops)
    assert refined.after.psnr_db > refined.before.psnr_db + 4
    assert torch.isnan(refined.after.keypoint_px).all()


def test_hands_do_not_affect_each_other(hand: HandModel, scene: tuple) -> None:
    crops, truth, start = scene
    pair = map_tensors(lambda a, b: torch.cat((a, b)), start, truth)
    both = replace(map_tensors(lambda values: torch.cat((values, values)), crops), sides=("right", "right"))
    alone = _refine(hand, start, crops, steps=3)
    together = _refine(hand, pair, both, steps=3)
    # Differences over 0.01 multiply the rounding that the size of a batch changes.
    torch.testing.assert_close(together.hands.root_cam[:1], alone.hands.root_cam, atol=1e-3, rtol=1e-3)


def test_batches_side_by_side_are_put_together_in_order(hand: HandModel, scene: tuple) -> None:
    crops, truth, start = scene
    three = map_tensors(lambda *rows: torch.cat(rows), start, start, truth)
    images = map_tensors(lambda values: values.expand(3, *values.shape[1:]).contiguous(), crops)
    together = _refine(hand, three, replace(images, sides=("right",) * 3), steps=3)
    torch.testing.assert_close(together.hands.root_cam[2:], _refine(hand, truth, crops, steps=3).hands.root_cam)
    assert together.mask.shape == (3, SIZE, SIZE)
    assert together.after.iou[2] > together.before.iou[0]


def test_look_is_asked_once_the_outline_fits(hand: HandModel, scene: tuple) -> None:
    crops, _, start = scene
    asked: list[LitHands] = []

    def look(hands: LitHands, mask: torch.Tensor) -> LitHands:
        assert mask.shape == (1, SIZE, SIZE)
        asked.append(hands)
        return replace(hands, light=replace(hands.light, ambient=hands.light.ambient * 0.5))

    renderer = Renderer(hand.faces, height=SIZE, width=SIZE)
    refine(hand, renderer, start, crops, RefineSettings(steps=1), look=look)
    [fitted] = asked
    assert _error_px(hand, fitted, crops) < 0.7 * _error_px(hand, start, crops)


def test_steps_on_the_picture_end_where_nothing_improves(hand: HandModel, scene: tuple) -> None:
    crops, truth, _ = scene
    settings = RefineSettings(steps=200, picture=PictureWeights(small=0.0, geometry_rate=1e-9, root_rate=1e-9))
    heard: list[int] = []
    still = replace(settings, picture=replace(settings.picture, appearance_rate=1e-9))
    refine(hand, Renderer(hand.faces, height=SIZE, width=SIZE), truth, crops, still, on_step=heard.append)
    assert heard == list(range(1, len(heard) + 1))
    assert len(heard) < 20


def test_the_start_is_left_alone(hand: HandModel, scene: tuple) -> None:
    crops, _, start = scene
    before = start.parameters.pose.clone()
    refined = _refine(hand, start, crops, steps=2)
    torch.testing.assert_close(start.parameters.pose, before)
    assert not refined.hands.parameters.pose.requires_grad


def test_mask_finds_the_hand(hand: HandModel, scene: tuple) -> None:
    crops, truth, start = scene
    renderer = Renderer(hand.faces, height=SIZE, width=SIZE)
    with torch.no_grad():
        drawn = [
            renderer(posed.vertices + state.root_cam[:, None], crops.K, posed.appearance, state.light).silhouette
            for state in (truth, start)
            for posed in [hand(state.parameters)]
        ]
    wanted = drawn[0] > 0.5
    mask = segment_hands(crops.image, drawn[1])

    def iou(a: torch.Tensor) -> float:
        return float((a & wanted).sum() / (a | wanted).sum())

    assert iou(mask) > max(0.85, iou(drawn[1] > 0.5))
    torch.testing.assert_close(segment_hands(crops.image, torch.zeros_like(drawn[0])), torch.zeros_like(wanted))


def test_beyond_wrist_is_the_side_of_the_forearm() -> None:
    joints = torch.zeros(1, 21, 2)
    joints[0, 0], joints[0, 9] = torch.tensor([5.0, 6.0]), torch.tensor([5.0, 2.0])
    beyond = beyond_wrist(joints, height=10, width=10)[0].numpy()
    np.testing.assert_array_equal(beyond, np.repeat(np.arange(10)[:, None] + 0.5 > 6, 10, axis=1))


def test_choose_goes_hand_by_hand(scene: tuple) -> None:
    _, truth, start = scene
    a, b = (map_tensors(lambda x: torch.cat((x, x)), state) for state in (truth, start))
    chosen = choose(torch.tensor([True, False]), a, b)
    torch.testing.assert_close(chosen.parameters.pose, torch.cat((truth.parameters.pose, start.parameters.pose)))
    torch.testing.assert_close(chosen.light.ambient, torch.cat((truth.light.ambient, start.light.ambient)))
