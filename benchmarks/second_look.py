"""How much more accurate the image network's joints are after a second look, at the square around the first ones.

    python benchmarks/second_look.py --hands 80

Photos of 320 pixels come from the generator and are used as a whole, like a photo without a box in `hifihr predict`.
The error is the mean distance of the found joints from the true ones in per cent of the hand's size in the photo.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from reporting import report
from shipped_common import shipped_path

from hifihr_core.geometry.crops import transform_points
from hifihr_core.lifting.hand_crops import cut_crops
from hifihr_core.models.shipped import IMAGE_NETWORK
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.detectors import whole_image
from hifihr_core.photos.reading import as_photo
from hifihr_core.prediction.load_models import LoadedModels, load_models
from hifihr_core.prediction.starts import centred, look
from hifihr_core.synthesis import Synthesizer, SynthOptions

PHOTO_PX, CROP_PX = 320, 224

#: The hand's longer side as a fraction of the photo, and its largest shift from the centre.
SIZES = (((0.5, 0.92), 0.08), ((0.35, 0.5), 0.12), ((0.25, 0.35), 0.2))


@torch.no_grad()
def errors(models: LoadedModels, image: np.ndarray, K: np.ndarray, joints_px: np.ndarray) -> list[float]:
    """Return the error of the first and of the second look, per cent."""

    def found(boxes: Sequence[Detection]) -> float:
        crops = cut_crops(as_photo(image), boxes, K, image_px=CROP_PX)
        estimate, _ = look(models.network, crops, network_px=models.network_px)
        points = estimate.keypoints.points[0].double().numpy() * CROP_PX
        points = transform_points(points, np.linalg.inv(crops.T_crop_photo[0].double().numpy()))
        return 100 * float(np.linalg.norm(points - joints_px, axis=1).mean() / np.ptp(joints_px, axis=0).max())

    first = whole_image(image)
    crops = cut_crops(as_photo(image), first, K, image_px=CROP_PX)
    return [found(first), found(centred(models.network, crops, first, network_px=models.network_px))]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hands", type=int, default=80)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    models = load_models(shipped_path(IMAGE_NETWORK), device=torch.device("cpu"))
    rows = {}
    for fill, shift in SIZES:
        options = SynthOptions(image_px=PHOTO_PX, fill=fill, shift=shift, backgrounds=24)
        batch = Synthesizer(models.hand, seed=4242, options=options).make(0, arguments.hands)
        pictures = (batch.image.permute(0, 2, 3, 1) * 255).round().byte().numpy()
        found = [
            errors(models, *one)
            for one in zip(pictures, batch.K.double().numpy(), batch.labels["joints_px"].numpy(), strict=True)
        ]
        rows[f"hand {fill[0]:.0%} to {fill[1]:.0%} of the photo"] = dict(
            zip(("first", "second"), np.mean(found, axis=0).tolist(), strict=True)
        )
    report("second_look", {"hands": arguments.hands, "error_percent": rows}, arguments.json)


if __name__ == "__main__":
    main()
