"""Another look at a finished batch: the augmentation of the stream, on pictures that were never in a file."""

import numpy as np
import torch

from hifihr_core.augmentation.colors import change_batch
from hifihr_core.augmentation.draws import AugmentRanges, Crops, draw, place
from hifihr_core.augmentation.moves import move_labels
from hifihr_core.records import Batch
from hifihr_core.stream.decode import binarize, warp_on_device


def vary(batch: Batch, ranges: AugmentRanges, *, seed: int, epoch: int) -> Batch:
    """Return square crops moved and coloured anew, labels with them: a pure function of keys, seed and epoch.

    JPEG compression and mirroring, which `ranges` may ask for, are left out. Black comes in where a picture ends.
    """
    side = batch.image.shape[-1]
    draws = draw(ranges, batch.keys, seed=seed, epoch=epoch, image_px=side)
    count = len(batch)
    crops = Crops(np.full((count, 2), side / 2), np.full(count, float(side)), np.full(count, float(side)))
    _, K, motion = place(draws, batch.K.double().cpu().numpy(), crops, image_px=side)
    T_new_old = motion.T_new_old.to(batch.image.device)
    labels = dict(batch.labels)
    mask = labels.pop("mask", None)
    layers = batch.image if mask is None else torch.cat((batch.image, mask[:, None].to(batch.image)), dim=1)
    moved = warp_on_device((255 * layers).to(torch.uint8).unbind(), T_new_old, image_px=side)
    visible = None if mask is None else binarize(moved[:, 3:])
    image, visible = change_batch(moved[:, :3], visible, draws)
    labels, present = move_labels(labels, batch.present, motion)
    if visible is not None:
        labels["mask"] = visible
    return Batch(image, torch.from_numpy(K).to(batch.K), batch.keys, batch.sides, labels, present)
