"""`hifihr train`: train a network by render-and-compare, at one of three levels of supervision."""

from enum import Enum
from typing import Annotated

import typer

from hifihr_cli.params import ConfigFile, Device, Json, Overrides, PrintConfig, Resume, SeedOfRun
from hifihr_cli.training import DataNames, Init, Paper, RunFolder, launch


class Level(str, Enum):
    """The supervision levels described in docs/supervision.md."""

    full = "full"
    weak = "weak"
    self = "self"


Supervision = Annotated[
    Level | None,
    typer.Option(
        "--supervision",
        help="Labels that training may use; default: those of --config or the resumed run, else full.",
        show_default=False,
    ),
]


def train(
    supervision: Supervision = None,
    data: DataNames = None,
    out: RunFolder = None,
    init: Init = None,
    resume: Resume = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    paper: Paper = False,
    device: Device = "auto",
    seed: SeedOfRun = None,
    print_config: PrintConfig = False,
    json: Json = False,
) -> None:
    """Train with rendering, from full labels, weak ones (2D joints and masks), or only detected keypoints (self).

    Start from the weights of `hifihr pretrain` with --init. Under torchrun, the processes train together. Data:
    $HIFIHR_DATA/shards/freihand by default. Exits with code 3 if data, labels or weights are missing.
    """
    launch(
        "train-{level}",
        {"train.supervision": supervision and supervision.value, "data.train": data, "train.seed": seed},
        config=config,
        overrides=overrides,
        paper=paper,
        out=out,
        resume=resume,
        print_config=print_config,
        json=json,
        init=init,
        device=device,
    )
