"""Count the contents of finished shards, and build the index of their folder."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hifihr_core.outside.whole_files import sha256_of
from hifihr_core.shards.reader import ShardReader
from hifihr_core.shards.schema import (
    CheckFacts,
    DatasetFacts,
    LabelFacts,
    Problem,
    ShardFacts,
    ShardIndex,
    table_of,
)

#: Maximum number of problems in the index; shards list all of theirs.
LISTED_PROBLEMS = 100


@dataclass
class Tally:
    """The contents and problems of the finished shards of one split, by file name."""

    shards: dict[str, ShardFacts] = field(default_factory=dict)
    problems: dict[str, tuple[Problem, ...]] = field(default_factory=dict)

    @property
    def poses(self) -> int:
        """Return the number of annotated poses."""
        return sum(shard.annotations for shard in self.shards.values())

    @property
    def listed(self) -> list[Problem]:
        """Return the problems of all shards (the skipped samples), in the order of the shards."""
        return [problem for name in sorted(self.problems) for problem in self.problems[name]]

    def add_finished(self, path: Path) -> None:
        """Count a shard on disk. Raises: DataError if it is damaged."""
        reader = ShardReader(path)
        self.problems[path.name] = reader.problems
        self.shards[path.name] = ShardFacts(
            file=path.name,
            samples=len(reader),
            annotations=reader.annotation_count,
            bytes=path.stat().st_size,
            sha256=sha256_of(path),
        )


def summarise(
    facts: DatasetFacts, plan: dict[str, Any], results: tuple[CheckFacts, ...], tally: Tally, folder: Path
) -> ShardIndex:
    """Return the index of the shards in `folder` that `tally` has counted; `results` are those of the data's checks."""
    counts: Counter[str] = Counter()
    shapes: dict[str, tuple[int, ...]] = {}
    for name in sorted(tally.shards):
        reader = ShardReader(folder / name)
        counts.update(reader.label_counts)
        shapes.update(reader.label_shapes)
    shards = tuple(tally.shards[name] for name in sorted(tally.shards))
    problems = tally.listed
    return ShardIndex(
        software=plan["software"],
        facts=facts,
        plan=plan,
        samples=sum(shard.samples for shard in shards),
        annotations=tally.poses,
        labels={
            name: LabelFacts(shape=shapes[name], table=table_of(name), count=counts[name]) for name in sorted(shapes)
        },
        shards=shards,
        checks=results,
        problem_count=len(problems),
        problems=tuple(problems[:LISTED_PROBLEMS]),
    )
