"""Renamed and removed settings, so that old checkpoints, run folders and files can still be loaded."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from hifihr_core.config.tree import RunSettings
from hifihr_core.errors import ConfigError
from hifihr_core.outside.json_text import parse_json

#: Old dotted name -> new name, or None if the setting was removed and is now ignored.
RENAMED: Mapping[str, str | None] = MappingProxyType({"model.drop_path": None, "train.channels_last": None})


def renew(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a settings tree of any version with current names; if it has both names, the new one wins."""
    renewed = _copied(tree)
    for old, new in RENAMED.items():
        section, _, name = old.rpartition(".")
        place = _section(renewed, section)
        if place is None or name not in place:
            continue
        value = place.pop(name)
        if new is not None:
            section, _, name = new.rpartition(".")
            _make_section(renewed, section).setdefault(name, value)
    return renewed


def read_settings(text: str) -> RunSettings:
    """Return the settings stored as JSON in a checkpoint or run state, from this or an earlier version.

    Raises: ConfigError that names the first wrong setting, or describes the error in the JSON text.
    """
    tree = parse_json(text, "settings", remedy="expected an object with sections", error=ConfigError)
    if not isinstance(tree, dict):
        raise ConfigError(f"settings: found {text[:40]!r}, expected an object with sections")
    try:
        return RunSettings.model_validate(renew(tree))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        expected = first["msg"].replace("Input should be", "expected", 1)
        wrong = f"found {str(first['input'])[:40]!r}, {expected}"
        reason = "unknown setting" if first["type"] == "extra_forbidden" else wrong
        raise ConfigError(f"settings: {name}: {reason}") from error


def _copied(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _copied(value) if isinstance(value, Mapping) else value for name, value in tree.items()}


def _section(tree: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return the nested table with the dotted name `name`, such as ``a.b``, or None if there is none."""
    for part in name.split(".") if name else ():
        inner = tree.get(part)
        if not isinstance(inner, dict):
            return None
        tree = inner
    return tree


def _make_section(tree: dict[str, Any], name: str) -> dict[str, Any]:
    for part in name.split(".") if name else ():
        tree = tree.setdefault(part, {})
    return tree
