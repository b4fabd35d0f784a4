"""`hifihr convert`: convert predicted hands to another hand model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifihr_cli.console import emit_json, emit_table, progress, say
from hifihr_cli.imports import quick_imports
from hifihr_cli.params import Json

if TYPE_CHECKING:
    from hifihr_core.conversion.convert_results import Converted

Results = Annotated[
    list[Path], typer.Argument(help="The .json files of predicted hands, or results folders.", metavar="RESULT...")
]
To = Annotated[str, typer.Option("--to", help="Target hand model: mano or nimble.", metavar="NAME")]
Joints = Annotated[
    str, typer.Option("--joints", help="Joint definition: freihand (alias openpose) or ho3d.", metavar="NAME")
]
Formats = Annotated[
    str,
    typer.Option(
        "--format",
        help="Comma-separated: json, npz, obj, ply, hand-glb, bvh; with --to nimble also texture.",
        metavar="LIST",
    ),
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
        from hifihr_core.conversion.convert_results import convert_files, plan_conversions
        from hifihr_core.conversion.joint_choice import joint_definition

    formats = tuple(name.strip() for name in format.split(","))
    plan, converted_before = plan_conversions(results, to=to, formats=formats, folder=out, overwrite=overwrite)
    if converted_before:
        say(f"converted hands among the files, left out: {converted_before}", kind="note")
    done: list[Converted] = []
    with progress("convert", unit="hands") as bar:
        bar(0, len(plan))
        for one in convert_files(plan, to=to, formats=formats, joints=joint_definition(joints)):
            done.append(one)
            bar(len(done), len(plan))
    _report(done, json)


def _report(done: "list[Converted]", json: bool) -> None:
    from hifihr_core.errors import DataError, FindingsError

    if json:
        emit_json({"hands": [one.document() for one in done]})
    broken = [one.error for one in done if one.error is not None]
    if len(broken) == len(done) == 1:
        raise broken[0]
    for error in broken:
        say(str(error), kind="warning")
    if len(broken) == len(done):
        raise DataError(f"none of the {len(done)} hands could be converted; the warnings above say why")
    if not json:
        emit_table(
            ("result", "side", "residual_mm", "files"),
            [
                (one.source.name, one.side, one.residual_mm["vertices_mean"], str(one.files[0]))
                for one in done
                if one.error is None
            ],
        )
    if broken:
        raise FindingsError(f"{len(broken)} of {len(done)} hands could not be converted; the rest are done")
