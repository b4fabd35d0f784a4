"""Find rows of tables by name, with helpful errors; import objects by name; check that optional values exist."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, TypeVar

from hifihr_core.errors import ConfigError

Row = TypeVar("Row")
Found = TypeVar("Found")

#: Maximum number of names in an error message.
_NAMES_SHOWN = 20


def lookup(
    table: Mapping[str, Row], name: str, what: str, *, error: type[Exception] = ConfigError, remedy: str = ""
) -> Row:
    """Return the row called `name`.

    `what` begins the error message, such as "--dataset" or "model.hand"; `remedy` ends it.
    Raises: `error` if there is no such row, with the known names and the nearest one.
    """
    if isinstance(name, str) and name in table:
        return table[name]
    raise error(f"{what}: found {name!r}, {expected_one_of(table, str(name))}" + (f"; {remedy}" if remedy else ""))


def expected_one_of(names: Iterable[str], found: str) -> str:
    """Return "expected one of a, b, c", and the name that was probably meant by `found`, if any."""
    known = list(names)
    more = f" and {len(known) - _NAMES_SHOWN} more" if len(known) > _NAMES_SHOWN else ""
    return f"expected one of {', '.join(known[:_NAMES_SHOWN])}{more}{did_you_mean(found, known)}"


def did_you_mean(found: str, names: Iterable[str]) -> str:
    """Return "; did you mean x?" for the nearest of `names`, or an empty string."""
    close = get_close_matches(found, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def needed(value: Found | None, what: str) -> Found:
    """Return `value` if it is not None. Raises: ValueError that names `what` if it is None."""
    if value is None:
        raise ValueError(f"{what}: missing, but needed here")
    return value


def load_attribute(place: str) -> Any:
    """Return the object called "module:attribute", importing its module now, so that tables need not import it."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
