from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from hifihr_core.hands import HandModel, load_hand
from hifihr_core.records import Batch
from hifihr_core.skeleton import TIPS, WRIST
from hifihr_core.synthesis import Synthesizer, SynthOptions
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.true_motion import draw_motion

PLAIN = SynthOptions(image_px=96, backgrounds=8, occluder=0.0, held_object=0.0, sleeve=0.0, motion_blur=0.0)
#: A probability that draws from the dice but never comes true, so that everything else is drawn alike.
NEVER = 1e-12


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return load_hand("anny", texture_px=128)


def _batch(hand: HandModel, **shares: float) -> Batch:
    return Synthesizer(hand, seed=4, options=replace(PLAIN, **shares)).make(0, 8)


def _changed(one: Batch, other: Batch) -> torch.Tensor:
    """Return the fraction of pixels that differ visibly, per sample."""
    return ((one.image - other.image).abs().amax(dim=1) > 0.1).float().mean(dim=(1, 2))


@pytest.mark.parametrize(
    ("name", "least", "most"), [("ring", 2e-4, 0.03), ("watch", 1e-3, 0.15), ("second_hand", 0.01, 0.7)]
)
def test_an_ingredient_is_visible_and_does_not_change_the_hand(
    hand: HandModel, name: str, least: float, most: float
) -> None:
    without, with_it = _batch(hand, **{name: NEVER}), _batch(hand, **{name: 1.0})
    changed = _changed(without, with_it)
    assert least < float(changed.mean()) < most
    torch.testing.assert_close(with_it.labels["joints_cam"], without.labels["joints_cam"])
    before, after = without.labels["mask"], with_it.labels["mask"]
    assert not bool((after & ~before).any())  # things may cover the hand, never add to it
    assert bool(with_it.present["texture"].all())


def test_a_gloved_hand_has_one_colour_and_no_texture_label(hand: HandModel) -> None:
    without, with_it = _batch(hand, glove=NEVER), _batch(hand, glove=1.0)
    assert not bool(with_it.present["texture"].any())
    assert bool(without.present["texture"].all())
    assert bool(with_it.present["joints_cam"].all())
    torch.testing.assert_close(with_it.labels["mask"], without.labels["mask"])
    inside = with_it.labels["mask"]
    apart = (with_it.image - without.image).abs().mean(dim=1)
    assert float(apart[inside].mean()) > 5 * float(apart[~inside].mean())


def test_a_moving_hand_is_blurred_and_its_surroundings_are_not(hand: HandModel) -> None:
    still, moving = _batch(hand, true_motion=NEVER), _batch(hand, true_motion=1.0)
    torch.testing.assert_close(moving.labels["joints_px"], still.labels["joints_px"])
    torch.testing.assert_close(moving.labels["mask"], still.labels["mask"])
    apart = (moving.image - still.image).abs().mean(dim=1)
    x0, y0, x1, y1 = still.labels["box_px"].round().int().unbind(dim=1)
    for b in range(len(still)):
        outside = torch.ones(96, 96, dtype=torch.bool)
        outside[max(int(y0[b]) - 25, 0) : int(y1[b]) + 25, max(int(x0[b]) - 25, 0) : int(x1[b]) + 25] = False
        if outside.any():
            assert float(apart[b][outside].median()) < 0.02
    assert float(apart[still.labels["mask"]].mean()) > 0.01


def test_motion_moves_tips_further_than_the_wrist_and_is_still_in_its_middle(hand: HandModel) -> None:
    joints = torch.zeros(64, 21, 3)
    joints[:, TIPS] = 0.18 * normalize(torch.randn(64, 5, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    motion = draw_motion(joints, Dice(64, 1, torch.device("cpu")), share=1.0)
    rows = torch.arange(64)
    torch.testing.assert_close(motion.at(joints, rows, 0.0), joints)
    way = motion.at(joints, rows, 0.5) - motion.at(joints, rows, -0.5)
    assert float(way.norm(dim=-1).min()) > 0
    assert float(way[:, TIPS].norm(dim=-1).mean()) > 1.2 * float(way[:, WRIST].norm(dim=-1).mean())
    assert bool(motion.moving.all())


@pytest.mark.parametrize("name", ["second_hand", "glove", "ring", "watch", "true_motion"])
def test_disabled_ingredients_draw_no_random_numbers(hand: HandModel, name: str) -> None:
    """An ingredient with a probability near zero still draws numbers, which shifts all later draws."""
    assert torch.equal(_batch(hand, **{name: 0.0}).image, _batch(hand).image)
    assert not torch.equal(_batch(hand, **{name: NEVER}).image, _batch(hand).image)
