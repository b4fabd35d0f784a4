"""The table of sources: one row per dataset that `hifihr prepare` knows."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType

from hifihr_core.errors import ConfigError
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


def find_source(name: str) -> Source:
    """Return the source called `name`. Raises: ConfigError with the nearest name."""
    if name not in SOURCES:
        close = get_close_matches(name, SOURCES, n=1)
        hint = f", did you mean {close[0]}?" if close else ""
        raise ConfigError(f"dataset {name!r} is not known{hint}; known datasets: {', '.join(SOURCES)}")
    module, _, attribute = SOURCES[name].partition(":")
    return getattr(import_module(module), attribute)
