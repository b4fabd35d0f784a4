"""Pack a source into a shard folder: annotations are staged and checked, then shards are written in parallel.

How a split is divided into shards depends only on counts, so every run plans the same files. A shard appears under its
final name only when complete; `index.json` is written last. Until then a hidden folder, `.work`, keeps the plan and the
staged annotations, and after any interruption the same command continues where the last run stopped.
"""

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_process
from pathlib import Path
from typing import Any

import cv2

from hifihr_core import __version__
from hifihr_core.errors import DataError
from hifihr_core.files import describe_os_error, write_text
from hifihr_core.folder_lock import LOCK_NAME, lock_folder
from hifihr_core.machine.parts import Part
from hifihr_core.outside.json_text import read_json
from hifihr_core.shards import fork_server
from hifihr_core.shards.schema import (
    FORMAT_VERSION,
    INDEX_NAME,
    CheckFacts,
    Problem,
    ShardFacts,
    ShardIndex,
    read_index,
    split_evenly,
)
from hifihr_core.shards.split import Split
from hifihr_core.shards.summary import Tally, summarise
from hifihr_core.shards.writer import write_shard

SHARD_BYTES = 128 << 20
WORK_NAME = ".work"
SOFTWARE = f"hifihr {__version__}"
#: Key in the plan of a part: [number, of].
PART = "part"

#: Called after every shard with (split, poses done, total poses).
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Piece:
    """One planned shard: its file and its annotated poses, start..stop-1."""

    path: Path
    start: int
    stop: int


@dataclass(frozen=True)
class Policy:
    """How to pack.

    `workers` is the number of processes (below 2: this process packs). `max_problems` is the maximum number of problems
    (pictures or poses that are skipped) per pose; `force` packs even if checks fail or there are more; `overwrite`
    replaces a finished folder. With a `part`, only that part of the shards is packed; `merging.merge_parts` joins all
    parts.
    """

    workers: int = 0
    max_problems: float = 0.01
    force: bool = False
    overwrite: bool = False
    shard_bytes: int = SHARD_BYTES
    part: Part | None = None


DEFAULT_POLICY = Policy()


def plan_pieces(split: Split, folder: Path, *, policy: Policy = DEFAULT_POLICY) -> list[Piece]:
    """Return the planned shards of a split, or of the part of it that `policy.part` selects, in order."""
    ranges = split_evenly(split.count, bytes_each=split.bytes_each, target_bytes=policy.shard_bytes)
    pieces = [
        Piece(folder / f"{split.facts.split}-{number:05d}.h5", poses.start, poses.stop)
        for number, poses in enumerate(ranges)
    ]
    return pieces if policy.part is None else pieces[policy.part.number - 1 :: policy.part.of]


def pack_split(
    split: Split, folder: Path, *, policy: Policy = DEFAULT_POLICY, on_progress: OnProgress | None = None
) -> ShardIndex:
    """Write the shards of one split and their index into `folder`, and return the index.

    A finished folder with the same data and options is left unchanged; an unfinished one is completed. `on_progress` is
    called at the beginning and after every shard. Raises: DataError if `folder` is finished but has other data or
    options (and `policy.overwrite` is off), another run is packing there, a check fails, too many samples have
    problems, a file cannot be written, or a worker dies.
    """
    plan = _describe(split, policy)
    if (folder / INDEX_NAME).exists() and not policy.overwrite:
        return _keep_finished(folder, plan)
    with lock_folder(folder, what="another run", by_presence=True, error=DataError):
        _take_over(folder, plan, split.facts.split)
        work = folder / WORK_NAME
        split.stage(work)
        results = tuple(split.checks())
        _refuse_failed(results, policy)
        pieces = plan_pieces(split, folder, policy=policy)
        try:
            tally = _pack(split, pieces, policy, on_progress or (lambda split, done, total: None))
        except BaseException:
            _clear_half_written(folder, split.facts.split)
            raise
        index = summarise(split.facts, plan, results, tally, folder)
        write_text(folder / INDEX_NAME, index.dump())
        shutil.rmtree(work, ignore_errors=True)
    return index


def _describe(split: Split, policy: Policy) -> dict[str, Any]:
    """Return the plan, all that determines the shards, as JSON values: if it changes, no finished shard is reused."""
    plan = {
        "layout": FORMAT_VERSION,
        "software": SOFTWARE,
        "facts": split.facts.model_dump(mode="json"),
        "poses": split.count,
        "bytes_each": split.bytes_each,
        "shard_bytes": policy.shard_bytes,
        **split.plan,
    }
    if policy.part is not None:
        plan[PART] = [policy.part.number, policy.part.of]
    return json.loads(json.dumps(plan))


def _keep_finished(folder: Path, plan: Mapping[str, Any]) -> ShardIndex:
    """Return the index of a finished folder. Raises: DataError if it was packed with another plan or lacks a shard."""
    index = read_index(folder)
    differing = [name for name in plan if name != "software" and index.plan.get(name) != plan[name]]
    if differing:
        raise DataError(
            f"{folder}: contains finished shards of other data or options (different: {', '.join(differing)}); "
            "choose another --out, or replace them with --overwrite"
        )
    for shard in index.shards:
        path = folder / shard.file
        if not path.is_file() or path.stat().st_size != shard.bytes:
            raise DataError(f"{path}: missing, or its size differs from {INDEX_NAME}; run again with --overwrite")
    # Left behind if a run was killed at its very end.
    shutil.rmtree(folder / WORK_NAME, ignore_errors=True)
    (folder / LOCK_NAME).unlink(missing_ok=True)
    return index


