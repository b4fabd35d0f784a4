"""Score a hand network on photos with labelled joints; the output of the eyes and of its first blocks is cached."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from learning.feature_engine import BodyEngine
from learning.labelled_photos import NEAR, box_of, errors_of
from learning.photo_hands import as_right_hand, see_crops, stacked

from hifihr_core.eyes.eyes import Eyes
from hifihr_core.files import write_atomically
from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel
from hifihr_core.lifting.evidence import Evidence
from hifihr_core.lifting.hand_network import HandNetwork
from hifihr_core.lifting.seen_definition import as_seen
from hifihr_core.placed_hands import in_front


def see_labelled(folder: Path, cache: Path) -> dict[str, torch.Tensor]:
    """Return the output of the eyes and the first blocks for each labelled hand, mirrored to a right one, and
    `label_px` (N, 21, 3), whose third column is 1 for a labelled joint. The result is stored in `cache`.
    """
    if not cache.exists():
        eyes, engine = Eyes.load(threads=1), BodyEngine()
        entries = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
        rows = [row for entry in entries for row in _see(eyes, engine, folder, entry)]
        with write_atomically(cache) as part:
            np.savez(part, **stacked(rows))
    with np.load(cache, allow_pickle=False) as archive:
        return {name: torch.from_numpy(archive[name]).float() for name in archive.files}


def _see(eyes: Eyes, engine: BodyEngine, folder: Path, entry: dict) -> list[dict[str, np.ndarray]]:
    image = cv2.cvtColor(cv2.imread(str(folder / entry["file"])), cv2.COLOR_BGR2RGB)
    labels = [np.array(one["keypoints"], np.float64) for one in entry["hands"]]
    rows = []
    for label, seen in zip(labels, eyes.look(image, np.stack([box_of(label) for label in labels])), strict=True):
        if seen.side != "right":
            label[:, 0] = image.shape[1] - label[:, 0]
        (row,) = see_crops(engine, *as_right_hand(image, seen), views=1, random=np.random.default_rng(0))
        rows.append({**row, "label_px": label})
    return rows


@torch.no_grad()
def score_labelled(hand: HandModel, network: HandNetwork, seen: dict[str, torch.Tensor]) -> dict[str, float]:
    """Return PCK and mean error of the lifted hand, and PCK of the joints of the network's own blocks, as fractions of
    the size of each hand's labelled box. All are compared in the eyes' joint definition, in which photos are labelled.
    """
    second_px, features = network.see(seen["body"].contiguous(memory_format=torch.channels_last), seen["T_crop_photo"])
    evidence = Evidence(
        spread_px=seen["spread_px"],
        depth_px=seen["depth_px"],
        metres=seen["metres"],
        features=features,
        second_px=second_px,
    )
    points = seen["joints_px"]
    lifted = network.lifter(points, torch.ones_like(points[..., 0]), seen["K"], evidence=evidence)
    joints_cam = hand.joints_of(lifted.parameters) + lifted.root_cam[:, None]
    lifted_px = project(in_front(as_seen(joints_cam, hand.joint_definition)), seen["K"])
    own_px = as_seen(second_px, hand.joint_definition)
    labels = list(seen["label_px"].numpy())
    errors, own = (np.concatenate(errors_of(found.numpy(), labels)) for found in (lifted_px, own_px))
    near = {f"photos: PCK@{part}": float((errors < part).mean()) for part in NEAR}
    return {**near, "mean error": float(errors.mean()), f"own joints: PCK@{NEAR[0]}": float((own < NEAR[0]).mean())}
