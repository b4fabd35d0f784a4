"""A part of some work, for one machine of several: a pure function of the list of things to do."""

import re
from dataclasses import dataclass

from hifihr_core.errors import ConfigError

_NAME = re.compile(r"part-(\d+)-of-(\d+)", re.ASCII)


@dataclass(frozen=True)
class Part:
    """What one of several machines does: part `number`, counted from 1, of `of`."""

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ConfigError(f"part {self.number}/{self.of}: expected I/N with I from 1 to N, such as 1/{self.of}")

    @property
    def name(self) -> str:
        """Return the name of what this part writes, before parts are merged."""
        return f"part-{self.number}-of-{self.of}"

    def takes(self, position: int) -> bool:
        """Return whether this part does item `position` if the parts take items in turn."""
        return position % self.of == self.number - 1

    def run_of(self, count: int) -> range:
        """Return the items of this part if each part does one run of neighbours, all nearly equally long."""
        return range(count * (self.number - 1) // self.of, count * self.number // self.of)


#: All of it.
WHOLE = Part(1, 1)


def parse_part(text: str) -> Part:
    """Return the part that ``I/N`` means. Raises: ConfigError for anything else."""
    number, _, total = text.partition("/")
    if not (number.isdecimal() and total.isdecimal()):
        raise ConfigError(f"--part {text}: expected I/N, such as 1/4")
    return Part(int(number), int(total))


def named_part(name: str) -> Part | None:
    """Return the part whose `Part.name` this is, None if it is not the name of one."""
    match = _NAME.fullmatch(name)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        return None
    part = Part(int(match[1]), int(match[2]))
    return part if part.name == name else None
