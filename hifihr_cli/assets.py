"""`hifihr assets`: list, install, check and remove external files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifihr_cli.console import emit, emit_json, emit_table, progress, say
from hifihr_cli.params import Json

if TYPE_CHECKING:
    from hifihr_core.assets import Asset

app = typer.Typer(help="List, install, check and remove external files: hand models and weights.", no_args_is_help=True)


def _complete(incomplete: str) -> list[str]:
    from hifihr_core.assets import REGISTRY

    return [asset_id for asset_id in REGISTRY if asset_id.startswith(incomplete)]


AssetId = Annotated[
    str, typer.Argument(help="Name of the asset; see `hifihr assets list`.", metavar="ID", autocompletion=_complete)
]
AssetIds = Annotated[
    list[str] | None,
    typer.Argument(help="Names of assets; see `hifihr assets list`.", metavar="[ID]...", autocompletion=_complete),
]

#: Terminal style of each state and licence class.
STYLES = {
    "installed": "green",
    "present": "green",
    "missing": "dim",
    "damaged": "bold red",
    "free": "green",
    "non-commercial": "yellow",
    "gated": "yellow",
    "unknown": "yellow",
}


@app.command("list")
def list_assets(json: Json = False) -> None:
    """List every known asset: whether it is installed, its licence class, its size and what needs it."""
    from hifihr_core.assets import REGISTRY

    if json:
        emit_json([describe(asset) for asset in REGISTRY.values()])
        return
    rows = [(a.id, _state(a), a.licence, _size(a), a.needed_by) for a in REGISTRY.values()]
    emit_table(("id", "state", "licence", "size", "needed by"), rows, styles=STYLES)


@app.command()
def show(asset_id: AssetId, json: Json = False) -> None:
    """Show one asset: what it is, its licence, where to get it, and the command that installs it."""
    from hifihr_core.assets import find_asset

    document = describe(find_asset(asset_id))
    if json:
        emit_json(document)
        return
    emit_table((), [(name.replace("_", " "), value) for name, value in document.items() if value], styles=STYLES)


@app.command("import")
def import_asset(
    asset_id: AssetId,
    source: Annotated[
        Path, typer.Argument(help="The asset's file, or a folder or zip with its files.", metavar="PATH")
    ],
) -> None:
    """Install an asset from your own file, folder or zip, without running any code in it."""
    from hifihr_core.assets import find_asset
    from hifihr_core.importing import import_asset as install

    asset = find_asset(asset_id)
    if asset.licence != "free":
        say(f"{asset.id}: {asset.terms}", kind="note")
    emit(str(install(asset, source)))
    say(f"{asset.id} is installed", kind="done")


@app.command()
def fetch(
    asset_ids: AssetIds = None,
    all_free: Annotated[
        bool, typer.Option("--all", help="Fetch every free asset that is missing or damaged.", show_default=False)
    ] = False,
    json: Json = False,
) -> None:
    """Download free assets; run the same command again to resume an interrupted download."""
    from hifihr_core.assets import REGISTRY, find_asset
    from hifihr_core.assets.fetch import fetch as download
    from hifihr_core.assets.store import check, installed_path
    from hifihr_core.errors import ConfigError

    wanted = [find_asset(asset_id) for asset_id in asset_ids or ()]
    wanted += [asset for asset in REGISTRY.values() if all_free and asset.source and asset not in wanted]
    if not wanted:
        raise ConfigError("hifihr assets fetch: no asset given; name one from `hifihr assets list`, or pass --all")
    paths: dict[str, Path] = {}
    for asset in wanted:
        if check(asset) == "present":
            say(f"{asset.id} is already installed", kind="note")
            paths[asset.id] = installed_path(asset)
            continue
        with progress(asset.id, unit="bytes") as report:
            paths[asset.id] = download(asset, report)
    if json:
        emit_json(paths)
        return
    for path in paths.values():
        emit(str(path))


@app.command()
def verify(asset_ids: AssetIds = None, json: Json = False) -> None:
    """Check the named assets, or all installed ones, against their checksums.

    Exits with code 3 if one is missing, damaged or unverified (installed without a record of its checksum).
    """
    from hifihr_core.assets import REGISTRY, find_asset, is_installed
    from hifihr_core.assets.store import check
    from hifihr_core.errors import AssetError

    chosen = [find_asset(i) for i in asset_ids] if asset_ids else [a for a in REGISTRY.values() if is_installed(a.id)]
    if not chosen:
        say("no asset is installed; `hifihr assets list` lists all known ones", kind="note")
    states = {asset.id: check(asset) for asset in chosen}
    if json:
        emit_json(states)
    elif states:
        emit_table(("id", "state"), list(states.items()), styles=STYLES)
    if bad := [f"{asset_id} is {state}" for asset_id, state in states.items() if state != "present"]:
        raise AssetError(f"{', '.join(bad)}; install again with `hifihr assets fetch` or `hifihr assets import`")


@app.command()
def path(asset_id: AssetId) -> None:
    """Print the path of an installed asset."""
    from hifihr_core.assets import asset_path

    emit(str(asset_path(asset_id)))


@app.command()
def remove(
    asset_ids: Annotated[
        list[str],
        typer.Argument(help="Names of assets; see `hifihr assets list`.", metavar="ID...", autocompletion=_complete),
    ],
) -> None:
    """Remove assets and their unfinished downloads from the cache."""
    from hifihr_core.assets import find_asset
    from hifihr_core.assets.store import uninstall

    for asset in [find_asset(asset_id) for asset_id in asset_ids]:
        removed = uninstall(asset)
        say(
            f"{asset.id} was removed" if removed else f"{asset.id} was not installed",
            kind="done" if removed else "note",
        )


def describe(asset: "Asset") -> dict[str, object]:
    """Return all facts about an asset, in display order."""
    from hifihr_core.assets.store import installed_path, remedy

    state = _state(asset)
    return {
        "id": asset.id,
        "kind": asset.kind,
        "title": asset.title,
        "state": state,
        "path": str(installed_path(asset)) if state == "installed" else None,
        "licence": asset.licence,
        "terms": asset.terms,
        "needed_by": asset.needed_by,
        "homepage": asset.homepage,
        "made_from": ", ".join(asset.files) or None,
        "url": asset.source and asset.source.url,
        "size": asset.source and asset.source.size,
        "sha256": asset.source and asset.source.checksum,
        "citation": asset.citation,
        "next": None if state == "installed" else remedy(asset),
    }


def _state(asset: "Asset") -> str:
    from hifihr_core.assets import is_installed

    return "installed" if is_installed(asset.id) else "missing"


def _size(asset: "Asset") -> str:
    size = asset.source.size if asset.source else None
    return f"{size / 1e6:,.1f} MB" if size else ""
