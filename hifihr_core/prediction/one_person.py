"""Several photos of one person: a shared skin, and a texture that combines all photos."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from hifihr_core.hands import HandModel
from hifihr_core.hands.skin_bank import SkinBank
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.placed_hands import LitHands, map_tensors
from hifihr_core.prediction.assemble import Reconstruction, views_of
from hifihr_core.prediction.look.light_prior import LightPrior
from hifihr_core.prediction.look.match_light import match_light
from hifihr_core.prediction.look.texture import View
from hifihr_core.rendering.skylight import with_sky


def share_skin(
    model: HandModel, photos: Sequence[Reconstruction], bank: SkinBank, prior: LightPrior
) -> list[Reconstruction]:
    """Return the photos with the same inferred skin for all hands, and with a separate light for each hand."""
    hands = _joined([replace(one.hands, light=with_sky(one.hands.light)) for one in photos])
    refined = [one.refined for one in photos]
    masks = [one.mask for one in refined if one is not None]
    mask = torch.cat(masks) if len(masks) == len(photos) else None
    person = torch.zeros(len(hands), dtype=torch.int64)
    shared = match_light(model, hands, _joined_crops(photos), bank, prior, mask=mask, person=person, certain=True)
    ends = torch.tensor([len(one.hands) for one in photos]).cumsum(0).tolist()
    parts = [slice(end - len(one.hands), end) for one, end in zip(photos, ends, strict=True)]
    return [
        replace(one, hands=map_tensors(lambda values, part=part: values[part], shared))
        for one, part in zip(photos, parts, strict=True)
    ]


def views_of_each(model: HandModel, photos: Sequence[Reconstruction], *, texture_px: int) -> list[list[list[View]]]:
    """Return the views that show the skin of each hand in each photo: its own view first, then those of other hands.

    Only hands to which `share_skin` gave the same skin count; a hardly visible hand kept its own.
    """
    views = [views_of(model, one, texture_px=texture_px) for one in photos]
    flat = [(one.hands.texture[i], view) for one, own in zip(photos, views, strict=True) for i, view in enumerate(own)]

    def showing(skin: torch.Tensor, own: View) -> list[View]:
        return [own, *(view for other, view in flat if view is not own and torch.equal(other, skin))]

    return [
        [showing(one.hands.texture[i], view) for i, view in enumerate(own)]
        for one, own in zip(photos, views, strict=True)
    ]


def _joined(hands: Sequence[LitHands]) -> LitHands:
    return map_tensors(lambda *values: torch.cat(values), *hands)


def _joined_crops(photos: Sequence[Reconstruction]) -> Crops:
    crops = [one.crops for one in photos]
    names = ("image", "K", "T_crop_photo", "keypoints_px", "confidence", "by_eyes")
    joined = {name: torch.cat([getattr(one, name) for one in crops]) for name in names}
    return Crops(**joined, sides=tuple(side for one in crops for side in one.sides))
