"""All external files that hifihr can use: what they are, their licences, where to get them, and how to cite them."""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from hifihr_core.assets.entries import ENTRIES
from hifihr_core.errors import AssetError
from hifihr_core.lookup import lookup

Licence = Literal["free", "non-commercial", "gated", "unknown"]
Kind = Literal["hand model", "detector", "metric weights", "backbone weights", "checkpoint"]


class Source(BaseModel):
    """One file to download: its address, and its size (bytes) and checksum, if known.

    If `sha256` is None, its first eight digits are in the file's name, before the suffix.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    size: int | None = None
    sha256: str | None = None

    @model_validator(mode="after")
    def _has_checksum(self) -> "Source":
        assert self.checksum, f"{self.url}: no sha256 and none in the file's name"
        return self

    @property
    def checksum(self) -> str:
        """Return the known part of the file's sha256: 64 hexadecimal digits, or the first 8."""
        named = re.search(r"-([0-9a-f]{8})\.\w+$", self.url)
        return self.sha256 or (named[1] if named else "")


class Asset(BaseModel):
    """One entry of the registry.

    The field `licence` determines what hifihr may do: `free` files can be fetched; `gated`, `non-commercial` and
    `unknown` ones are imported by the user, and never downloaded or copied into outputs. `file` is the name in the
    cache, and `files` are the names (or patterns) that `hifihr assets import` looks for in the user's file or folder.
    No file is larger than `largest_bytes`; a larger one is damaged or malicious.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: Kind
    title: str
    licence: Licence
    terms: str
    homepage: str
    file: str
    source: Source | None = None
    files: tuple[str, ...] = ()
    needed_by: str
    citation: str
    largest_bytes: int = 2 << 30

    @model_validator(mode="after")
    def _is_consistent(self) -> "Asset":
        assert (self.source is not None) == (self.licence == "free"), (
            f"{self.id}: free assets must have a URL, and others must not"
        )
        assert self.source or self.files, f"{self.id}: nothing to fetch and nothing to import"
        return self

    @property
    def wanted(self) -> tuple[str, ...]:
        """Return the names or patterns of the asset's files before conversion."""
        return self.files or (self.file,)


REGISTRY: dict[str, Asset] = {entry["id"]: Asset.model_validate(entry) for entry in ENTRIES}


def find_asset(asset_id: str) -> Asset:
    """Return the entry of `asset_id`. Raises: AssetError for an unknown id, with the known ones."""
    return lookup(REGISTRY, asset_id, "asset", error=AssetError)
