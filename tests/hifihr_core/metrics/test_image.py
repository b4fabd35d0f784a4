"""Texture metrics: by hand, and SSIM against a direct convolution."""

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from hifihr_core.errors import AssetError
from hifihr_core.metrics.image import (
    TexturePair,
    average_metrics,
    paper_metrics,
    strict_metrics,
    tight_crop,
)
from hifihr_core.metrics.perceptual import load_lpips
from hifihr_core.metrics.psnr import MAX_PSNR_DB, hand_psnr


def box_mask(size=96, rows=(20, 60), columns=(30, 80)):
    mask = np.zeros((size, size), bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


def make_pair(color=0.4, photo=0.5, mask=None, coverage=None):
    """A render of one colour over a photo of another."""
    mask = box_mask() if mask is None else mask
    coverage = mask.astype(float) if coverage is None else coverage
    part = coverage[..., None]
    one = np.ones((*mask.shape, 3))
    return TexturePair(color * part + one * (1 - part), color * part * one, photo * one, coverage)


def test_paper_means_are_over_the_whole_picture():
    pair = make_pair()
    share = box_mask().mean()
    values = paper_metrics(pair, mask=box_mask(), lpips=None)
    assert values["l1"] == pytest.approx(0.1 * share)
    assert values["l2"] == pytest.approx(0.01 * share)
    assert values["psnr"] == pytest.approx(-10 * np.log10(0.01 * share))
    assert values["lpips"] is None


def test_strict_means_are_over_the_hand():
    values = strict_metrics(make_pair(), mask=box_mask(), lpips=None)
    assert values["l1"] == pytest.approx(0.1)
    assert values["psnr"] == pytest.approx(20)
    assert values["coverage"] == pytest.approx(1)
    assert values["iou"] == pytest.approx(1)


def test_a_missing_part_is_white_in_paper_and_black_in_strict():
    mask = box_mask()
    coverage = mask.astype(float)
    coverage[:40] = 0
    pair = make_pair(coverage=coverage)
    assert strict_metrics(pair, mask=mask, lpips=None)["l1"] == pytest.approx(0.5 * 0.1 + 0.5 * 0.5)
    assert strict_metrics(pair, mask=mask, lpips=None)["coverage"] == pytest.approx(0.5)
    assert paper_metrics(pair, mask=mask, lpips=None)["l1"] == pytest.approx((0.3) * mask.mean())


@pytest.mark.parametrize(("covered", "error"), [(0.75, 0.75 * 0.25 * 0.6), (0.5, 0.25 * 0.6), (0.25, 0.75 * 0.9)])
def test_the_edge_of_a_perfect_hand_shows_the_photo_behind_it(covered, error):
    """A hand of 0.3 before 0.9: laid over the photo it is off by c (1 - c) 0.6; below half covered, by (1 - c) 0.9."""
    mask = box_mask()
    coverage = np.where(mask, covered, 0.0)
    part = coverage[..., None] * np.ones(3)
    pair = TexturePair(0.3 * part + 1 - part, 0.3 * part, 0.3 * part + 0.9 * (1 - part), coverage)
    assert strict_metrics(pair, mask=mask, lpips=None)["l1"] == pytest.approx(error)


def test_the_psnr_of_a_batch_is_the_strict_one():
    random = np.random.default_rng(0)
    coverage = np.stack([random.uniform(size=(24, 24)), np.ones((24, 24))])
    photo, color = random.uniform(size=(2, 24, 24, 3)), random.uniform(0, 1.3, size=(2, 24, 24, 3))
    mask = random.uniform(size=(2, 24, 24)) > 0.4
    on_black = color * coverage[..., None]
    pictures = [torch.from_numpy(picture).movedim(-1, 1) for picture in (on_black, photo)]
    found = hand_psnr(pictures[0], torch.from_numpy(coverage), pictures[1], torch.from_numpy(mask))
    for one in range(2):
        pair = TexturePair(on_black[one], on_black[one], photo[one], coverage[one])
        assert float(found[one]) == pytest.approx(strict_metrics(pair, mask=mask[one], lpips=None)["psnr"])
    equal = hand_psnr(pictures[1], torch.ones(2, 24, 24), pictures[1], torch.from_numpy(mask))
    assert equal.tolist() == [MAX_PSNR_DB] * 2


def test_equal_pictures_have_no_error():
    pair = make_pair(color=0.5)
    for values in (paper_metrics(pair, mask=box_mask(), lpips=None), strict_metrics(pair, mask=box_mask(), lpips=None)):
        assert values["l1"] == 0
        assert values["psnr"] == float("inf")
        assert values["ssim"] == pytest.approx(1)


def test_paper_ssim_is_the_gaussian_one_with_zero_padding():
    rng = np.random.default_rng(0)
    pictures = rng.uniform(size=(2, 40, 40, 3))
    x = np.arange(-5, 6)
    kernel = np.outer(*2 * (np.exp(-(x**2) / 4.5),))
    kernel /= kernel.sum()

    def blur(plane):
        return convolve2d(plane, kernel, mode="same")

    expected = []
    for a, b in zip(pictures[0].transpose(2, 0, 1), pictures[1].transpose(2, 0, 1), strict=True):
        mean_a, mean_b = blur(a), blur(b)
        var_a, var_b, cov = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
        top = (2 * mean_a * mean_b + 1e-4) * (2 * cov + 9e-4)
        expected.append(top / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)))
    whole = np.ones((40, 40), bool)
    pair = TexturePair(pictures[0], pictures[0], pictures[1], whole.astype(float))
    assert paper_metrics(pair, mask=whole, lpips=None)["ssim"] == pytest.approx(np.mean(expected), abs=1e-9)


