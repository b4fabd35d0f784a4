"""Divide work among several machines: the list of items alone determines each machine's part."""

import re
from dataclasses import dataclass

from hifihr_core.errors import ConfigError

#: Python refuses to read integers of more than a few thousand digits.
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_NAME = re.compile(r"part-(\d{1,9})-of-(\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class Part:
    """One machine's share of the work: part `number`, counted from 1, of `of` parts."""

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ConfigError(f"part {self.number}/{self.of}: expected I/N with I from 1 to N, such as 1/4")

    @property
    def name(self) -> str:
        """The name of this part's output, before parts are merged, such as "part-1-of-4"."""
        return f"part-{self.number}-of-{self.of}"

    def takes(self, position: int) -> bool:
        """Return whether this part gets item `position` (from 0) if items are dealt out to the parts in turn."""
        return position % self.of == self.number - 1

    def run_of(self, count: int) -> range:
        """Return the indices of this part's items if `count` items are divided into runs of nearly equal length."""
        return range(count * (self.number - 1) // self.of, count * self.number // self.of)


#: All of the work.
WHOLE = Part(1, 1)


def parse_part(text: str) -> Part:
    """Parse ``I/N``. Raises: ConfigError for anything else."""
    number, _, total = text.partition("/")
    if not (_NUMBER.fullmatch(number) and _NUMBER.fullmatch(total)):
        raise ConfigError(f"--part {text:.40}: expected I/N, such as 1/4")
    return Part(int(number), int(total))


def named_part(name: str) -> Part | None:
    """Return the part whose `Part.name` is `name`, or None if it is not the name of a part."""
    match = _NAME.fullmatch(name)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        return None
    part = Part(int(match[1]), int(match[2]))
    return part if part.name == name else None