def _take_over(folder: Path, plan: Mapping[str, Any], name: str) -> None:
    """Prepare `folder` and its working folder; shards are kept if an interrupted run with the same plan made them.

    Other shards are removed, but only files whose names are those of shards or of hifihr's temporary files.
    """
    work = folder / WORK_NAME
    plan_path, index_path = work / "plan.json", folder / INDEX_NAME
    try:
        work.mkdir(parents=True, exist_ok=True)
        same = plan_path.is_file() and read_json(plan_path, remedy=f"delete {work} and run again") == plan
        if index_path.exists() or not same:
            index_path.unlink(missing_ok=True)
            for old in folder.glob(f"{name}-[0-9][0-9][0-9][0-9][0-9].h5"):
                old.unlink()
            shutil.rmtree(work)
            work.mkdir()
        _clear_half_written(folder, name)
    except OSError as error:
        raise DataError(describe_os_error(error, folder)) from error
    write_text(plan_path, json.dumps(plan))


def _clear_half_written(folder: Path, name: str) -> None:
    """Remove partial files of killed runs or workers; see `write_atomically`."""
    for stale in (*folder.glob(f".{name}-*.h5"), *folder.glob(".index-*.json"), *(folder / WORK_NAME).glob(".*")):
        stale.unlink(missing_ok=True)


def _refuse_failed(results: Sequence[CheckFacts], policy: Policy) -> None:
    failed = [f"{check.name} ({check.detail})" for check in results if check.status == "failed"]
    if failed and not policy.force:
        raise DataError(
            f"the data is inconsistent: {'; '.join(failed)}; fix the download, or pack it anyway with --force"
        )


def _pack(split: Split, pieces: Sequence[Piece], policy: Policy, on_progress: OnProgress) -> Tally:
    """Pack the shards that are missing, and return the contents and problems of all shards."""
    tally = Tally()
    todo = []
    for piece in pieces:
        if piece.path.is_file():
            tally.add_finished(piece.path)
        else:
            todo.append(piece)
    total = sum(piece.stop - piece.start for piece in pieces)
    done = total - sum(piece.stop - piece.start for piece in todo)
    on_progress(split.facts.split, done, total)
    for piece, shard, problems in _run(split, todo, policy.workers):
        tally.shards[piece.path.name], tally.problems[piece.path.name] = shard, problems
        done += piece.stop - piece.start
        on_progress(split.facts.split, done, total)
        _refuse_problems(tally, total, policy)
    _refuse_problems(tally, total, policy)
    return tally


def _refuse_problems(tally: Tally, poses: int, policy: Policy) -> None:
    """Raise DataError, with the first three reasons, if too many samples were skipped."""
    listed = tally.listed
    if policy.force or len(listed) <= policy.max_problems * poses:
        return
    first = "; ".join(f"{problem.key}: {problem.reason}" for problem in listed[:3])
    raise DataError(
        f"problems: {len(listed):,} in {poses:,} poses, expected at most {100 * policy.max_problems:g}% ({first}); "
        "fix the data, or raise --max-problems"
    )


def _run(
    split: Split, pieces: Sequence[Piece], workers: int
) -> Iterator[tuple[Piece, ShardFacts, tuple[Problem, ...]]]:
    """Pack pieces in this process or in workers; yield each with its contents and problems once it is finished."""
    if workers < 2 or len(pieces) < 2:
        for piece in pieces:
            yield piece, *pack_piece(split, piece)
        return
    method = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
    context = get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([fork_server.__name__, __name__, type(split).__module__])
    ended, end = context.Pipe(duplex=False)  # closing `end` ends the workers in the middle of their shards
    pool = ProcessPoolExecutor(
        min(workers, len(pieces)), mp_context=context, initializer=_start, initargs=(split, ended)
    )
    try:
        waiting: dict[Future, Piece] = {pool.submit(_pack_here, piece): piece for piece in pieces}
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), *future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process died, perhaps for lack of memory; finished shards are kept; run again, "
            "with fewer --workers if memory is short"
        ) from error
    except BaseException:
        end.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        end.close()
        ended.close()


def pack_piece(split: Split, piece: Piece) -> tuple[ShardFacts, tuple[Problem, ...]]:
    """Write one planned shard; return its contents and the samples that were skipped."""
    return write_shard(piece.path, split.read(piece.start, piece.stop), facts=split.facts, software=SOFTWARE)


_split_of_worker: Split


def _start(split: Split, ended: Connection) -> None:
    """Set up a worker: one thread, and an immediate end when its parent ends or is interrupted."""
    global _split_of_worker
    _split_of_worker = split
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker at once; its partial shard is removed later
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel, ended), daemon=True).start()


def _follow(sentinel: int, ended: Connection) -> None:
    wait_for_process([sentinel, ended])
    os._exit(1)


def _pack_here(piece: Piece) -> tuple[ShardFacts, tuple[Problem, ...]]:
    return pack_piece(_split_of_worker, piece)
