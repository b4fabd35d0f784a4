"""Errors of all ways from the eyes' joints to a hand, on rendered hands with ground truth."""

from pathlib import Path

import torch
from learning.eye_errors import sigma_px
from learning.seen_files import read_seen

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel
from hifihr_core.lifting.fitting import fit_keypoints
from hifihr_core.lifting.hand_network import HandNetwork, load_hand_network
from hifihr_core.lifting.lifter import Lifter, load_lifter
from hifihr_core.lifting.noisy_keypoints import KeypointBatch
from hifihr_core.lifting.second_sight import fit_seen
from hifihr_core.lifting.seen_batch import SeenHands
from hifihr_core.lifting.seen_definition import as_seen
from hifihr_core.lifting.train_hand_network import look_with
from hifihr_core.metrics.pose import mpjpe, pa_mpjpe
from hifihr_core.models.shipped import LIFTER, shipped_model
from hifihr_core.placed_hands import PlacedHands, in_front

BATCH = 64


@torch.no_grad()
def score_starts(
    hand: HandModel, folders: tuple[Path, Path], network_path: Path | None, *, most: int | None
) -> dict[str, dict[str, float]]:
    """Return the means over hands of every row; image errors in per cent of the hand's size.

    `folders` are those of `tools/see_hands.py` and `tools/see_closer.py`.
    """
    seen, sums = read_seen(folders[:1], folders[1:], most=most), dict[str, dict[str, float]]()
    lifter_path = shipped_model(LIFTER)
    assert lifter_path is not None
    lifter = load_lifter(lifter_path, hand)
    network = None if network_path is None else load_hand_network(network_path, hand)
    for which in torch.arange(len(seen)).split(BATCH):
        truth = seen.truth(which)
        for name, placed in _starts(hand, seen, which, truth, lifter, network).items():
            for column, values in _errors(hand, placed, truth).items():
                row = sums.setdefault(name, {})
                row[column] = row.get(column, 0.0) + float(values.sum()) / len(seen)
    return sums


def _starts(
    hand: HandModel,
    seen: SeenHands,
    which: torch.Tensor,
    truth: KeypointBatch,
    lifter: Lifter,
    network: HandNetwork | None,
) -> dict[str, PlacedHands | None]:
    points, ones, K = truth.keypoints_px, truth.confidence, truth.K
    lifted = lifter(points, ones, K)
    rows: dict[str, PlacedHands | None] = {"the eyes": None, "lifter": lifted}
    rows["lifter, fit"] = fit_keypoints(hand, lifted, points, ones, K)
    if network is not None:
        _, evidence = look_with(network, seen, which)
        sighted = network.lifter(points, ones, K, evidence=evidence)
        rows["hand network"] = sighted
        rows["hand network, fit"] = fit_seen(
            hand,
            sighted,
            points,
            K,
            found=ones,
            sigma_px=sigma_px(seen, which),
            second_px=evidence.second_px,
        )
    return rows


def _errors(hand: HandModel, placed: PlacedHands | None, truth: KeypointBatch) -> dict[str, torch.Tensor]:
    true_px = project(truth.joints_cam, truth.K)
    size_px = (true_px.amax(dim=1) - true_px.amin(dim=1)).amax(dim=1)
    if placed is None:
        return {"image %": 100 * (truth.keypoints_px - true_px).norm(dim=-1).mean(dim=1) / size_px}
    joints, true_joints = hand.joints_of(placed.parameters), truth.joints_cam - truth.root_cam[:, None]
    found_px = project(in_front(joints + placed.root_cam[:, None]), truth.K)
    as_seen_px = project(in_front(as_seen(joints + placed.root_cam[:, None], hand.joint_definition)), truth.K)
    return {
        "image %": 100 * (found_px - true_px).norm(dim=-1).mean(dim=1) / size_px,
        "PA-MPJPE mm": 1000 * pa_mpjpe(joints, true_joints),
        "joints mm": 1000 * mpjpe(joints, true_joints),
        "to the eyes %": 100 * (as_seen_px - truth.keypoints_px).norm(dim=-1).mean(dim=1) / size_px,
    }
