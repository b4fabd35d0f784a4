"""Option types shared by several commands, so that an option means the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.", show_default=False)]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out.", show_default=False)]
Device = Annotated[str, typer.Option("--device", help="Device: auto, cpu, cuda, cuda:N or mps.", metavar="NAME")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Random seed.", metavar="N")]
SeedOfRun = Annotated[
    int | None,
    typer.Option(
        "--seed", min=0, help="Random seed; default: that of --config or the resumed run, else 0.", metavar="N"
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers", min=0, max=1024, help="Number of threads that load samples; 0: only the main thread.", metavar="N"
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Stop after N samples.", metavar="N")]
OutFolder = Annotated[Path | None, typer.Option("--out", help="Output folder.", metavar="FOLDER")]
Root = Annotated[
    Path | None,
    typer.Option("--root", help="Folder or zip with the raw files; default: $HIFIHR_DATA/raw/SOURCE.", metavar="PATH"),
]
PartOf = Annotated[
    str | None,
    typer.Option(
        "--part", help="Do only part I of N; run the others on other machines with the same arguments.", metavar="I/N"
    ),
]
ConfigFile = Annotated[
    str | None, typer.Option("--config", help="TOML settings file, or the name of a preset.", metavar="FILE")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override one setting, such as train.lr=1e-4; repeatable.", metavar="NAME=VALUE"),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print the resolved settings as TOML and stop.", show_default=False)
]
