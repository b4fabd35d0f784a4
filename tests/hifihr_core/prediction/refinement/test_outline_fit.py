from dataclasses import replace

import pytest
import torch

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.lifting.seen_definition import as_seen
from hifihr_core.placed_hands import LitHands, default_light, map_tensors, mean_texture, pose_hands
from hifihr_core.prediction.refinement.outline_fit import OutlineWeights, fit_outlines
from hifihr_core.rendering import rasterize

SIZE = 112
WEIGHTS = OutlineWeights(steps=8, outline=8000.0)


@pytest.fixture(scope="module")
def scene(hand: HandModel) -> tuple[LitHands, LitHands, Crops, torch.Tensor]:
    """Return the truth, a perturbed start, crops with the true keypoints, and the true masks of two hands."""
    generator = torch.Generator().manual_seed(3)
    parameters = mean_texture(hand, hand.mean_parameters(2))
    parameters = replace(parameters, pose=parameters.pose + 0.15 * torch.randn(2, hand.pose_dim, generator=generator))
    root_cam = torch.tensor([[0.0, 0.02, 0.6], [0.01, 0.03, 0.7]])
    truth = LitHands(parameters, root_cam, default_light(root_cam))
    K = torch.tensor([[280.0, 0, SIZE / 2], [0, 280.0, SIZE / 2], [0, 0, 1]]).expand(2, 3, 3)
    posed = pose_hands(hand, truth, K)
    mask = rasterize(posed.verts_cam, hand.faces, K, height=SIZE, width=SIZE).face >= 0
    crops = Crops(
        torch.full((2, 3, SIZE, SIZE), 0.4), K, torch.eye(3).expand(2, 3, 3), posed.joints_px, torch.ones(2, 21),
        ("right", "right"),
    )  # fmt: skip
    pose = parameters.pose + 0.08 * torch.randn(2, hand.pose_dim, generator=generator)
    start = replace(truth, parameters=replace(parameters, pose=pose), root_cam=root_cam * 1.02 + 0.004)
    return truth, start, crops, mask


def error_px(hand: HandModel, hands: LitHands, crops: Crops) -> torch.Tensor:
    joints = hand.joints_of(hands.parameters) + hands.root_cam[:, None]
    return (project(joints, crops.K) - crops.keypoints_px).norm(dim=-1).mean(dim=1)


def overlap(hand: HandModel, hands: LitHands, crops: Crops, mask: torch.Tensor) -> torch.Tensor:
    posed = pose_hands(hand, hands, crops.K)
    own = rasterize(posed.verts_cam, hand.faces, crops.K, height=SIZE, width=SIZE).face >= 0
    return (own & mask).flatten(1).sum(dim=1) / (own | mask).flatten(1).sum(dim=1)


def test_joints_and_outline_come_closer(hand: HandModel, scene: tuple) -> None:
    _, start, crops, mask = scene
    fitted = fit_outlines(hand, start, crops, mask, WEIGHTS)
    assert (error_px(hand, fitted, crops) < 0.4 * error_px(hand, start, crops)).all()
    assert (overlap(hand, fitted, crops, mask) > 0.93).all()
    torch.testing.assert_close(fitted.texture, start.texture)
    assert fitted.light is start.light


def test_the_outline_alone_leads(hand: HandModel, scene: tuple) -> None:
    _, start, crops, mask = scene
    blind = replace(crops, keypoints_px=torch.full_like(crops.keypoints_px, torch.nan), confidence=torch.zeros(2, 21))
    fitted = fit_outlines(hand, start, blind, mask, WEIGHTS)
    assert (overlap(hand, fitted, crops, mask) > 0.93).all()
    assert (error_px(hand, fitted, crops) < 0.8 * error_px(hand, start, crops)).all()


def test_without_an_outline_the_keypoints_lead(hand: HandModel, scene: tuple) -> None:
    _, start, crops, mask = scene
    fitted = fit_outlines(hand, start, crops, torch.zeros_like(mask), WEIGHTS)
    assert (error_px(hand, fitted, crops) < 0.4 * error_px(hand, start, crops)).all()


def test_the_border_of_the_photo_is_not_an_outline(hand: HandModel, scene: tuple) -> None:
    truth, _, crops, mask = scene
    cut = SIZE // 2
    image = crops.image.clone()
    image[:, :, :cut] = 0
    blind = replace(crops, image=image, confidence=torch.zeros(2, 21))
    seen = mask.clone()
    seen[:, :cut] = False
    ended = fit_outlines(hand, truth, blind, seen, WEIGHTS)
    believed = fit_outlines(hand, truth, replace(blind, image=crops.image), seen, WEIGHTS)
    assert (error_px(hand, ended, crops) < 0.75 * error_px(hand, believed, crops)).all()


def test_a_hand_does_not_depend_on_its_neighbour(hand: HandModel, scene: tuple) -> None:
    _, start, crops, mask = scene
    both = fit_outlines(hand, start, crops, mask, replace(WEIGHTS, enough=0.0))
    one = LitHands(
        type(start.parameters)(*(value[:1] for value in vars(start.parameters).values())), start.root_cam[:1],
        default_light(start.root_cam[:1]),
    )  # fmt: skip
    first = replace(map_tensors(lambda values: values[:1], crops), sides=("right",))
    alone = fit_outlines(hand, one, first, mask[:1], replace(WEIGHTS, enough=0.0))
    torch.testing.assert_close(alone.root_cam, both.root_cam[:1], atol=1e-4, rtol=1e-3)


def test_it_ends_when_nothing_improves(hand: HandModel, scene: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, _, crops, mask = scene
    steps = []
    from hifihr_core.prediction.refinement import outline_fit

    pair = outline_fit._pair
    monkeypatch.setattr(outline_fit, "_pair", lambda *values: steps.append(1) or pair(*values))
    fit_outlines(hand, truth, crops, mask, replace(WEIGHTS, steps=40, enough=0.02))
    assert len(steps) < 20


def test_without_keypoints_a_hand_stays_where_it_began(hand: HandModel, scene: tuple) -> None:
    """A large hand has the same outline as an average hand that is nearer."""
    truth, _, crops, _ = scene
    large = replace(truth, parameters=replace(truth.parameters, shape=torch.full((2, hand.shape_dim), 1.0)))
    verts_cam = pose_hands(hand, large, crops.K).verts_cam
    mask = rasterize(verts_cam, hand.faces, crops.K, height=SIZE, width=SIZE).face >= 0
    blind = replace(crops, confidence=torch.zeros(2, 21))
    free = replace(WEIGHTS, start_without_keypoints=0.0)
    held, drifted = (fit_outlines(hand, large, blind, mask, weights) for weights in (WEIGHTS, free))
    moved = [(one.root_cam - large.root_cam).norm(dim=-1).max() for one in (held, drifted)]
    assert moved[0] < 0.01
    assert moved[1] > 2 * moved[0]


def test_keypoints_of_the_eyes_are_compared_as_the_eyes_define_them(hand: HandModel, scene: tuple) -> None:
    truth, start, crops, mask = scene
    joints_px = pose_hands(hand, truth, crops.K).joints_px
    seen = replace(crops, keypoints_px=as_seen(joints_px, hand.joint_definition), by_eyes=torch.tensor([True, False]))
    fitted = fit_outlines(hand, start, seen, mask, WEIGHTS)
    off = (pose_hands(hand, fitted, crops.K).joints_px - joints_px).norm(dim=-1).mean(dim=1)
    assert off[0] < 0.6 * off[1]
