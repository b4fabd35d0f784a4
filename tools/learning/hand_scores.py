"""Errors of a hand network on hands with ground truth."""

import torch

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel
from hifihr_core.lifting.hand_network import HandNetwork
from hifihr_core.lifting.seen_batch import SeenHands
from hifihr_core.lifting.train_hand_network import lift_with
from hifihr_core.lifting.train_lifter import evaluate_lifter
from hifihr_core.metrics.pose import mpjpe, pa_mpjpe
from hifihr_core.placed_hands import in_front

BATCH = 64
#: The eyes are right about a hand if their mean error is below this fraction of its size.
RIGHT = 0.06


@torch.no_grad()
def score(hand: HandModel, network: HandNetwork, seen: SeenHands) -> dict[str, float]:
    """Return the means over hands in the units that their names give (mm, or per cent of the picture's width).

    `right` marks the hands whose keypoints are accurate to `RIGHT`; `clean` and `noisy` use keypoints alone, exact or
    with noise of 3 % of the hand's size.
    """
    rows: dict[str, list[torch.Tensor]] = {}
    for which in torch.arange(len(seen)).split(BATCH):
        lifted, truth, evidence = lift_with(network, seen, which)
        joints, true_joints = hand.joints_of(lifted.parameters), truth.joints_cam - truth.root_cam[:, None]
        true_px = project(truth.joints_cam, truth.K)
        found_px = project(in_front(joints + lifted.root_cam[:, None]), truth.K)
        hand_px = (true_px.amax(dim=1) - true_px.amin(dim=1)).amax(dim=1)
        row = {
            "pa_mm": 1000 * pa_mpjpe(joints, true_joints),
            "joints_mm": 1000 * mpjpe(joints, true_joints),
            "eyes_share": _error(truth.keypoints_px, true_px) / hand_px,
            "second_share": _error(evidence.second_px, true_px) / hand_px,
            "image_share": _error(found_px, true_px) / hand_px,
            "eyes_px": _error(truth.keypoints_px, true_px),
            "second_px": _error(evidence.second_px, true_px),
            "image_px": _error(found_px, true_px),
        }
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    columns = {name: torch.cat(values) for name, values in rows.items()}
    right = columns["eyes_share"] < RIGHT
    found = {name: float(values.mean()) for name, values in columns.items()}
    found |= {"pa_mm_median": float(columns["pa_mm"].median()), "pa_mm_right": float(columns["pa_mm"][right].mean())}
    for name, noise in (("clean", 0.0), ("noisy", 0.03)):
        found[f"pa_mm_{name}"] = evaluate_lifter(hand, network.lifter, hands=512, noise_share=noise).pa_joints_mm
    return found


def _error(found_px: torch.Tensor, true_px: torch.Tensor) -> torch.Tensor:
    return (found_px - true_px).norm(dim=-1).mean(dim=1)
