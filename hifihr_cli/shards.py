"""`hifihr shards`: inspect, verify and merge shard folders."""

from pathlib import Path
from typing import Annotated

import typer

from hifihr_cli.console import emit, emit_json, emit_table, progress, say
from hifihr_cli.params import Json

shards = typer.Typer(help="Inspect, verify and merge shard folders.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="A shard folder, or a folder that contains shard folders.", metavar="DIR")]


@shards.command()
def info(folder: Folder, json: Json = False) -> None:
    """Show what the shards below DIR contain."""
    from hifihr_core.shards.folder import find_shard_folders
    from hifihr_core.shards.schema import read_index

    indexes = {path: read_index(path) for path in find_shard_folders(folder)}
    if json:
        emit_json({str(path): index.model_dump(mode="json") for path, index in indexes.items()})
        return
    for path, index in indexes.items():
        facts = index.facts
        size = sum(shard.bytes for shard in index.shards)
        emit(f"{path}: {facts.dataset} {facts.version}, {facts.split}, {facts.licence}, written by {index.software}")
        emit(
            f"  samples {index.samples:,}, poses {index.annotations:,}, shards {len(index.shards)} "
            f"({size / 2**20:,.1f} MiB), skipped {index.problem_count}"
        )
        emit(f"  joints {facts.joint_definition}, root {facts.root_joint}, camera {facts.camera}")
        emit_table(
            ("label", "shape", "table", "rows"),
            [
                (name, "x".join(map(str, label.shape)) or "1", label.table, f"{label.count:,}")
                for name, label in index.labels.items()
            ],
        )


@shards.command()
def verify(folder: Folder, json: Json = False) -> None:
    """Check that the shards below DIR are complete and match their checksums; exits with code 3 if not."""
    from hifihr_core.errors import DataError
    from hifihr_core.shards.folder import find_shard_folders
    from hifihr_core.shards.folder import verify as find_differences

    folders = find_shard_folders(folder)
    differences: list[str] = []
    with progress("verify", unit="folders") as bar:
        for number, path in enumerate(folders):
            bar(number, len(folders))
            for line in find_differences(path):
                differences.append(line)
                say(line, kind="warning")
        bar(len(folders), len(folders))
    if json:
        emit_json({"folders": [str(path) for path in folders], "differences": differences})
    if differences:
        raise DataError(
            f"{folder}: differences from the index: {len(differences)}, listed above; prepare the dataset again"
        )
    if not json:
        emit(f"{folder}: all checksums match in {len(folders)} shard folder{'s'[: len(folders) > 1]}")


@shards.command()
def merge(
    folder: Annotated[
        Path, typer.Argument(help="The output folder of all parts: their --out, or its default.", metavar="DIR")
    ],
    json: Json = False,
) -> None:
    """Join the parts that `hifihr prepare --part I/N` packed below DIR.

    The result is byte-for-byte that of an undivided run. Exits with code 3 if a part is missing or unfinished.
    """
    from hifihr_core.shards.merging import merge_parts

    merged = merge_parts(folder)
    if json:
        emit_json({str(path): index.model_dump(mode="json") for path, index in merged.items()})
        return
    rows = [(path, f"{index.samples:,}", f"{index.annotations:,}", len(index.shards)) for path, index in merged.items()]
    emit_table(("folder", "samples", "poses", "shards"), rows)