def test_strict_ignores_everything_outside_the_hand():
    mask = box_mask()
    photo = np.random.default_rng(0).uniform(size=(96, 96, 3))
    other = np.where(mask[..., None], photo, 0.9)
    pair = make_pair()
    values = [
        strict_metrics(TexturePair(pair.on_white, pair.on_black, p, pair.coverage), mask=mask, lpips=None)
        for p in (photo, other)
    ]
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        ((0, 5), (90, 96), (slice(0, 64), slice(32, 96))),
        ((10, 90), (40, 44), (slice(10, 90), slice(10, 74))),
        ((0, 96), (0, 96), (slice(0, 96), slice(0, 96))),
    ],
)
def test_tight_crop_stays_inside_and_is_large_enough(rows, columns, expected):
    assert tight_crop(box_mask(rows=rows, columns=columns)) == expected


def test_tight_crop_of_a_small_picture_is_the_picture():
    assert tight_crop(box_mask(size=32, rows=(3, 9), columns=(30, 32))) == (slice(0, 32), slice(0, 32))


def test_an_empty_mask_is_a_wrong_call():
    with pytest.raises(ValueError, match="mask is empty"):
        strict_metrics(make_pair(), mask=np.zeros((96, 96), bool), lpips=None)


def test_average_skips_what_was_not_computed():
    assert average_metrics([{"l1": 1.0, "lpips": None}, {"l1": 2.0, "lpips": None}]) == {"l1": 1.5, "lpips": None}


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    """AlexNet with random weights, in the form of torchvision's file."""
    from torchvision.models import alexnet

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("trunk") / "alexnet.pth"
    torch.save({k: v for k, v in alexnet(weights=None).state_dict().items() if k.startswith("features")}, path)
    return path


def test_lpips_takes_its_trunk_from_the_file(trunk):
    lpips = load_lpips(trunk)
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.uniform(size=(2, 3, 64, 64))).float() for _ in range(2))
    torch.testing.assert_close(lpips(a, a), torch.zeros(2))
    torch.testing.assert_close(lpips(a, b), load_lpips(trunk)(a, b))
    assert (lpips(a, b) > 0).all()
    pair = make_pair()
    assert strict_metrics(pair, mask=box_mask(), lpips=lpips)["lpips"] > 0


def test_a_wrong_trunk_is_refused(tmp_path):
    path = tmp_path / "alexnet.pth"
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(AssetError, match="hifihr assets fetch lpips-alex"):
        load_lpips(path)
    path.write_bytes(b"no weights")
    with pytest.raises(AssetError, match="not torchvision's weights"):
        load_lpips(path)
