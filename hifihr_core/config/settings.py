"""The base class of settings sections, and the names in a tree of sections."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import get_args

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen section of settings: unknown keys are rejected, types are strict, and defaults are validated.

    Every field needs a docstring below it that states its meaning and unit; `dump_toml` writes it as a comment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)


def section_of(annotation: object) -> type[Settings] | None:
    """Return the section class in a field's annotation, also in a union with None; None if there is none or several."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    sections = [section for part in get_args(annotation) if (section := section_of(part))]
    return sections[0] if len(sections) == 1 else None


def known_names(cls: type[Settings], prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every setting and section of the tree, parents first."""
    for name, field in cls.model_fields.items():
        yield prefix + name
        if section := section_of(field.annotation):
            yield from known_names(section, f"{prefix}{name}.")


def nearest_name(name: str, names: list[str]) -> str | None:
    """Return the known name nearest to the whole of `name`, or else to its last part; None if none is near."""
    if close := get_close_matches(name, names, n=1, cutoff=0.75):
        return close[0]
    tails = {known.rpartition(".")[2]: known for known in reversed(names)}
    close = get_close_matches(name.rpartition(".")[2], list(tails), n=1, cutoff=0.75)
    return tails[close[0]] if close else None
