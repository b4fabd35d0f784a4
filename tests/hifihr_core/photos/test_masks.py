"""Masks of a hand in a picture whose colours show where it is."""

import numpy as np
import pytest
import torch

from hifihr_core.photos import masks
from hifihr_core.photos.masks import segment_hands, segment_quickly

RADIUS = 0.25


def disc(px: int, *, right: float = 0.0) -> torch.Tensor:
    rows, columns = torch.meshgrid(*2 * [(torch.arange(px) + 0.5) / px - 0.5], indexing="ij")
    return ((rows.square() + (columns - right).square()).sqrt() < RADIUS)[None]


def picture(px: int) -> torch.Tensor:
    """A light disc with some noise on a darker background with stripes."""
    generator = torch.Generator().manual_seed(0)
    ground = torch.where(torch.arange(px) % 8 < 4, 0.2, 0.35).expand(3, px, px)
    skin = torch.tensor([0.8, 0.6, 0.5])[:, None, None]
    return (torch.where(disc(px), skin, ground) + 0.02 * torch.randn(3, px, px, generator=generator)).clamp(0, 1)[None]


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("px", [48, 112, 160])
def test_a_mask_follows_the_picture_and_not_the_drawn_hand(px: int) -> None:
    drawn = disc(px, right=0.03)
    assert iou(segment_hands(picture(px), drawn.float()), disc(px)) > 0.97 > iou(drawn, disc(px))


def test_a_quick_mask_is_right_to_a_few_pixels() -> None:
    assert iou(segment_quickly(picture(160), disc(160, right=0.03)), disc(160)) > 0.93


def test_pixels_out_of_reach_are_background() -> None:
    narrow, wide = (segment_hands(picture(112), disc(112, right=0.06).float(), reach=reach) for reach in (0.04, 0.15))
    assert iou(narrow, disc(112)) + 0.02 < iou(wide, disc(112)) > 0.9


def test_more_starts_vote_only_where_the_first_ones_disagree(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    right = disc(48)[0].numpy()

    def segment(image: np.ndarray, trimap: np.ndarray, seed: int) -> np.ndarray:
        asked.append(seed)
        return right & (seed > 0) if image.mean() < 100 else right

    monkeypatch.setattr(masks, "_segment", segment)
    two = torch.cat((torch.full((1, 3, 48, 48), 0.8), torch.full((1, 3, 48, 48), 0.2)))
    found = segment_hands(two, disc(48).float().repeat(2, 1, 1))
    assert sorted(asked) == [0, 0, 1, 1, 2, 3, 4]
    assert torch.equal(found, disc(48).repeat(2, 1, 1))  # four of five starts against one


def test_hands_do_not_affect_each_other() -> None:
    pictures = torch.cat((picture(112), 1 - picture(112)))
    drawn = disc(112, right=0.03).float().repeat(2, 1, 1)
    both = segment_hands(pictures, drawn)
    for row in range(2):
        torch.testing.assert_close(segment_hands(pictures[row : row + 1], drawn[row : row + 1])[0], both[row])


@pytest.mark.parametrize("px", [48, 112])
@pytest.mark.parametrize("covered", [0.0, 1.0])
def test_where_nothing_can_be_decided_the_mask_is_the_drawn_hand(px: int, covered: float) -> None:
    drawn = torch.full((1, px, px), covered)
    torch.testing.assert_close(segment_hands(picture(px), drawn), drawn > 0.5)
