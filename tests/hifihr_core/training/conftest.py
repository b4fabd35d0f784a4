"""Small hands in shards, drawn by our renderer, and the settings of runs that take seconds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hifihr_core.config import load_settings
from hifihr_core.config.tree import RunSettings
from hifihr_core.geometry.cameras import K_from_focal, place_root, project
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.records import Light, Sample
from hifihr_core.rendering import Renderer
from hifihr_core.shards.packing import Policy, pack_split
from hifihr_core.shards.schema import DatasetFacts
from hifihr_core.shards.split import Split

IMAGE_PX = 64


class ListSplit(Split):
    """Samples in memory."""

    def __init__(self, samples: Sequence[Sample], dataset: str, split: str) -> None:
        self.samples = list(samples)
        self.count, self.bytes_each, self.plan = len(self.samples), 20_000, {"count": len(self.samples)}
        self.facts = DatasetFacts(
            dataset=dataset, split=split, version="1", licence="free", joint_definition="freihand", hand="anny"
        )

    def read(self, start: int, stop: int) -> Iterator[Sample]:
        return iter(self.samples[start:stop])


def encode(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture[..., ::-1] if picture.ndim == 3 else picture)[1].tobytes()


def draw_samples(hand: HandModel, count: int, *, seed: int) -> list[Sample]:
    """Render plausible hands in front of a grey background, with every label that a level may need."""
    generator = torch.Generator().manual_seed(seed)
    parameters = hand.sample_parameters(count, generator=generator)
    noise = torch.rand(count, 3, generator=generator)
    K = K_from_focal(2.0 * IMAGE_PX, width=IMAGE_PX, height=IMAGE_PX).expand(count, 3, 3)
    root_px = IMAGE_PX * (0.4 + 0.2 * noise[:, :2])
    root_cam = place_root(root_px, IMAGE_PX * (3.0 + noise[:, 2]), K)
    posed = hand(parameters)
    light = Light(
        ambient=torch.full((count, 3), 0.5),
        color=torch.full((count, 3), 0.6),
        direction=torch.nn.functional.normalize(torch.tensor([[0.3, -0.3, -1.0]]), dim=1).expand(count, 3),
    )
    renderer = Renderer(hand.faces, height=IMAGE_PX, width=IMAGE_PX)
    grey = torch.full((3,), 0.4)
    rendered = renderer(posed.vertices + root_cam[:, None], K, posed.appearance, light, grey)
    joints_cam = posed.joints + root_cam[:, None]
    labels = {
        "joints_cam": joints_cam,
        "joints_px": project(joints_cam, K),
        "keypoints_px": project(joints_cam, K) + 0.5,
        "keypoints_confidence": torch.full((count, 21), 0.8),
        "bone_m": torch.linalg.vector_norm(joints_cam[:, 9] - joints_cam[:, 10], dim=-1),
    }
    pictures = (rendered.image.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    masks = ((rendered.silhouette > 0.5) * 255).byte().numpy()
    return [
        Sample(
            key=f"{seed}/{b}",
            annotation=f"{seed}/{b}",
            image=encode(pictures[b]),
            K=K[b].numpy(),
            labels={name: values[b].detach().numpy().astype(np.float32) for name, values in labels.items()},
            mask=encode(masks[b]),
        )
        for b in range(count)
    ]


@pytest.fixture(scope="session")
def anny() -> HandModel:
    return load_hand("anny")


@pytest.fixture(scope="session")
def samples(anny) -> list[Sample]:
    with torch.no_grad():
        return draw_samples(anny, 12, seed=1)


@dataclass(frozen=True)
class Tree:
    """Shard folders below one folder."""

    home: Path

    def write(self, samples: Sequence[Sample], name: str = "hands", split: str = "train") -> str:
        """Pack samples into a folder and return its path as used in settings."""
        folder = self.home / name / split
        pack_split(ListSplit(samples, name, split), folder, policy=Policy())
        return str(folder)


@pytest.fixture(scope="session")
def shards(samples, tmp_path_factory) -> str:
    """Return the folder of twelve samples with every label."""
    return Tree(tmp_path_factory.mktemp("shards")).write(samples)


@pytest.fixture
def tree(tmp_path) -> Tree:
    return Tree(tmp_path / "shards")


@pytest.fixture
def settings_for() -> Callable[..., RunSettings]:
    """Return ``settings_for(shards, "train.lr=1")``: a run of three steps of four samples on a small network."""

    def settings(shards: str, *overrides: str) -> RunSettings:
        base = (
            f'data.train=["{shards}"]',
            f"data.image_px={IMAGE_PX}",
            "data.workers=0",
            "data.validation_part=0.3",
            "model.hand=anny",
            "model.backbone=mobilenetv3_small_050",
            "model.weights=none",
            "train.batch_size=4",
            "train.epochs=2",
            "train.max_steps=3",
            "train.log_every_steps=1",
            "train.pictures_every_steps=0",
            "train.save_every_steps=1",
            "train.warmup_steps=0",
        )
        return load_settings(RunSettings, overrides=(*base, *overrides))

    return settings


@pytest.fixture
def without() -> Callable[..., list[Sample]]:
    """Return ``without(samples, "mask")``: the same samples without some labels."""

    def strip(samples: Sequence[Sample], *names: str) -> list[Sample]:
        return [
            replace(
                sample,
                labels={name: value for name, value in sample.labels.items() if name not in names},
                mask=None if "mask" in names else sample.mask,
            )
            for sample in samples
        ]

    return strip
