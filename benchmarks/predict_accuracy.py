"""How accurate predictions are on rendered photos with ground truth, and what refinement and texture completion add.

    python benchmarks/predict_accuracy.py --hands 16

Photos come from the generator of `hifihr prepare synth` (props, backdrops, forearms, occluders). "keypoints": the
detector's keypoints are the true ones with normal noise of 2 % of the hand's size. "perturbed": the start is the truth
with rotated wrist (0.15 rad), pose (0.15 rad), root (5 % of depth, 5 mm) and the mean shape and texture, once with
those keypoints and once ("blind") without. "image": no keypoints are given; the shipped image network starts the hand;
in "image-held" the joints that it found constrain the refinement as a detector's would. As in `hifihr predict`, the
light of the starts from keypoints and from the image is matched to the photo; the perturbed starts keep the default.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from reporting import report
from shipped_common import shipped_path
from torch import Tensor

from hifihr_core.geometry import turns
from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.hands.skin_bank import SkinBank, draw_skin_bank
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.lifting.lifter import Lifter, load_lifter
from hifihr_core.metrics.pose import pa_mpjpe
from hifihr_core.models.checkpoint import Checkpoint, load_checkpoint
from hifihr_core.models.joint_maps import KeypointEstimate
from hifihr_core.models.shipped import IMAGE_NETWORK, LIFTER
from hifihr_core.placed_hands import LitHands, default_light
from hifihr_core.prediction.look.light_prior import LightPrior, load_light_prior
from hifihr_core.prediction.look.match_light import match_light
from hifihr_core.prediction.predictor import REFINED_MAP_PX
from hifihr_core.prediction.refine import Refined, RefineSettings, refine
from hifihr_core.prediction.starts import from_image, from_keypoints, look
from hifihr_core.records import Batch
from hifihr_core.rendering import Renderer
from hifihr_core.synthesis.generator import Synthesizer
from hifihr_core.synthesis.options import SynthOptions

KEYPOINT_NOISE = 0.02


@dataclass(frozen=True)
class Scene:
    """Crops of photos with ground truth, and the models that start a hand in them."""

    hand: HandModel
    batch: Batch
    renderer: Renderer
    lifter: Lifter
    trained: Checkpoint
    skins: SkinBank
    light_prior: LightPrior

    def match(self, hands: LitHands, crops: Crops, mask: Tensor | None = None) -> LitHands:
        """Return the hands with skin and light inferred, as `hifihr predict` does."""
        return match_light(self.hand, hands, crops, self.skins, self.light_prior, mask=mask)

    def seen(self) -> Crops:
        """Return the crops with keypoints as a detector finds them."""
        batch, generator = self.batch, torch.Generator().manual_seed(1)
        points = project(batch.labels["joints_cam"], batch.K)
        size = (points.amax(dim=1) - points.amin(dim=1)).amax(dim=1)[:, None, None]
        noisy = points + KEYPOINT_NOISE * size * torch.randn(points.shape, generator=generator)
        ones = torch.ones(points.shape[:2])
        return Crops(batch.image, batch.K, torch.eye(3).expand_as(batch.K), noisy, ones, batch.sides)

    def unseen(self) -> Crops:
        """Return the crops without keypoints: no joint has any confidence."""
        crops = self.seen()
        return replace(crops, confidence=torch.zeros_like(crops.confidence))

    @torch.no_grad()
    def look_at(self, crops: Crops) -> tuple[LitHands, KeypointEstimate | None]:
        """Return the image network's hands, under the photo's light, and the joints that it found."""
        estimate, K = look(self.trained.network, crops, network_px=self.trained.settings.data.image_px)
        return self.match(from_image(self.hand, estimate, K), crops), estimate.keypoints


@torch.no_grad()
def keypoint_start(scene: Scene) -> tuple[LitHands, Crops]:
    """Start from the detector's keypoints, under the photo's light."""
    crops = scene.seen()
    return scene.match(from_keypoints(scene.lifter, scene.hand, crops), crops), crops


def perturbed_start(scene: Scene) -> tuple[LitHands, Crops]:
    """Start from the truth with everything perturbed; keypoints constrain the refinement."""
    return perturbed(scene.hand, scene.batch, torch.Generator().manual_seed(2)), scene.seen()


def blind_start(scene: Scene) -> tuple[LitHands, Crops]:
    """Start from the same perturbed truth; only the picture leads back to it."""
    return perturbed_start(scene)[0], scene.unseen()


def image_start(scene: Scene) -> tuple[LitHands, Crops]:
    """Start from the image network, as `hifihr predict` does without a detector."""
    crops = scene.unseen()
    return scene.look_at(crops)[0], crops


def held_start(scene: Scene) -> tuple[LitHands, Crops]:
    """Start from the image network; the joints that it found constrain the refinement."""
    crops = scene.unseen()
    state, found = scene.look_at(crops)
    if found is None:
        raise SystemExit("image-held: this network finds no joints")
    points_px = found.points * crops.image.shape[-1]
    return state, replace(crops, keypoints_px=points_px, confidence=found.confidence)


STARTS: Mapping[str, Callable[[Scene], tuple[LitHands, Crops]]] = {
    "keypoints": keypoint_start,
    "perturbed": perturbed_start,
    "blind": blind_start,
    "image": image_start,
    "image-held": held_start,
}


def perturbed(hand: HandModel, batch: Batch, generator: torch.Generator) -> LitHands:
    """Return the truth with everything perturbed."""
    count = len(batch)

    def noise(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    orient = turns.compose_rotvecs(0.15 * noise(count, 3), batch.labels["global_orient"])
    pose = batch.labels["pose"] + 0.15 * noise(count, hand.pose_dim)
    zeros = torch.zeros(count, hand.shape_dim), torch.zeros(count, hand.texture_dim)
    root = batch.labels["joints_cam"][:, 9] * (1 + 0.05 * noise(count, 1)) + 0.005 * noise(count, 3)
    return LitHands(HandParameters(orient, pose, *zeros), root, default_light(root))


def errors(hand: HandModel, state: LitHands, batch: Batch) -> dict[str, float]:
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


def compare(scene: Scene, start: LitHands, crops: Crops, settings: RefineSettings) -> dict[str, object]:
    """Refine and return the errors before and after."""
    began = time.perf_counter()
    coarse = scene.hand.with_small_maps(REFINED_MAP_PX)
    refined = refine(
        coarse, scene.renderer, start, crops, settings, look=lambda hands, mask: scene.match(hands, crops, mask)
    )
    seconds = (time.perf_counter() - began) / len(scene.batch)
    before, after = (errors(scene.hand, state, scene.batch) for state in (start, refined.hands))
    return {
        "before": {**before, **_means(refined, "before")},
        "after": {**after, **_means(refined, "after")},
        "joints_px_ratio": after["joints_px"] / before["joints_px"],
        "seconds_per_hand": seconds,
    }


def _means(refined: Refined, when: str) -> dict[str, float]:
    return {name: float(value.nanmean()) for name, value in vars(getattr(refined, when)).items()}


def open_scene(hands: int, image_px: int, weights: Path | None, *, first: int = 0) -> Scene:
    """Return held-out synthetic photos and the models; without `weights`, the image network is the shipped one."""
    hand = load_hand("anny")
    return Scene(
        hand,
        Synthesizer(hand, seed=77, options=SynthOptions(image_px=image_px, backgrounds=24)).make(first, hands),
        Renderer(hand.faces, height=image_px, width=image_px),
        load_lifter(shipped_path(LIFTER), hand),
        load_checkpoint(weights or shipped_path(IMAGE_NETWORK)),
        draw_skin_bank(hand),
        load_light_prior(),
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Accuracy of prediction and refinement on rendered photos.")
    parser.add_argument("--hands", type=int, default=16)
    parser.add_argument("--image-px", type=int, default=224)
    parser.add_argument("--starts", default=",".join(STARTS))
    parser.add_argument("--settings", default="{}", help="JSON with other refinement settings")
    parser.add_argument("--weights", type=Path, default=None, help="An image network, else the shipped one.")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    settings = replace(RefineSettings(), **json.loads(options.settings))
    scene = open_scene(options.hands, options.image_px, options.weights)
    results: dict[str, object] = {"hands": options.hands, "image_px": options.image_px, "steps": settings.steps}
    for name in options.starts.split(","):
        results[name] = compare(scene, *STARTS[name](scene), settings)
    report("predict_accuracy", results, options.json)


if __name__ == "__main__":
    main()
