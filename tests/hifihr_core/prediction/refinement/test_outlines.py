import torch

from hifihr_core.prediction.refinement.outlines import find_outline, pair_outlines


def disc(size: int, x: float, y: float, radius: float) -> torch.Tensor:
    at = torch.arange(size) + 0.5
    return ((at[None] - x) ** 2 + (at[:, None] - y) ** 2 < radius**2)[None]


def test_outline_of_a_disc_lies_on_its_circle_and_points_outwards() -> None:
    mask = disc(64, 30.0, 34.0, 15.0)
    outline = find_outline(mask, torch.ones_like(mask))
    away = outline.points_px[0] - torch.tensor([30.0, 34.0])
    assert ((away.norm(dim=1) > 13.4) & (away.norm(dim=1) < 15)).all()
    assert ((away / away.norm(dim=1, keepdim=True) * outline.normals[0]).sum(dim=1) > 0.95).all()
    angles = torch.atan2(away[:, 1], away[:, 0]).sort().values
    assert angles.diff().max() < 0.2  # all round
    assert outline.known.tolist() == [True]


def test_the_picture_border_and_excluded_pixels_are_not_outlines() -> None:
    mask = torch.zeros(2, 32, 32, dtype=torch.bool)
    mask[0, 10:, :] = True
    allowed = torch.ones_like(mask)
    allowed[0, :, 20:] = False
    outline = find_outline(mask, allowed)
    assert outline.points_px[0, :, 1].unique().tolist() == [10.5]
    assert outline.points_px[0, :, 0].max() < 20
    torch.testing.assert_close(outline.normals[0], torch.tensor([0.0, -1.0]).expand(256, 2))
    assert outline.known.tolist() == [True, False]


def test_pairs_lead_from_one_disc_to_the_other() -> None:
    own, wanted = (find_outline(mask, torch.ones_like(mask)) for mask in (disc(64, 30, 32, 12), disc(64, 33, 32, 12)))
    pairs = pair_outlines(own, wanted, reach_px=8.0)
    off = ((own.points_px[0, pairs.of[0]] - pairs.target_px[0]) * pairs.normals[0]).sum(dim=1)
    across = pairs.normals[0, :, 0]
    torch.testing.assert_close(off, -3 * across, atol=1.2, rtol=0)
    assert (pairs.counts == 1).all()


def test_far_points_and_other_sides_do_not_count() -> None:
    here, there = disc(96, 20, 48, 8), disc(96, 76, 48, 8)
    outlines = [find_outline(mask, torch.ones_like(mask)) for mask in (here, there)]
    assert pair_outlines(*outlines, reach_px=8.0).counts.sum() == 0
    thin = torch.zeros(1, 32, 32, dtype=torch.bool)
    thin[:, 4:28, 10:16] = True
    beside = torch.zeros_like(thin)
    beside[:, 4:28, 16:22] = True  # its left side is next to the other's right side
    first, second = (find_outline(mask, torch.ones_like(mask)) for mask in (thin, beside))
    pairs = pair_outlines(first, second, reach_px=3.0)
    side = (first.normals[0, pairs.of[0], 0].abs() > 0.9) & (pairs.normals[0, :, 0].abs() > 0.9)
    assert pairs.counts[0, side].sum() == 0
