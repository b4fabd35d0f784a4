"""`hifihr pretrain`: geometry from annotated data, without rendering."""

from typing import Annotated

import typer

from hifihr_cli.console import emit
from hifihr_cli.params import ConfigFile, Json, Overrides, PrintConfig, Resume
from hifihr_cli.training import DataNames, Init, Paper, RunFolder, choose_folder, resolve, run_training

Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.", metavar="NAME")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of everything random.", metavar="N")]

#: What pretraining is, whatever a file says: all labels, no rendering, no heads for texture and light.
PRETRAINING = {"train.supervision": "full", "render.enabled": False, "model.texture": False}


def pretrain(
    data: DataNames = None,
    out: RunFolder = None,
    init: Init = None,
    resume: Resume = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    paper: Paper = False,
    device: Device = "auto",
    seed: Seed = None,
    print_config: PrintConfig = False,
    json: Json = False,
) -> None:
    """Learn pose, shape and root placement from annotated hands (RHD, DART, FreiHAND, synth), without rendering.

    The weights that it leaves are where `hifihr train --init` starts. Data: $HIFIHR_DATA/shards/freihand by default.
    """
    flags = {**PRETRAINING, "data.train": data, "train.seed": seed}
    settings = resolve(config, overrides, flags, paper=paper, resumed=out if resume else None)
    if print_config:
        from hifihr_core.config import dump_toml

        emit(dump_toml(settings).rstrip())
        return
    folder = choose_folder(out, "pretrain", resume=resume)
    run_training(settings, folder, json=json, init=init, resume=resume, device=device)
