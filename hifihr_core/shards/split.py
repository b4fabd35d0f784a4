"""The input of packing: one split of a dataset, read pose by pose."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hifihr_core.samples import Sample
from hifihr_core.shards.schema import CheckFacts, DatasetFacts, Problem


class Split(ABC):
    """One split of a dataset, ready to be packed; it pickles into worker processes.

    `count` is the number of annotated poses, `bytes_each` the approximate size of one in a shard, and `plan` a small
    description in JSON values (such as file names, sizes, options): a run continues an interrupted one only if both
    have the same plan.
    """

    facts: DatasetFacts
    count: int
    bytes_each: int
    plan: Mapping[str, Any]

    def stage(self, folder: Path) -> None:  # noqa: B027 (most sources have nothing to stage)
        """Store annotations in `folder` in a form that workers can read in any order.

        The folder is kept if packing is interrupted, so files in it that are already complete may be reused.
        """

    @abstractmethod
    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        """Yield the samples of the annotated poses start..stop-1, or problems for those that are unusable.

        Samples of one pose are consecutive.
        """

    def checks(self) -> Iterator[CheckFacts]:
        """Yield the consistency checks of this split; called after `stage`."""
        return iter(())
