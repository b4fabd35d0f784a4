"""From presets, files, `--set` and flags to one checked tree. Precedence: flag > --set > file > preset > default."""

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

#: At most this much of a wrong value is shown, characters.
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
    """Return the settings of `cls` from all layers, later ones over earlier ones; tables merge, lists replace.

    `overrides` holds texts of the form ``a.b=c``, c in TOML's notation or a bare word. `flags` maps dotted names to
    values; None means that the flag was not given. `layers` are named sets of settings, such as `PAPER`, below the
    flags; `start` is one below everything else. Settings that earlier versions named differently are read too.
    Raises: ConfigError naming the setting, its layer, what was found, what was expected and the nearest known name.
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
        # Through JSON, where "strict" still reads a list as a tuple and a text as a path, but "0.1" is not a number.
        return cls.model_validate_json(json.dumps(merged, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError(describe(error, cls, trees)) from error


def find_config(name: str) -> Path:
    """Return the settings file that a user names: a path, or one of the presets that ship with the package.

    Raises: ConfigError naming the presets where it is neither.
    """
    if Path(name).exists():
        return Path(name)
    known = presets()
    if Path(name).stem in known and Path(name).name == name:
        return known[Path(name).stem]
    raise ConfigError(f"--config {name}: no such file and no such preset, {expected_one_of(known, Path(name).stem)}")


def presets() -> dict[str, Path]:
    """Return the settings files that ship with the package, by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.toml"))}


def default_tree(cls: type[Settings]) -> Tree:
    """Return the defaults as the lowest layer, so that one key of a table or section leaves its neighbours alone.

    Required settings stay out; a required section appears with what it has.
    """
    tree: Tree = {}
    for name, field in cls.model_fields.items():
        if not field.is_required():
            tree[name] = to_jsonable_python(field.get_default(call_default_factory=True))
        elif section := section_of(field.annotation):
            tree[name] = default_tree(section)
    return tree


def read_toml(path: Path) -> Tree:
    """Return the content of a TOML file. Raises: ConfigError with the line if it is not TOML, DataError if
    unreadable.
    """
    try:
        return tomllib.loads(read_text(path).removeprefix("\ufeff"))
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deeply; fix that line") from error
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        raise ConfigError(f"{path}: not valid TOML: {str(error)[:1].lower()}{str(error)[1:]}; fix that line") from error


def parse_override(text: str) -> Tree:
    """Return the nested table of one ``a.b=c``; c is read as TOML (1e-4, true, [1, 2], "x"), else as a plain text."""
    name, equals, value = text.partition("=")
    if not equals or not all(part.strip() for part in name.split(".")):
        raise ConfigError(f"--set {text}: expected NAME=VALUE, such as --set train.lr=1e-4")
    try:
        table = tomllib.loads(f"value = {value.strip()}")
    except RecursionError as error:
        raise ConfigError(f"--set {text[:60]}...: nested too deeply, expected NAME=VALUE") from error
    except ValueError:  # TOMLDecodeError, or a number of thousands of digits, which the check of the setting refuses
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
    """Return one line for the first thing wrong: layer, setting, what was found, what was expected, the remedy."""
    details = error.errors(include_url=False)
    first = details[0]
    parts = [str(part) for part in first["loc"]]
    name, names = ".".join(parts), list(known_names(cls))
    source = _source(parts, layers)
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    if first["type"] == "extra_forbidden":
        nearest = nearest_name(name, names)
        known = [other.rpartition(".")[2] for other in names if other.rpartition(".")[0] == ".".join(parts[:-1])]
        remedy = f"did you mean {nearest}?" if nearest else f"expected one of {', '.join(known)}"
        return f"{source}: unknown setting {name}; {remedy}{more}"
    if first["type"] == "missing" and name in names:
        return f"{name}: not set, and it has no default; give it with --set {name}=VALUE{more}"
    if first["type"] == "missing":  # an element of a list with a fixed length
        return f"{source}: {'.'.join(parts[:-1])}: found {_show(first['input'])}, expected more values{more}"
    return f"{source}: {name}: found {_show(first['input'])}, {_expected(first)}{more}"


def _expected(detail: ErrorDetails) -> str:
    """Return pydantic's message as what was expected, with the nearest of several allowed words."""
    message = (
        detail["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be", "expected", 1)
        .replace("an object", "a section")
    )
    words = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
    return message[:1].lower() + message[1:] + did_you_mean(str(detail["input"]), words)


def _show(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _source(parts: list[str], layers: list[tuple[str, Tree]]) -> str:
    """Return the last layer that sets `parts`, else the last that sets its nearest parent."""
    for depth in range(len(parts), 0, -1):
        for source, layer in reversed(layers):
            if _holds(layer, parts[:depth]):
                return source
    return "settings"


def _holds(layer: object, parts: list[str]) -> bool:
    for part in parts:
        if not isinstance(layer, dict) or part not in layer:
            return False
        layer = layer[part]
    return True
