"""Synthetic pictures as samples of a dataset; sample i is the same in every range that is requested."""

from collections.abc import Iterator

import cv2
import numpy as np

from hifihr_core.randomness import uniforms
from hifihr_core.records import Batch, Sample
from hifihr_core.synthesis.generator import Synthesizer

#: Samples are rendered in blocks of this size: sample i is row ``i % BLOCK`` in batch ``i // BLOCK``.
BLOCK = 16


def samples(synthesizer: Synthesizer, start: int, stop: int) -> Iterator[Sample]:
    """Yield samples start..stop-1 of a generator, with pictures as JPEG and masks as 1-bit PNG."""
    for number in range(start // BLOCK, -(-stop // BLOCK)):
        batch = synthesizer.make(number, BLOCK)
        for row in range(max(start - number * BLOCK, 0), min(stop - number * BLOCK, BLOCK)):
            yield as_sample(batch, row, f"{number * BLOCK + row:08d}", synthesizer)


def as_sample(batch: Batch, row: int, key: str, synthesizer: Synthesizer) -> Sample:
    """Return one row of a synthetic batch as a sample called `key`."""
    labels = {
        name: np.asarray(values[row].cpu().numpy(), np.float32)
        for name, values in batch.labels.items()
        if name != "mask"
    }
    return Sample(
        key=key,
        annotation=key,
        image=encode(batch, row, synthesizer),
        K=batch.K[row].cpu().numpy(),
        labels=labels,
        mask=encode_mask(batch, row),
        side=batch.sides[row],
    )


def encode(batch: Batch, row: int, synthesizer: Synthesizer, extension: str = ".jpg") -> bytes:
    """Return one encoded picture: by default a JPEG, whose quality is random but depends only on seed and key."""
    pixels = np.rint(255 * batch.image[row].clamp(0, 1).permute(1, 2, 0).cpu().numpy()).astype(np.uint8)
    low, high = synthesizer.options.camera.jpeg_quality
    quality = int(low + (high - low) * uniforms([batch.keys[row]], 1, synthesizer.seed, "jpeg")[0, 0])
    options = (cv2.IMWRITE_JPEG_QUALITY, quality) if extension == ".jpg" else ()
    return cv2.imencode(extension, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def encode_mask(batch: Batch, row: int) -> bytes:
    """Return the mask of one picture as a 1-bit PNG."""
    mask = batch.labels["mask"][row].cpu().numpy().astype(np.uint8) * 255
    return cv2.imencode(".png", mask, (cv2.IMWRITE_PNG_BILEVEL, 1))[1].tobytes()
