"""The table of sources: one row per dataset that `hifihr prepare` can pack."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from hifihr_core.lookup import load_attribute, lookup

if TYPE_CHECKING:  # the command line reads these names for its help, which must be quick
    from hifihr_core.sources.contract import Source

#: Name on the command line -> "module:attribute" of its `Source`.
SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "freihand": "hifihr_core.sources.freihand:FREIHAND",
        "ho3d": "hifihr_core.sources.ho3d:HO3D",
        "rhd": "hifihr_core.sources.rhd:RHD",
        "dart": "hifihr_core.sources.dart:DART",
        "images": "hifihr_core.sources.images:IMAGES",
        "synth": "hifihr_core.sources.synth:SYNTH",
    }
)


def find_source(name: str) -> "Source":
    """Return the source called `name`. Raises: ConfigError, with similar names, if there is none."""
    source: "Source" = load_attribute(lookup(SOURCES, name, "dataset"))
    return source


def owners_of(option: str) -> tuple[str, ...]:
    """Return the names of the sources that have `option`, one of those options that not all sources have."""
    return tuple(name for name in SOURCES if option in find_source(name).options)
