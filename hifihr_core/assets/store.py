"""The asset cache on this machine: one folder per asset, which contains its file and a receipt.

The cache is `$HIFIHR_HOME`, else the platform's cache folder. A receipt (`receipt.json`) has the sha256 and size of the
installed file, so that `check` can detect a damaged file even if it was converted and differs from the original.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hifihr_core.assets.registry import Asset, find_asset
from hifihr_core.errors import AssetError, DataError
from hifihr_core.files import describe_os_error, write_atomically, write_text
from hifihr_core.outside.whole_files import read_whole, sha256_of

State = Literal["present", "missing", "damaged", "unverified"]


class Receipt(BaseModel):
    """The record of an installed file: its size (bytes), its checksum, and the name of its source file or folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    asset: str
    size: int
    sha256: str
    made_from: str


def cache_home() -> Path:
    """Return the folder of all assets: `$HIFIHR_HOME`, else the platform's cache folder. It may not exist yet."""
    if home := os.environ.get("HIFIHR_HOME"):
        return Path(home).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("hifihr", appauthor=False)


def installed_path(asset: Asset) -> Path:
    """Return the path that the file of `asset` has when it is installed."""
    return cache_home() / asset.id / asset.file


def is_installed(asset_id: str) -> bool:
    """Return whether the file of this asset exists; `check` also reads it. Raises: AssetError for an unknown id."""
    return installed_path(find_asset(asset_id)).is_file()


def asset_path(asset_id: str) -> Path:
    """Return the path of an installed asset. Raises: AssetError with the command that installs it."""
    asset = find_asset(asset_id)
    path = installed_path(asset)
    if not path.is_file():
        raise AssetError(f"{asset_id}: not installed, expected {path}; {remedy(asset)}")
    return path


def remedy(asset: Asset) -> str:
    """Return how to install `asset`, as the end of an error message: "run ...", or "get it from ..., then run ..."."""
    if asset.source:
        return f"run `hifihr assets fetch {asset.id}`"
    return f"get it from {asset.homepage}, then run `hifihr assets import {asset.id} PATH`"


def install(asset: Asset, source: Path, convert: Callable[[Path, Path], None]) -> Path:
    """Write the output of ``convert(source, target)`` to the cache, with its receipt, atomically.

    `source` is a file or folder, from the user or a download. Returns the installed path.
    """
    target = installed_path(asset)
    with write_atomically(target) as part:
        convert(source, part)
        receipt = Receipt(
            asset=asset.id, size=part.stat().st_size, sha256=sha256_of(part, error=AssetError), made_from=source.name
        )
        # The receipt is written first: a receipt without a file is just a missing asset.
        write_text(receipt_path(asset), receipt.model_dump_json(indent=2) + "\n")
    return target


def receipt_path(asset: Asset) -> Path:
    """Return the path of the receipt of `asset`."""
    return installed_path(asset).with_name("receipt.json")


def check(asset: Asset) -> State:
    """Return the state of an asset after reading all of its file; "unverified" if it has no valid receipt."""
    path = installed_path(asset)
    if not path.is_file():
        return "missing"
    try:
        receipt = Receipt.model_validate_json(read_whole(receipt_path(asset)))
    except (DataError, ValidationError):
        return "unverified"
    same = path.stat().st_size == receipt.size and sha256_of(path, error=AssetError) == receipt.sha256
    return "present" if same else "damaged"


def uninstall(asset: Asset) -> bool:
    """Remove the folder of `asset` from the cache; return whether there was one.

    Raises: AssetError if it cannot be removed.
    """
    folder = installed_path(asset).parent
    if not folder.exists():
        return False
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise AssetError(describe_os_error(error, folder)) from error
    return True
