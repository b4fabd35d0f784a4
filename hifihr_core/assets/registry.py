"""Every outside file that hifihr can use: what it is, its licence, where to get it, and how to cite it."""

from difflib import get_close_matches
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hifihr_core.assets.entries import ENTRIES
from hifihr_core.errors import AssetError

Licence = Literal["free", "non-commercial", "gated", "unknown"]


class Source(BaseModel):
    """One file to download: its address, and what the bytes must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    size: int | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None


class Asset(BaseModel):
    """One entry of the registry.

    `licence` is the class that decides what hifihr may do: `free` files can be fetched; `gated`, `non-commercial` and
    `unknown` ones are imported by the user and never downloaded or copied into outputs. `file` is the name in the
    cache, `files` what `hifihr assets import` looks for in a file, folder or zip of the user.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: Literal["hand model", "detector", "metric weights", "backbone weights", "checkpoint"]
    title: str
    licence: Licence
    terms: str
    file: str
    homepage: str
    source: Source | None = None
    files: tuple[str, ...] = ()
    needed_by: str
    citation: str
    redistribute: bool = False

    @property
    def fetchable(self) -> bool:
        """Whether hifihr may download it: a free licence and a known address."""
        return self.licence == "free" and self.source is not None


REGISTRY: dict[str, Asset] = {entry["id"]: Asset.model_validate(entry) for entry in ENTRIES}


def find_asset(asset_id: str) -> Asset:
    """Return the entry of `asset_id`. Raises: AssetError with the nearest or all known ids."""
    if asset := REGISTRY.get(asset_id):
        return asset
    close = get_close_matches(asset_id, REGISTRY, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(REGISTRY)}"
    raise AssetError(f"{asset_id}: no such asset; {remedy}")
