"""`hifihr export`: networks as ONNX files."""

from pathlib import Path
from typing import Annotated

import typer

from hifihr_cli.console import emit, emit_json, say
from hifihr_cli.params import Json

Network = Annotated[
    str,
    typer.Argument(
        help="image, lifter, palm or landmarks (shipped), a weight file, or a run folder.", metavar="NETWORK"
    ),
]
Target = Annotated[str, typer.Option("--to", help="File format: onnx.", metavar="FORMAT")]
OutFile = Annotated[
    Path | None,
    typer.Option("--out", help="Output file; default: named after NETWORK, in this folder.", metavar="FILE"),
]


def export(network: Network, to: Target = "onnx", out: OutFile = None, json: Json = False) -> None:
    """Write a network as an ONNX file that runs without hifihr, checked against torch.

    Needs the extra `onnx`. Input and output names and shapes: docs/onnx.md. Prints the path of the file.
    """
    if to != "onnx":
        raise typer.BadParameter(f"unknown format {to!r}, expected onnx", param_hint="--to")

    from hifihr_core.models.onnx_export import export_onnx

    path = out or Path(f"{Path(network).stem or 'network'}.onnx")
    difference = export_onnx(network, path)
    if json:
        emit_json({"file": str(path), "bytes": path.stat().st_size, "difference": difference})
        return
    say(f"{path.stat().st_size / 1e6:.1f} MB; differs from torch by at most {difference:.1g}", kind="done")
    emit(str(path))
