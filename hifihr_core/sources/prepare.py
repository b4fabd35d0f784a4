"""The steps of `hifihr prepare` for one source: check the download, plan the shards, pack them."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hifihr_core.errors import DataError
from hifihr_core.shards.packing import DEFAULT_POLICY, OnProgress, Policy, pack_split, plan_pieces
from hifihr_core.shards.schema import INDEX_NAME, CheckFacts, ShardIndex
from hifihr_core.shards.split import Split
from hifihr_core.sources.contract import FileState, Request, Source
from hifihr_core.sources.written.layouts import LAYOUTS


@dataclass(frozen=True)
class PlannedSplit:
    """The plan for one split, printed by `--dry-run`; `about_bytes` is the expected size of all its shards."""

    name: str
    folder: Path
    poses: int
    shards: int
    about_bytes: int
    state: str


@dataclass(frozen=True)
class Report:
    """The result of `--check`: the parts of the download, the checks of every split, and any error that ended them."""

    parts: tuple[FileState, ...]
    checks: dict[str, tuple[CheckFacts, ...]]
    error: str | None = None

    @property
    def good(self) -> bool:
        """Return whether all required parts are intact and no check failed."""
        broken = any(part.state in ("missing", "broken") for part in self.parts)
        failed = any(check.status == "failed" for results in self.checks.values() for check in results)
        return not (broken or failed or self.error)


def prepare(
    source: Source,
    request: Request,
    out: Path,
    *,
    policy: Policy = DEFAULT_POLICY,
    on_progress: OnProgress | None = None,
) -> dict[Path, ShardIndex]:
    """Pack every split of a source below `out` and return the index of each folder.

    Raises: DataError, with an instruction to get the data, if it is missing; otherwise as for `pack_split`.
    """
    finished = {}
    out = _of_part(out, policy)
    for split in _open(source, request):
        folder = out / split.facts.split
        finished[folder] = pack_split(split, folder, policy=policy, on_progress=on_progress)
    return finished


def plan(source: Source, request: Request, out: Path, *, policy: Policy = DEFAULT_POLICY) -> list[PlannedSplit]:
    """Return what `prepare` would write, without changing anything."""
    planned = []
    out = _of_part(out, policy)
    for split in _open(source, request):
        folder = out / split.facts.split
        pieces = plan_pieces(split, folder, policy=policy)
        there = sum(piece.path.is_file() for piece in pieces)
        state = "finished" if (folder / INDEX_NAME).is_file() else f"{there} of {len(pieces)} shards finished"
        poses = sum(piece.stop - piece.start for piece in pieces)
        planned.append(PlannedSplit(split.facts.split, folder, poses, len(pieces), poses * split.bytes_each, state))
    return planned


def _of_part(out: Path, policy: Policy) -> Path:
    return out if policy.part is None else out / policy.part.name


def check(source: Source, request: Request) -> Report:
    """Check a download without packing it: which files exist, and whether the numbers are consistent.

    Annotations are staged in a temporary folder, which is removed.
    """
    checks: dict[str, tuple[CheckFacts, ...]] = {}
    parts: tuple[FileState, ...] = ()
    try:
        parts = tuple(source.inspect(request))
        with tempfile.TemporaryDirectory() as folder:
            for split in source.open(request):
                target = Path(folder) / split.facts.split
                target.mkdir()
                split.stage(target)
                checks[split.facts.split] = tuple(split.checks())
    except DataError as error:
        return Report(parts, checks, str(error))
    return Report(parts, checks)


def _open(source: Source, request: Request) -> Sequence[Split]:
    """Open a source; if its folder does not exist, the error also says where to get the data and how to lay it out."""
    try:
        return source.open(request)
    except DataError as error:
        if request.root.exists():
            raise
        layout = " | ".join(line.strip() for line in source.layout.splitlines())
        download = "" if source.download in str(error) else f"; {source.download}"
        raise DataError(f"{error}{download}{_instead(source)}; expected layout: {layout}") from error


def _instead(source: Source) -> str:
    """Return a hint to try synthetic data instead of the download; empty if none can be written in its layout."""
    written = next((name for name in LAYOUTS if name.partition("-")[0] == source.name), None)
    return "" if written is None else f"; or try it on synthetic data: `hifihr prepare synth --as {written} --count 64`"
