"""`hifihr pretrain`: learn geometry from annotated data, without rendering."""

from hifihr_cli.params import ConfigFile, Device, Json, Overrides, PrintConfig, Resume, SeedOfRun
from hifihr_cli.training import DataNames, Init, Paper, RunFolder, launch


def pretrain(
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
    """Learn pose, shape and root placement from annotated hands (RHD, DART, FreiHAND, synth), without rendering.

    `hifihr train --init` starts from the weights that this command writes. Data: $HIFIHR_DATA/shards/freihand by
    default.
    """
    launch(
        "pretrain",
        {"data.train": data, "train.seed": seed},
        layer="PRETRAINING",
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
