"""Merge parts of a dataset that were packed on several machines; the bytes are the same as those of a single run."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from hifihr_core.errors import DataError
from hifihr_core.files import describe_os_error, write_text
from hifihr_core.machine.parts import Part, named_part
from hifihr_core.shards.packing import PART
from hifihr_core.shards.schema import INDEX_NAME, ShardIndex, read_index
from hifihr_core.shards.summary import Tally, summarise


def merge_parts(out: Path) -> dict[Path, ShardIndex]:
    """Merge the parts below `out`, split by split, and return the index of each merged folder.

    Shards are moved, not copied, and the parts' folders are removed last, so that an interrupted merge resumes.
    Raises: DataError if a part is missing or unfinished, or the parts differ in their data or options.
    """
    parts = find_parts(out)
    splits = sorted({path.name for folder in parts.values() for path in folder.iterdir() if path.is_dir()})
    merged = {out / split: _merge_split(out / split, [folder / split for folder in parts.values()]) for split in splits}
    try:
        for folder in parts.values():
            shutil.rmtree(folder)
    except OSError as error:
        raise DataError(describe_os_error(error, out)) from error
    return merged


def find_parts(out: Path) -> Mapping[Part, Path]:
    """Return the folder of every part below `out`. Raises: DataError if one is missing or their totals differ."""
    parts = [part for path in out.glob("part-*-of-*") if (part := named_part(path.name)) is not None]
    found = sorted((part.of, part.number) for part in parts)
    if not out.is_dir():
        kind = "a file" if out.exists() else "no such folder"
        raise DataError(f"{out}: {kind}, expected the folder given as --out to `hifihr prepare --part`")
    if not found:
        raise DataError(f"{out}: contains no parts, expected folders like part-1-of-4; run `hifihr prepare --part 1/4`")
    of = found[0][0]
    missing = sorted(set(range(1, of + 1)) - {number for total, number in found if total == of})
    if missing or found[-1][0] != of:
        names = ", ".join(f"{number}/{of}" for number in missing)
        totals = f"contains parts with different totals, {of} and {found[-1][0]}"
        fault = f"missing parts: {names}" if missing else totals
        raise DataError(f"{out}: {fault}; run `hifihr prepare --part` for every part, with the same total")
    return {Part(number, of): out / Part(number, of).name for _, number in found}


def _merge_split(target: Path, folders: list[Path]) -> ShardIndex:
    indexes = [read_index(folder) for folder in folders]
    plans = [{name: value for name, value in index.plan.items() if name != PART} for index in indexes]
    if any(plan != plans[0] for plan in plans) or any(index.facts != indexes[0].facts for index in indexes):
        raise DataError(
            f"{target.parent}: its parts differ in their data or options; prepare them again with the same ones"
        )
    tally = Tally()
    try:
        target.mkdir(parents=True, exist_ok=True)
        for folder, index in zip(folders, indexes, strict=True):
            for shard in index.shards:
                if (folder / shard.file).is_file():
                    (folder / shard.file).replace(target / shard.file)
                tally.add_finished(target / shard.file)
                if tally.shards[shard.file] != shard:
                    raise DataError(
                        f"{target / shard.file}: differs from the index of its part; prepare that part again"
                    )
    except OSError as error:
        raise DataError(describe_os_error(error, target)) from error
    merged = summarise(indexes[0].facts, plans[0], indexes[0].checks, tally, target)
    write_text(target / INDEX_NAME, merged.dump())
    return merged
