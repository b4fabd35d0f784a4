"""`hifihr convert`: convert predicted hands to another hand model."""

from pathlib import Path
from typing import Annotated

import typer

from hifihr_cli.console import emit_json, emit_table, progress
from hifihr_cli.imports import quick_imports
from hifihr_cli.params import Json

Results = Annotated[
    list[Path], typer.Argument(help="The .json files of predicted hands, or folders with them.", metavar="RESULT...")
]
To = Annotated[str, typer.Option("--to", help="Target hand model: mano or nimble.", metavar="NAME")]
Joints = Annotated[
    str, typer.Option("--joints", help="Joint definition: freihand (alias openpose) or ho3d.", metavar="NAME")
]
Formats = Annotated[
    str, typer.Option("--format", help="Comma-separated: json, npz, obj, ply, hand-glb, bvh.", metavar="LIST")
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Output folder; default: beside each result.", metavar="FOLDER")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results.", show_default=False)]


def convert(
    results: Results,
    to: To = "mano",
    joints: Joints = "freihand",
    format: Formats = "json,obj",
    out: Out = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Fit MANO or NIMBLE to predicted hands and write pose, shape and position.

    For a hand in photo_0.json, writes photo_0_mano.json and photo_0_mano.obj. MANO's parameters are those of smplx for
    the hand's own side. Needs the model's files: `hifihr assets import mano-right MANO_RIGHT.pkl`, or `hifihr assets
    import nimble FOLDER`.
    """
    if to not in ("mano", "nimble"):
        raise typer.BadParameter(f"unknown hand model {to!r}, expected one of mano, nimble", param_hint="--to")
    if joints not in ("freihand", "openpose", "ho3d"):
        raise typer.BadParameter(
            f"unknown joint definition {joints!r}, expected one of freihand, openpose, ho3d", param_hint="--joints"
        )
    with quick_imports():
        from hifihr_core.conversion.convert_results import convert_files
        from hifihr_core.conversion.joint_choice import joint_definition

    rows = []
    with progress("convert", unit="hands") as bar:
        for done, count, converted in convert_files(
            results,
            to=to,
            formats=format.split(","),
            joints=joint_definition(joints),
            folder=out,
            overwrite=overwrite,
        ):
            bar(done, count)
            rows.append(converted)
    if json:
        emit_json({"hands": [row.document() for row in rows]})
        return
    emit_table(
        ("result", "side", "residual_mm", "files"),
        [(row.source.name, row.side, row.residual_mm["vertices_mean"], str(row.files[0])) for row in rows],
    )
