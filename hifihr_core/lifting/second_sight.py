"""Run the hand network on hands that the eyes (the built-in detector) found, for evidence beyond keypoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.eyes.engine import Engine
from hifihr_core.eyes.looks import NEARER, spread_of
from hifihr_core.eyes.networks import LANDMARK_PX
from hifihr_core.eyes.pyramid import Pyramid
from hifihr_core.eyes.regions import about_joints
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.geometry.crops import flip_horizontal, image_scale
from hifihr_core.hands import HandModel
from hifihr_core.lifting.evidence import Evidence
from hifihr_core.lifting.fitting import SEEN_HANDS, FitWeights, fit_keypoints
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.lifting.hand_network import HandNetwork, to_photo, whole_network
from hifihr_core.lifting.seen_definition import as_seen, seen_definition
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.reading import Photo
from hifihr_core.placed_hands import PlacedHands

#: A keypoint with an expected error of this fraction of half the hand's size has weight 1; the maximum is
#: `_MOST_TRUST`.
_USUAL_SIGMA, _MOST_TRUST = 0.045, 1.5
#: Eyes and hand network usually differ by this fraction of the hand's size in photos; any excess, times the factor,
#: adds to the error.
_USUALLY_APART, _DOUBT = 0.06, 5.0
#: Number of looks, each at the region around the joints found last: the first look finds a hand that the eyes nearly
#: missed, the second sees it well.
ROUNDS = 2
#: Steps of the fit: the priors are weak here, so more are needed than elsewhere.
FIT_STEPS = 8


@dataclass(frozen=True)
class Sighted:
    """The hands of a batch of crops that the eyes found (`which`), and the evidence for each of them.

    `sigma_px` is the expected error of each keypoint per axis, in pixels of the crop.
    """

    which: Bool[Tensor, " B"]
    evidence: Evidence
    sigma_px: Float[Tensor, "N 21"]


class SecondSight:
    """The loaded hand network: its blocks run in onnxruntime on the CPU, its lifter in torch on the lifter's device."""

    def __init__(self, network: HandNetwork, *, threads: int = 0) -> None:
        self._network, self._threads = network, threads

    @cached_property
    def _engine(self) -> Engine:
        """The engine for the blocks, built when the first hand is processed."""
        return Engine(whole_network(self._network), threads=self._threads, image_px=LANDMARK_PX)

    def look(self, photo: Photo, detections: Sequence[Detection], crops: Crops) -> Sighted | None:
        """Return the evidence for the hands whose keypoints come from the eyes, or None if there are none."""
        hands = [(number, one.seen) for number, one in enumerate(detections) if one.seen is not None]
        if not hands:
            return None
        numbers = [number for number, _ in hands]
        T_crop_image = crops.T_crop_photo.double().cpu().numpy()[numbers] @ np.linalg.inv(photo.T_image_photo)
        left = np.array([crops.sides[number] == "left" for number in numbers])
        seen = [one.resized(tuple(np.diag(photo.T_image_photo)[:2].tolist())) for _, one in hands]
        evidence = self.evidence(Pyramid(photo.image), seen, left, T_crop_image)
        scale = np.array([image_scale(T) for T in T_crop_image])[:, None]
        which = torch.zeros(len(detections), dtype=torch.bool)
        which[numbers] = True
        sigma_px = torch.from_numpy(np.stack([one.sigma_px for one in seen]) * scale).float()
        device = crops.K.device
        return Sighted(which.to(device), evidence.to(device), sigma_px.to(device))

    def evidence(
        self,
        pyramid: Pyramid,
        seen: Sequence[SeenHand],
        left: Bool[np.ndarray, " N"],
        T_crop_image: Float[np.ndarray, "N 3 3"],
    ) -> Evidence:
        """Return the evidence for each hand in pixels and axes of its crop, in which a left hand is mirrored.

        `seen` are the hands in the picture of `pyramid`; `left` marks left hands.
        """
        points_px = np.stack([one.joints_px for one in seen])
        for _ in range(ROUNDS):
            points_px, features = self._run(pyramid, points_px, left)
        T = torch.from_numpy(T_crop_image)
        second_px = torch.from_numpy(points_px) @ T[:, :2, :2].mT + T[:, None, :2, 2]
        scale = np.array([image_scale(T) for T in T_crop_image])[:, None]
        mirror = np.where(left[:, None, None], [-1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
        return Evidence(
            spread_px=torch.from_numpy(np.stack([spread_of(one) for one in seen]) * scale).float(),
            depth_px=torch.from_numpy(np.stack([one.depth_px for one in seen]) * scale).float(),
            metres=torch.from_numpy(np.stack([one.metres for one in seen]) * mirror).float(),
            features=torch.from_numpy(features).float(),
            second_px=second_px.float(),
        )

    def _run(
        self, pyramid: Pyramid, about_px: Float[np.ndarray, "N 21 2"], left: Bool[np.ndarray, " N"]
    ) -> tuple[Float[np.ndarray, "N 21 2"], Float[np.ndarray, "N F"]]:
        """Return the joints, in photo pixels, and the features that the network finds in crops around `about_px`."""
        regions = about_joints(about_px)
        regions = regions.moved(np.zeros((len(left), 2)), np.full(len(left), NEARER), np.zeros(len(left)))
        joints, features = self._engine(pyramid.cut(regions, LANDMARK_PX, mirrored=left))
        flips = np.where(left[:, None, None], flip_horizontal(LANDMARK_PX), np.eye(3))
        T_net_photo = torch.from_numpy(flips @ regions.transforms(LANDMARK_PX))
        found = torch.from_numpy(joints.reshape(-1, 21, 3)[..., :2]).double()
        return to_photo(found, T_net_photo).numpy(), features

    def lift(self, sighted: Sighted, crops: Crops) -> PlacedHands:
        """Return the hands of `sighted`, lifted from their keypoints in the crops and the evidence."""
        which = sighted.which
        found = (crops.confidence[which] > 0).float()
        return self.lift_seen(crops.keypoints_px[which], found, crops.K[which], sighted.evidence)

    def lift_seen(
        self,
        keypoints_px: Float[Tensor, "B 21 2"],
        found: Float[Tensor, "B 21"],
        K: Float[Tensor, "B 3 3"],
        evidence: Evidence,
    ) -> PlacedHands:
        """Return right hands, lifted from the evidence and the keypoints; keypoints with `found` 0 are ignored."""
        return self._network.lifter(keypoints_px, found, K, evidence=evidence)

    @property
    def device(self) -> torch.device:
        """The device of the lifter."""
        return next(self._network.parameters()).device

    def start(self, hand: HandModel, sighted: Sighted, crops: Crops, weights: FitWeights = SEEN_HANDS) -> PlacedHands:
        """Return the hands of `sighted`, lifted and then fitted to their keypoints; see `fit_seen`."""
        which = sighted.which
        points, found = crops.keypoints_px[which], (crops.confidence[which] > 0).float()
        return fit_seen(
            hand,
            self.lift(sighted, crops),
            points,
            crops.K[which],
            found=found,
            sigma_px=sighted.sigma_px,
            second_px=sighted.evidence.second_px,
            weights=weights,
        )


def fit_seen(
    hand: HandModel,
    lifted: PlacedHands,
    keypoints_px: Float[Tensor, "B 21 2"],
    K: Float[Tensor, "B 3 3"],
    *,
    found: Float[Tensor, "B 21"],
    sigma_px: Float[Tensor, "B 21"],
    second_px: Float[Tensor, "B 21 2"],
    weights: FitWeights = SEEN_HANDS,
) -> PlacedHands:
    """Fit lifted hands to the eyes' keypoints, weighted by their expected error, with the lifted hand as a prior.

    Keypoints for which `found` is 0 are ignored. The fit compares joints in the eyes' definition; the hands keep their
    own.
    """
    definition = seen_definition(hand.joint_definition)
    trust = found * trust_of(keypoints_px, sigma_px, as_seen(second_px, hand.joint_definition))
    return fit_keypoints(hand, lifted, keypoints_px, trust, K, steps=FIT_STEPS, weights=weights, definition=definition)


def trust_of(
    keypoints_px: Float[Tensor, "B 21 2"], sigma_px: Float[Tensor, "B 21"], second_px: Float[Tensor, "B 21 2"]
) -> Float[Tensor, "B 21"]:
    """Return the weight of each keypoint in a fit, from its expected error per axis.

    If the hand network's joint (`second_px`) is far from the eyes', one of them is wrong, and the keypoint counts less.
    """
    return trust_of_sigma(keypoints_px, doubted_sigma(keypoints_px, sigma_px, second_px))


def trust_of_sigma(keypoints_px: Float[Tensor, "B 21 2"], sigma_px: Float[Tensor, "B 21"]) -> Float[Tensor, "B 21"]:
    """Return the weight of each keypoint in a fit, given its expected error `sigma_px` per axis."""
    sigma = sigma_px / _size_px(keypoints_px)
    return (_USUAL_SIGMA / 2 / sigma.clamp_min(1e-6)).clamp_max(_MOST_TRUST)


def doubted_sigma(
    keypoints_px: Float[Tensor, "B 21 2"], sigma_px: Float[Tensor, "B 21"], second_px: Float[Tensor, "B 21 2"]
) -> Float[Tensor, "B 21"]:
    """Return the expected error of each keypoint per axis, pixels: larger if `second_px` disagrees."""
    size_px = _size_px(keypoints_px)
    apart = (second_px - keypoints_px).norm(dim=-1) / size_px - _USUALLY_APART
    return torch.hypot(sigma_px, _DOUBT * size_px * apart.clamp_min(0))


def _size_px(keypoints_px: Float[Tensor, "B 21 2"]) -> Float[Tensor, "B 1"]:
    return (keypoints_px.amax(dim=1) - keypoints_px.amin(dim=1)).amax(dim=1, keepdim=True)
