"""Write settings as TOML that `load_settings` reads back as the same tree."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hifihr_core.config.settings import Settings, section_of
from hifihr_core.files import write_text

BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def dump_toml(settings: Settings, *, comments: bool = True) -> str:
    """Return the whole tree as TOML; with `comments`, each setting has its description above it.

    Settings that are None are omitted, since TOML has no such value; with `comments` a comment names them.
    """
    lines = list(_table(settings, "", comments))
    return "\n".join(lines).strip() + "\n"


def save_settings(settings: Settings, path: Path) -> None:
    """Write the settings to `path` as TOML, atomically. Raises: DataError if the file cannot be written."""
    write_text(path, dump_toml(settings))


def _table(settings: Settings, prefix: str, comments: bool) -> Iterator[str]:
    """Yield the lines of one section: first its values, then, as TOML requires, its subsections."""
    tables: list[tuple[str, Settings | Mapping[str, Any]]] = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Settings) or (isinstance(value, Mapping) and value):
            tables.append((name, value))
            continue
        if comments and field.description:
            yield f"# {field.description}"
        if value is None:
            if comments and section_of(field.annotation) is None:
                yield f"# {name} is not set"
            continue
        yield f"{_key(name)} = {_value(value)}"
    for name, table in tables:
        path = prefix + _key(name)
        yield f"\n[{path}]"
        if isinstance(table, Settings):
            yield from _table(table, f"{path}.", comments)
        else:
            yield from (f"{_key(str(key))} = {_value(value)}" for key, value in table.items())


def _key(name: str) -> str:
    return name if name and set(name) <= BARE else _text(name)


def _value(value: object) -> str:
    """Return one value in TOML's notation; sections inside lists become inline tables."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else {math.inf: "inf", -math.inf: "-inf"}.get(value, "nan")
    if isinstance(value, str | Path):
        return _text(str(value))
    if isinstance(value, Settings):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(str(key))} = {_value(item)}" for key, item in value.items() if item is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return f"[{', '.join(_value(item) for item in items)}]"
    raise TypeError(f"{value!r}: a {type(value).__name__} has no TOML notation")


def _text(text: str) -> str:
    """Return the text as a quoted TOML string; JSON's escapes are also TOML's, except for the delete character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
