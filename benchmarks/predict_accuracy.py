"""How right a prediction is on rendered photos with known truth, and what refinement and texture completion add.

    python benchmarks/predict_accuracy.py --hands 16

Photos come from the generator of `hifihr prepare synth` (props, backdrops, forearms, occluders). "keypoints": the
detector's keypoints are the true ones with normal noise of 2 % of the hand's size. "perturbed": the start is the
truth with turned wrist (0.15 rad), pose (0.15 rad), root (5 % of depth, 5 mm) and the mean shape and texture, once with
those keypoints and once ("blind") with none. "image": no keypoints are given; the shipped image network starts the
hand; in "image-held" the joints that it found hold the refinement as a detector's would.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import roma
import torch
from reporting import report
from torch import Tensor

from hifihr_core.data.synthesis.generator import Synthesizer
from hifihr_core.data.synthesis.options import SynthOptions
from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.metrics.pose import pa_mpjpe
from hifihr_core.models.checkpoint import load_checkpoint
from hifihr_core.models.keypoints import KeypointEstimate
from hifihr_core.models.lifter import load_lifter
from hifihr_core.models.shipped import IMAGE_NETWORK, LIFTER, shipped_model
from hifihr_core.prediction.crops import Crops
from hifihr_core.prediction.light import match_light
from hifihr_core.prediction.refine import Refined, RefineSettings, refine
from hifihr_core.prediction.starts import from_image, from_keypoints, look
from hifihr_core.prediction.state import HandState, default_light
from hifihr_core.records import Batch
from hifihr_core.rendering import Renderer

KEYPOINT_NOISE = 0.02


def photos(hand: HandModel, hands: int, image_px: int) -> Batch:
    """Return crops of held-out synthetic photos."""
    return Synthesizer(hand, seed=77, options=SynthOptions(image_px=image_px, backgrounds=24)).make(0, hands)


def with_keypoints(batch: Batch, generator: torch.Generator) -> Crops:
    """Return the crops with keypoints as a detector finds them."""
    points = project(batch.labels["joints_cam"], batch.K)
    size = (points.amax(dim=1) - points.amin(dim=1)).amax(dim=1)[:, None, None]
    noisy = points + KEYPOINT_NOISE * size * torch.randn(points.shape, generator=generator)
    ones = torch.ones(points.shape[:2])
    return Crops(batch.image, batch.K, torch.eye(3).expand_as(batch.K), noisy, ones, batch.sides)


def perturbed(hand: HandModel, batch: Batch, generator: torch.Generator) -> HandState:
    """Return the truth with everything about it disturbed."""
    count = len(batch)

    def noise(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    orient = roma.rotvec_composition((0.15 * noise(count, 3), batch.labels["global_orient"]))
    pose = batch.labels["pose"] + 0.15 * noise(count, hand.pose_dim)
    zeros = torch.zeros(count, hand.shape_dim), torch.zeros(count, hand.texture_dim)
    root = batch.labels["joints_cam"][:, 9] * (1 + 0.05 * noise(count, 1)) + 0.005 * noise(count, 3)
    return HandState(HandParameters(orient, pose, *zeros), root, default_light(root))


def errors(hand: HandModel, state: HandState, batch: Batch) -> dict[str, float]:
    """Return the mean 2D error (pixels of the crop), the mean and the Procrustes-aligned 3D error (millimetres)."""
    joints = hand.joints_of(state.parameters)
    true_cam = batch.labels["joints_cam"]
    pixels = (project(joints + state.root_cam[:, None], batch.K) - project(true_cam, batch.K)).norm(dim=-1)
    relative = (joints - (true_cam - true_cam[:, 9:10])).norm(dim=-1)
    return {
        "joints_px": float(pixels.mean()),
        "joints_mm": 1000 * float(relative.mean()),
        "pa_mm": 1000 * float(pa_mpjpe(joints, true_cam).mean()),
    }


def compare(
    hand: HandModel, start: HandState, crops: Crops, batch: Batch, settings: RefineSettings, renderer: Renderer
) -> dict[str, object]:
    """Refine and return the errors before and after."""
    began = time.perf_counter()
    refined = refine(hand, renderer, start, crops, settings)
    seconds = (time.perf_counter() - began) / len(batch)
    before, after = errors(hand, start, batch), errors(hand, refined.state, batch)
    return {
        "before": {**before, **_means(refined, "before")},
        "after": {**after, **_means(refined, "after")},
        "joints_px_ratio": after["joints_px"] / before["joints_px"],
        "seconds_per_hand": seconds,
    }


def shipped_path(name: str) -> Path:
    """Return the path of a shipped model; the benchmark means nothing without it."""
    path = shipped_model(name)
    if path is None:
        raise SystemExit(f"{name} does not ship with this installation")
    return path


def _means(refined: Refined, when: str) -> dict[str, float]:
    return {name: float(value.nanmean()) for name, value in vars(getattr(refined, when)).items()}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Accuracy of prediction and refinement on rendered photos.")
    parser.add_argument("--hands", type=int, default=16)
    parser.add_argument("--image-px", type=int, default=224)
    parser.add_argument("--starts", default="keypoints,perturbed,blind,image,image-held")
    parser.add_argument("--settings", default="{}", help="JSON with other refinement settings")
    parser.add_argument("--weights", type=Path, default=None, help="An image network, else the shipped one.")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    hand = load_hand("anny")
    settings = replace(RefineSettings(), **json.loads(options.settings))
    batch = photos(hand, options.hands, options.image_px)
    lifter = load_lifter(shipped_path(LIFTER), hand)
    renderer = Renderer(hand.faces, height=options.image_px, width=options.image_px)

    def keypoint_start() -> tuple[HandState, Crops]:
        crops = with_keypoints(batch, torch.Generator().manual_seed(1))
        with torch.no_grad():
            return match_light(hand, renderer, from_keypoints(lifter, hand, crops), crops), crops

    def perturbed_start() -> tuple[HandState, Crops]:
        crops = with_keypoints(batch, torch.Generator().manual_seed(1))
        return perturbed(hand, batch, torch.Generator().manual_seed(2)), crops

    def blind_start() -> tuple[HandState, Crops]:
        start, crops = perturbed_start()
        return start, replace(crops, confidence=torch.zeros_like(crops.confidence))

    def image_start() -> tuple[HandState, Crops]:
        return look_at(blind_start()[1])[:2]

    def held_start() -> tuple[HandState, Crops]:
        start, crops, found = look_at(blind_start()[1])
        points = found.points * options.image_px
        return start, replace(crops, keypoints_px=points, confidence=found.confidence)

    def look_at(crops: Crops) -> tuple[HandState, Crops, KeypointEstimate]:
        trained = load_checkpoint(options.weights or shipped_path(IMAGE_NETWORK))
        with torch.no_grad():
            estimate, K = look(trained.network, crops, network_px=trained.settings.data.image_px)
            assert estimate.keypoints is not None
            return match_light(hand, renderer, from_image(hand, estimate, K), crops), crops, estimate.keypoints

    starts: dict[str, Callable[[], tuple[HandState, Crops]]] = {
        "keypoints": keypoint_start,
        "perturbed": perturbed_start,
        "blind": blind_start,
        "image": image_start,
        "image-held": held_start,
    }
    results: dict[str, object] = {"hands": options.hands, "image_px": options.image_px, "steps": settings.steps}
    for name in options.starts.split(","):
        results[name] = compare(hand, *starts[name](), batch, settings, renderer)
    report("predict_accuracy", results, options.out)


if __name__ == "__main__":
    main()
