"""Draw sample pictures: the network's input, its output, and an overlay of both."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from hifihr_core.drawing import Picture, draw_skeleton, to_bytes
from hifihr_core.files import write_atomically
from hifihr_core.models.placing import PlacedEstimate
from hifihr_core.records import Batch
from hifihr_core.training.setup import Run
from hifihr_core.training.step import predict

FOLDER = Path("samples")

#: Samples per picture, in rows.
ROWS = 4

#: Colours of skeletons, RGB: predicted, and the label of the supervision level.
PREDICTED, TRUTH = (255, 80, 40), (60, 220, 90)


@torch.no_grad()
def save_pictures(run: Run, batch: Batch, step: int) -> Path:
    """Draw the first samples of a batch as a PNG, one per row, and return its path.

    A row is input | render | overlay | silhouette, or input | skeletons if the run does not render. The true skeleton
    is drawn only if the supervision level may read it. Raises: DataError if the file cannot be written.
    """
    was_training = {module: module.training for module in run.network.modules()}
    run.network.eval()
    prediction = predict(run, batch, run.network(batch.image, batch.K))
    for module, training in was_training.items():
        module.training = training
    truth = next((batch.labels[n] for n in ("joints_px", "keypoints_px") if n in batch.labels), None)
    rows = [draw_row(batch, prediction, truth, b) for b in range(min(ROWS, len(batch)))]
    path = run.folder / FOLDER / f"step_{step:07d}.png"
    with write_atomically(path) as part:
        encoded = cv2.imencode(".png", cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))[1]
        part.write_bytes(encoded.tobytes())
    return path


def draw_row(batch: Batch, prediction: PlacedEstimate, truth: Tensor | None, b: int) -> Picture:
    """Return the panels of sample `b` side by side; `truth` contains the true joints in pixels, if they are known."""
    photo = to_bytes(batch.image[b])
    overlay = photo.copy()
    panels = [photo]
    rendered = prediction.rendered
    if rendered is not None:
        coverage = rendered.silhouette[b]
        panels.append(to_bytes(rendered.image[b]))
        overlay = to_bytes(rendered.image[b] + (1 - coverage) * batch.image[b])
    if truth is not None:
        draw_skeleton(overlay, truth[b].cpu().numpy(), color=TRUTH)
    draw_skeleton(overlay, prediction.joints_px[b].cpu().numpy(), color=PREDICTED)
    panels.append(overlay)
    if rendered is not None:
        panels.append(to_bytes(rendered.silhouette[b].expand(3, -1, -1)))
    return np.concatenate(panels, axis=1)
