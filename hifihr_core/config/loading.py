"""Merge presets, files, `--set` and flags into one checked tree. Precedence: flag > --set > file > preset > default."""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python

from hifihr_core.config.named_layers import EMPTY, Layer
from hifihr_core.config.renamed import renew
from hifihr_core.config.settings import Settings, known_names, nearest_name, section_of
from hifihr_core.errors import ConfigError
from hifihr_core.lookup import did_you_mean, expected_one_of
from hifihr_core.outside.whole_files import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: The settings files that ship with the package.
PRESETS = Path(__file__).parents[1] / "configs"

#: How pydantic's places of errors name the two forms of a weight, which may be a number or steps.
_FORMS = ("constrained-float", "tuple[")
_EXPECTED_WEIGHT = "expected a number of at least 0, or steps [[epoch, weight], ...]"

#: Maximum number of characters of a wrong value in a message.
_SHOWN = 120

S = TypeVar("S", bound=Settings)
Tree = dict[str, Any]


def load_settings(
    cls: type[S],
    preset: Path | None = None,
    file: Path | None = None,
    overrides: Iterable[str] = (),
    flags: Mapping[str, object] | None = None,
    layers: Iterable[Layer] = (),
    start: Layer = EMPTY,
) -> S:
    """Return the settings of `cls`, merged from all layers; tables are merged, lists and other values are replaced.

    Priority, highest first: `flags`, `layers`, `overrides`, `file`, `preset`, `start`, defaults. `overrides` has
    strings of the form ``a.b=c``, with c in TOML notation or a bare word. `flags` maps dotted names to values; None
    means that the flag was not given. `layers` and `start` are named sets of settings, such as `PAPER`. Names from
    earlier versions are accepted too. Raises: ConfigError with the setting, the layer that sets it, what was found,
    what was expected, and the nearest known name.
    """
    trees: list[tuple[str, Tree]] = [(start.name, nest(name, value)) for name, value in start.values.items()]
    trees += [(str(path), renew(read_toml(path))) for path in (preset, file) if path is not None]
    trees += [(f"--set {text}", renew(parse_override(text))) for text in overrides]
    trees += [(layer.name, nest(name, value)) for layer in layers for name, value in layer.values.items()]
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    trees += [(f"option for {name}", nest(name, value)) for name, value in given.items()]
    merged = default_tree(cls)
    for _, tree in trees:
        merged = merge(merged, tree)
    try:
        # Through JSON, for which strict mode accepts a list as a tuple and a string as a path, but not "0.1" as a
        # number.
        return cls.model_validate_json(json.dumps(merged, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError(describe(error, cls, trees)) from error


def find_config(name: str) -> Path:
    """Return the settings file that the user chose: a path, or one of the shipped presets.

    Raises: ConfigError that lists the presets if it is neither.
    """
    if Path(name).exists():
        return Path(name)
    known = presets()
    if Path(name).stem in known and Path(name).name == name:
        return known[Path(name).stem]
    raise ConfigError(f"--config {name}: no such file and no such preset, {expected_one_of(known, Path(name).stem)}")


def presets() -> dict[str, Path]:
    """Return the shipped settings files by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.toml"))}


def default_tree(cls: type[Settings]) -> Tree:
    """Return the defaults as the lowest layer, so that setting one key of a table or section keeps its other keys.

    Required settings are omitted; a required section appears with its available defaults.
    """
    tree: Tree = {}
    for name, field in cls.model_fields.items():
        if not field.is_required():
            tree[name] = to_jsonable_python(field.get_default(call_default_factory=True))
        elif section := section_of(field.annotation):
            tree[name] = default_tree(section)
    return tree


def read_toml(path: Path) -> Tree:
    """Return the content of a TOML file.

    Raises: ConfigError if it is not valid TOML, with the line of the error; DataError if it cannot be read.
    """
    try:
        return tomllib.loads(read_text(path).removeprefix("\ufeff"))
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deeply, expected the [sections] of a settings file") from error
    except ValueError as error:  # TOMLDecodeError, or a number with thousands of digits
        raise ConfigError(
            f"{path}: not valid TOML: {str(error)[:1].lower()}{str(error)[1:]}; correct the file"
        ) from error


def parse_override(text: str) -> Tree:
    """Parse one ``a.b=c`` into a nested table; c is TOML (1e-4, true, [1, 2], "x"), else a plain string.

    Raises: ConfigError if it does not have this form.
    """
    name, equals, value = text.partition("=")
    if not equals or not all(part.strip() for part in name.split(".")):
        raise ConfigError(f"--set {text}: expected NAME=VALUE, such as --set train.lr=1e-4")
    try:
        table = tomllib.loads(f"value = {value.strip()}")
    except RecursionError as error:
        raise ConfigError(f"--set {text[:60]}...: the value is nested too deeply") from error
    except ValueError:  # TOMLDecodeError, or a number with thousands of digits, which validation rejects
        table = {}
    return nest(name.strip(), table["value"] if list(table) == ["value"] else value.strip())


def nest(name: str, value: object) -> Tree:
    """Return ``{"a": {"b": value}}`` for the dotted name ``a.b``."""
    for part in reversed(name.split(".")):
        value = {part.strip(): value}
    assert isinstance(value, dict)
    return value


def merge(below: Tree, above: Tree) -> Tree:
    """Return `below` with the values of `above` over it; tables merge, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def describe(error: ValidationError, cls: type[Settings], layers: list[tuple[str, Tree]]) -> str:
    """Return one line about the first error: layer, setting, what was found, what was expected, and the remedy."""
    details = error.errors(include_url=False)
    first = details[0]
    parts = [str(part) for part in first["loc"]]
    if (union := next((i for i, part in enumerate(parts) if part.startswith(_FORMS)), None)) is not None:
        name, value = ".".join(parts[:union]), _at(layers, parts[:union])
        return f"{_source(parts, layers)}: {name}: found {_show(value)}, {_EXPECTED_WEIGHT}"
    name, names = ".".join(parts), list(known_names(cls))
    source = _source(parts, layers)
    more = _count_others(len(details) - 1)
    if first["type"] == "extra_forbidden":
        nearest = nearest_name(name, names)
        known = [other.rpartition(".")[2] for other in names if other.rpartition(".")[0] == ".".join(parts[:-1])]
        remedy = f"did you mean {nearest}?" if nearest else f"expected one of {', '.join(known)}"
        return f"{source}: unknown setting {name}; {remedy}{more}"
    if first["type"] == "missing" and name in names:
        return f"{name}: not set, and it has no default; give it with --set {name}=VALUE{more}"
    if first["type"] == "missing":  # an element of a list with a fixed length
        return f"{source}: {'.'.join(parts[:-1])}: found {_show(first['input'])}, {_expected_length(details)}"
    return f"{source}: {name}: found {_show(first['input'])}, {_expected(first)}{more}"


def _expected_length(details: list[ErrorDetails]) -> str:
    """Return how many values were expected in place of the first list that is too short; other errors are counted."""
    place, found = details[0]["loc"][:-1], details[0]["input"]
    lacking = sum(detail["type"] == "missing" and detail["loc"][:-1] == place for detail in details)
    return f"expected {len(found) + lacking} values{_count_others(len(details) - lacking)}"


def _count_others(count: int) -> str:
    return f" (and {count} more error{'s'[: count > 1]})" if count else ""


def _expected(detail: ErrorDetails) -> str:
    """Return pydantic's message as "expected ...", with the nearest of the allowed words."""
    message = (
        detail["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be", "expected", 1)
        .replace("an object", "a section")
        .replace("a valid array", "a list")
    )
    words = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
    return message[:1].lower() + message[1:] + did_you_mean(str(detail["input"]), words)


def _show(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _source(parts: list[str], layers: list[tuple[str, Tree]]) -> str:
    """Return the name of the last layer that contains the setting `parts`, or else its nearest section."""
    for depth in range(len(parts), 0, -1):
        for source, layer in reversed(layers):
            if _holds(layer, parts[:depth]):
                return source
    return "settings"


def _at(layers: list[tuple[str, Tree]], parts: list[str]) -> object:
    """Return the value of a setting in the last layer that contains it, None if there is none."""
    value: Any = next((layer for _, layer in reversed(layers) if _holds(layer, parts)), None)
    for part in parts if value is not None else ():
        value = value[part]
    return value


def _holds(layer: object, parts: list[str]) -> bool:
    for part in parts:
        if not isinstance(layer, dict) or part not in layer:
            return False
        layer = layer[part]
    return True
