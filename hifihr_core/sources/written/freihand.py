"""Write synthetic data in FreiHAND v2's raw layout, which docs/datasets.md and the dataset's toolbox document."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from hifihr_core.augmentation.colors import change_batch
from hifihr_core.augmentation.draws import draw
from hifihr_core.files import write_atomically
from hifihr_core.geometry.cameras import focal_px, project
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.machine.progress import OnProgress
from hifihr_core.records import Batch
from hifihr_core.skeleton import ROOT
from hifihr_core.sources.written.layouts import (
    EVALUATION_SEED,
    JsonList,
    RawRequest,
    json_lists,
    write_marker,
)
from hifihr_core.synthesis.as_samples import BLOCK, encode
from hifihr_core.synthesis.generator import Synthesizer
from hifihr_core.synthesis.options import CAMERA_RANGES, SynthOptions

_VERSIONS = 4
_LISTS = ("K", "scale", "xyz", "verts", "mano")
_OPTIONS = SynthOptions(view="centered", image_px=224, fill=(0.55, 0.85), distance_m=(0.4, 1.0))
_DETECTIONS = "outputs/freihand-train_openpose_keypoints.json"


def write_freihand(request: RawRequest, on_progress: OnProgress) -> None:
    """Write both splits: four versions of every training picture, masks, maps of hand parts, and annotation lists.

    Versions differ in their colours, those of real data in the background. The list `mano` is zero without MANO.
    """
    hand = load_hand(request.hand_name)
    write_marker(request.root, stand_in_vertices=not hand.has_mano_vertices)
    options = replace(_OPTIONS, photos=request.photos, backgrounds=request.backgrounds)
    total = request.count + request.evaluation
    for folder, count, seed, done in (
        ("training", request.count, request.seed, 0),
        ("evaluation", request.evaluation, request.seed + EVALUATION_SEED, request.count),
    ):
        synthesizer = Synthesizer(hand, seed=seed, options=options)
        _write_split(request.root, folder, count, synthesizer, _after(done, total, on_progress))


def _after(done: int, total: int, on_progress: OnProgress) -> Callable[[int], None]:
    """Return a progress callback for one split that continues the count of earlier splits."""
    return lambda number: on_progress(done + number, total)


def _write_split(
    root: Path, folder: str, count: int, synthesizer: Synthesizer, progress: Callable[[int], None]
) -> None:
    training = folder == "training"
    for name in ("rgb", "mask" if training else "segmap"):
        (root / folder / name).mkdir(parents=True, exist_ok=True)
    names = tuple(f"{folder}_{name}" for name in _LISTS)
    found: list[list] = [[], [], []]
    with json_lists(root, names) as lists:
        for pose in range(count):
            if pose % BLOCK == 0:
                batch = synthesizer.make(pose // BLOCK, min(BLOCK, count - pose))
                versions = [_version(batch, v, synthesizer.seed) for v in range(_VERSIONS if training else 1)]
            row = pose % BLOCK
            for v, version in enumerate(versions):
                path = root / folder / "rgb" / f"{pose + v * count:08d}.jpg"
                path.write_bytes(encode(version, row, synthesizer))
            _write_mask(root / folder, pose, batch, row, training)
            _append(lists, folder, batch, row, synthesizer.hand)
            _detect(found, f"{pose:08d}.jpg", batch, row)
            progress(pose + 1)
    if training:
        _write_detections(root, found)


def _version(batch: Batch, version: int, seed: int) -> Batch:
    """Return the batch unchanged for version 0, and recoloured for other versions."""
    if version == 0:
        return batch
    ranges = replace(CAMERA_RANGES, blur_probability=0.0, noise_probability=0.0)
    draws = draw(ranges, batch.keys, seed=seed, epoch=version, image_px=batch.image.shape[-1])
    return replace(batch, image=change_batch(batch.image, None, draws)[0])


def _write_mask(folder: Path, pose: int, batch: Batch, row: int, training: bool) -> None:
    """Write a training mask as a three-channel JPEG, or an evaluation part map as a PNG with one part."""
    mask = batch.labels["mask"][row].cpu().numpy()
    if training:
        cv2.imwrite(str(folder / "mask" / f"{pose:08d}.jpg"), np.repeat(mask[..., None] * np.uint8(255), 3, axis=2))
    else:
        cv2.imwrite(str(folder / "segmap" / f"{pose:08d}.png"), np.repeat(mask[..., None] * np.uint8(120), 3, axis=2))


def _append(lists: dict[str, JsonList], folder: str, batch: Batch, row: int, hand: HandModel) -> None:
    """Append one pose to every annotation list, in float64: `scale` is exactly the bone length in `xyz`."""
    joints = batch.labels["joints_cam"][row].double()
    values = {
        "K": batch.K[row].double().tolist(),
        "scale": float((joints[ROOT] - joints[ROOT + 1]).norm()),
        "xyz": joints.tolist(),
        "verts": batch.labels["mano_vertices_cam"][row].double().tolist(),
        "mano": [_mano_numbers(batch, row, hand)],
    }
    for name, value in values.items():
        lists[f"{folder}_{name}"].append(value)


def _mano_numbers(batch: Batch, row: int, hand: HandModel) -> list[float]:
    """Return the 61 numbers of `mano`: pose relative to the mean hand, shape, root pixel and scale; 0 without MANO."""
    labels = batch.labels
    if not hand.has_mano_vertices or labels["pose"].shape[1] != 45:
        return [0.0] * 61
    root = labels["root_cam"][row : row + 1]
    pixel = project(root[:, None], batch.K[row : row + 1])[0, 0]
    scale = focal_px(batch.K[row : row + 1]) / root[:, 2]
    parts = (labels["global_orient"][row], labels["pose"][row], labels["shape"][row], pixel, scale)
    return torch.cat(parts).double().tolist()


def _detect(found: list[list], name: str, batch: Batch, row: int) -> None:
    peaks = batch.labels["keypoints_px"][row].floor().long().tolist()
    values = batch.labels["keypoints_confidence"][row][:, None].double().tolist()
    for target, value in zip(found, (peaks, values, [name]), strict=True):
        target.append(value)


def _write_detections(root: Path, found: list[list]) -> None:
    """Write simulated OpenPose detections to the file where HiFiHR keeps them: ``[peaks, values, names]``."""
    path = root / _DETECTIONS
    with write_atomically(path) as part, part.open("w", encoding="utf-8") as file:
        outer = JsonList(file)
        for values in found:
            outer.append(values)
        outer.close()
