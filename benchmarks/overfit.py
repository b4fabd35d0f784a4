"""Claim: the method as a whole can learn: 8 rendered hands to less than 2 mm joint error and over 32 dB masked PSNR.

The hands are rendered by the same renderer, so that a perfect answer exists. The benchmark runs `train --supervision
full` with rendering: network, hand, placement, renderer, losses, optimiser.

Usage: python benchmarks/overfit.py [--steps 2500] [--image-px 128] [--backbone mobilenetv4_conv_small]
    [--set NAME=VALUE ...] [--json FILE]
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from reporting import write

from hifihr_core.config import load_settings
from hifihr_core.config.tree import RunSettings
from hifihr_core.geometry.cameras import K_from_focal, place_root, project
from hifihr_core.hands import HandModel
from hifihr_core.records import Batch, Light
from hifihr_core.rendering import Renderer
from hifihr_core.training.distributed import World
from hifihr_core.training.folder.run_journal import Journal
from hifihr_core.training.loop import Progress, train
from hifihr_core.training.setup import set_up
from hifihr_core.training.state import Position

LIMITS = {"mpjpe_mm": 2.0, "psnr_db": 32.0}


@dataclass
class OneBatch:
    """The same batch repeated, as the data of a run."""

    batch: Batch
    epoch: int = 0

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Batch]:
        yield self.batch
        self.epoch += 1

    def state_dict(self) -> dict[str, int]:
        """Return the position."""
        return {"seed": 0, "epoch": self.epoch, "start": 0}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position."""
        self.epoch = int(state["epoch"])


@torch.no_grad()
def draw_batch(hand: HandModel, count: int, image_px: int, *, seed: int = 0) -> Batch:
    """Render plausible hands, skins and lights in front of coloured backgrounds."""
    generator = torch.Generator().manual_seed(seed)
    parameters = hand.sample_parameters(count, generator=generator)
    noise = torch.rand(count, 12, generator=generator)
    K = K_from_focal(2.0 * image_px, width=image_px, height=image_px).expand(count, 3, 3)
    root_cam = place_root(image_px * (0.4 + 0.2 * noise[:, :2]), image_px * (3 + noise[:, 2]), K)
    direction = torch.nn.functional.normalize(noise[:, 3:6] - torch.tensor([0.5, 0.5, 1.5]), dim=1)
    light = Light(ambient=0.3 + 0.3 * noise[:, 6:9], color=torch.full((count, 3), 0.6), direction=direction)
    posed = hand(parameters)
    assert posed.appearance is not None
    renderer = Renderer(hand.faces, height=image_px, width=image_px)
    drawn = renderer(posed.vertices + root_cam[:, None], K, posed.appearance, light, noise[:, 9:12].contiguous())
    joints_cam = posed.joints + root_cam[:, None]
    labels = {
        "joints_cam": joints_cam,
        "joints_px": project(joints_cam, K),
        "mask": drawn.silhouette > 0.5,
    }
    return Batch(
        image=drawn.image.clamp(0, 1),
        K=K,
        keys=tuple(f"hand-{b}" for b in range(count)),
        sides=("right",) * count,
        labels=labels,
        present={name: torch.ones(count, dtype=torch.bool) for name in labels},
    )


def overfit(steps: int, image_px: int, backbone: str, folder: Path, *, overrides: Sequence[str]) -> dict[str, float]:
    """Train on one batch and return its scores; `overrides` are run settings that are applied last."""
    settings = load_settings(
        RunSettings,
        overrides=(
            'data.train=["synth"]',
            f"data.image_px={image_px}",
            "model.hand=anny",
            f"model.backbone={backbone}",
            "model.weights=none",
            # Scores use running statistics, whose variance from 8 samples is off by 8 / 7
            # (docs/benchmarks/learning.md).
            "model.norm=layer",
            "train.batch_size=8",
            "train.epochs=1000000",
            f"train.max_steps={steps}",
            "train.lr=1e-3",
            "train.warmup_steps=50",
            "train.weight_decay=0",
            "train.validate_every=0",
            "train.save_every_steps=0",
            f"train.pictures_every_steps={steps}",
            "loss.weights.joints_2d=0.05",
            "loss.weights.photometric=10",
            "loss.weights.ssim=0.2",
            "loss.weights.silhouette=1",
            "loss.weights.iou=0.5",
            "loss.weights.pose_prior=0",
            "loss.weights.shape_prior=0",
            "loss.weights.texture_prior=0",
            *overrides,
        ),
    )
    world = World(torch.device("cpu"))
    run = set_up(settings, folder, world)
    data = OneBatch(draw_batch(run.hand, 8, image_px))
    run = replace(run, batches=data, validation=OneBatch(data.batch))

    def show(progress: Progress) -> None:
        if progress.step % 50 == 0:
            print(f"step {progress.step}  loss {progress.loss:.4f}  {progress.images_per_s:.0f} images/s", flush=True)

    with Journal(folder, from_step=0, is_writer=True) as journal:
        return train(run, Position(), journal, show).validation


def main() -> None:
    """Print the scores with their limits, and write them if --json is given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--image-px", type=int, default=128)
    parser.add_argument("--backbone", default="mobilenetv4_conv_small")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="A setting of the run.")
    parser.add_argument("--out", type=Path, default=None, help="Keep the run folder here.")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.out or Path(scratch) / "run"
        folder.mkdir(parents=True, exist_ok=True)
        scores = overfit(arguments.steps, arguments.image_px, arguments.backbone, folder, overrides=arguments.set)
    good = scores["mpjpe_mm"] < LIMITS["mpjpe_mm"] and scores["psnr_db"] > LIMITS["psnr_db"]
    for name, value in scores.items():
        print(f"{name:14} {value:.3f}")
    print("kept" if good else "NOT kept")
    if arguments.json:
        options = {name: getattr(arguments, name) for name in ("steps", "image_px", "backbone", "set")}
        write("overfit", {**options, "scores": scores, "limits": LIMITS}, arguments.json)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
