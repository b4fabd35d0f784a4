"""Packing: interrupted anywhere, the same command ends with the same bytes; disk errors are clear messages."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.records import Sample
from hifihr_core.shards import writer
from hifihr_core.shards.folder import ShardSet, verify
from hifihr_core.shards.packing import Policy, pack_split, plan_pieces
from hifihr_core.shards.schema import DatasetFacts, Problem, read_index
from hifihr_core.shards.split import Split
from hifihr_core.sources.contract import Request
from hifihr_core.sources.table import find_source

FACTS = DatasetFacts(dataset="toy", split="train", version="1", licence="free", joint_definition="freihand")
SMALL = Policy(shard_bytes=3 * 1000)


class ToySplit(Split):
    """Twelve poses; `bad` ones are problems, and at `fail_at` reading stops as in a crash."""

    def __init__(self, count=12, bad=(), fail_at=None):
        self.facts, self.count, self.bytes_each, self.plan = FACTS, count, 1000, {"toy": count}
        self.bad, self.fail_at, self.read_poses = bad, fail_at, []

    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        for pose in range(start, stop):
            if pose == self.fail_at:
                raise KeyboardInterrupt
            self.read_poses.append(pose)
            if pose in self.bad:
                yield Problem(key=str(pose), reason="toy")
                continue
            labels = {"bone_m": np.asarray(pose, np.float32)}
            yield Sample(str(pose), str(pose), os.fsencode(f"image {pose}") * 80, np.eye(3, dtype=np.float32), labels)


def digests(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def whole(tmp_path):
    """The files of an uninterrupted run."""
    pack_split(ToySplit(), tmp_path / "whole", policy=SMALL)
    return digests(tmp_path / "whole")


def test_a_run_leaves_shards_and_an_index_and_nothing_else(tmp_path, whole):
    assert list(whole) == ["index.json", *(f"train-{n:05d}.h5" for n in range(4))]
    shards = ShardSet(tmp_path / "whole")
    assert [float(sample.labels["bone_m"]) for sample in shards] == list(range(12))
    assert shards.index.labels["bone_m"].count == 12
    assert list(verify(tmp_path / "whole")) == []


def test_an_interrupted_run_resumes_where_it_was(tmp_path, whole):
    with pytest.raises(KeyboardInterrupt):
        pack_split(ToySplit(fail_at=7), tmp_path / "out", policy=SMALL)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".work", "train-00000.h5", "train-00001.h5"]
    with pytest.raises(DataError, match=r"no index\.json"):
        ShardSet(tmp_path / "out")
    again = ToySplit()
    pack_split(again, tmp_path / "out", policy=SMALL)
    assert again.read_poses == list(range(6, 12))
    assert digests(tmp_path / "out") == whole


def test_a_finished_folder_is_not_packed_again(tmp_path, whole):
    again = ToySplit()
    index = pack_split(again, tmp_path / "whole", policy=SMALL)
    assert again.read_poses == []
    assert index == read_index(tmp_path / "whole")


def test_shards_of_the_first_release_are_kept(tmp_path, whole):
    """Its plan lacks the size of crops."""
    path = tmp_path / "whole/index.json"
    index = json.loads(path.read_text())
    for facts in (index["facts"], index["plan"]["facts"]):
        del facts["crop_scale"]
    path.write_text(json.dumps(index))
    again = ToySplit()
    pack_split(again, tmp_path / "whole", policy=SMALL)
    assert again.read_poses == []


def test_a_run_killed_in_its_last_moment_is_tidied(tmp_path, whole):
    (tmp_path / "whole/.work").mkdir()
    (tmp_path / "whole/.work/plan.json").write_text("{}")
    pack_split(ToySplit(), tmp_path / "whole", policy=SMALL)
    assert digests(tmp_path / "whole") == whole


def test_another_plan_is_refused_or_overwrites(tmp_path, whole):
    with pytest.raises(
        DataError, match=r"shards of other data or options \(different: poses, toy\); choose another --out"
    ):
        pack_split(ToySplit(6), tmp_path / "whole", policy=SMALL)
    assert digests(tmp_path / "whole") == whole
    pack_split(ToySplit(6), tmp_path / "whole", policy=Policy(shard_bytes=3000, overwrite=True))
    assert len(ShardSet(tmp_path / "whole")) == 6
    assert len(list((tmp_path / "whole").iterdir())) == 3


def test_an_unfinished_folder_of_another_plan_is_restarted(tmp_path, whole):
    with pytest.raises(KeyboardInterrupt):
        pack_split(ToySplit(11, fail_at=9), tmp_path / "out", policy=SMALL)
    pack_split(ToySplit(), tmp_path / "out", policy=SMALL)
    assert digests(tmp_path / "out") == whole


def test_an_interrupted_overwrite_resumes_too(tmp_path, whole):
    again = Policy(shard_bytes=3000, overwrite=True)
    pack_split(ToySplit(9), tmp_path / "out", policy=SMALL)
    with pytest.raises(KeyboardInterrupt):
        pack_split(ToySplit(fail_at=7), tmp_path / "out", policy=again)
    last = ToySplit()
    pack_split(last, tmp_path / "out", policy=again)
    assert last.read_poses == list(range(6, 12))
    assert digests(tmp_path / "out") == whole


def test_foreign_files_in_the_folder_are_left_alone(tmp_path, whole):
    (tmp_path / "out").mkdir()
    for name in ("mine.h5", ".hidden.json", "train-me.h5"):
        (tmp_path / "out" / name).write_text("mine")
    pack_split(ToySplit(), tmp_path / "out", policy=SMALL)
    pack_split(ToySplit(), tmp_path / "out", policy=Policy(shard_bytes=3000, overwrite=True))
    found = digests(tmp_path / "out")
    assert {name: found.pop(name) for name in ("mine.h5", ".hidden.json", "train-me.h5")}
    assert found == whole


def test_workers_give_the_same_bytes(tmp_path, raw_trees):
    raw_trees.write_freihand(tmp_path / "raw", training=6, evaluation=0)
    (split,) = find_source("freihand").open(Request(tmp_path / "raw"))
    found = []
    for workers in (0, 2):
        out = tmp_path / f"out{workers}"
        pack_split(split, out, policy=Policy(workers=workers, shard_bytes=2 * split.bytes_each))
        found.append(digests(out))
    assert found[0] == found[1]
    assert len(found[0]) == 4


class StickingSplit(ToySplit):
    """Reading poses after the sixth never ends."""

    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        yield from super().read(start, min(stop, 6))
        if stop > 6:
            threading.Event().wait()


def test_interrupted_workers_end_in_the_middle_of_their_shards(tmp_path, whole):
    def interrupt(split, done, total):
        if done == 6:
            raise KeyboardInterrupt

    policy = Policy(workers=2, shard_bytes=SMALL.shard_bytes)
    with pytest.raises(KeyboardInterrupt):
        pack_split(StickingSplit(), tmp_path / "out", policy=policy, on_progress=interrupt)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".work", "train-00000.h5", "train-00001.h5"]
    pack_split(ToySplit(), tmp_path / "out", policy=SMALL)
    assert digests(tmp_path / "out") == whole


def test_problems_are_listed_and_too_many_are_fatal(tmp_path):
    few = Policy(shard_bytes=3000, max_problems=0.2)
    index = pack_split(ToySplit(bad=(1, 5)), tmp_path / "few", policy=few)
    assert (index.samples, index.problem_count) == (10, 2)
    assert index.problems == (Problem(key="1", reason="toy"), Problem(key="5", reason="toy"))
    message = r"problems: 3 in 12 poses, expected at most 20% \(1: toy; 2: toy; 3: toy\); fix the data, or "
    for _ in range(2):  # the second run counts the problems of finished shards too
        with pytest.raises(DataError, match=message):
            pack_split(ToySplit(bad=(1, 2, 3)), tmp_path / "many", policy=few)
    assert not (tmp_path / "many/index.json").exists()
    index = pack_split(ToySplit(bad=(1, 2, 3)), tmp_path / "many", policy=Policy(shard_bytes=3000, force=True))
    assert index.problem_count == 3


def test_an_empty_split_has_an_index(tmp_path):
    index = pack_split(ToySplit(0), tmp_path / "none")
    assert (index.samples, index.shards) == (0, ())
    assert len(ShardSet(tmp_path / "none")) == 0


def test_a_damaged_finished_folder_is_named(tmp_path, whole):
    (tmp_path / "whole/train-00002.h5").unlink()
    with pytest.raises(DataError, match=r"train-00002\.h5: missing, or its size differs.*--overwrite"):
        pack_split(ToySplit(), tmp_path / "whole", policy=SMALL)


def test_a_read_only_target_is_a_clear_error(tmp_path):
    if os.geteuid() == 0:
        target = tmp_path / "file"
        target.write_text("")
        with pytest.raises(DataError, match="expected a folder; check the path"):
            pack_split(ToySplit(), target / "out", policy=SMALL)
        return
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(DataError, match="permission denied"):
        pack_split(ToySplit(), tmp_path / "locked/out", policy=SMALL)


def test_a_full_disk_is_a_clear_error_and_loses_nothing_finished(tmp_path, whole, monkeypatch):
    calls = []

    def full(self, content):
        calls.append(content)
        if len(calls) > 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, content)

    original = writer._Blob.add
    with monkeypatch.context() as patch:
        patch.setattr(writer._Blob, "add", full)
        with pytest.raises(DataError, match=r"train-0000\d\.h5: the disk is full; free some space"):
            pack_split(ToySplit(), tmp_path / "out", policy=SMALL)
    assert (tmp_path / "out/train-00000.h5").read_bytes() == whole["train-00000.h5"]
    pack_split(ToySplit(), tmp_path / "out", policy=SMALL)
    assert digests(tmp_path / "out") == whole


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB, where this process may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "hifihr-test", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("this process may not mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_really_full_disk(small_disk, raw_trees, tmp_path):
    raw_trees.write_freihand(tmp_path / "raw", training=12, evaluation=0)
    (split,) = find_source("freihand").open(Request(tmp_path / "raw"))
    with pytest.raises(DataError, match="the disk is full; free some space"):
        pack_split(split, small_disk / "out", policy=Policy(shard_bytes=2 * split.bytes_each))
    assert not [path for path in (small_disk / "out").glob("train*.h5") if path.stat().st_size == 0]


class MeddlingSplit(ToySplit):
    """Tries to pack into the same folder while it is packed."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.said = folder, ""

    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        with pytest.raises(DataError) as caught:
            pack_split(ToySplit(), self.folder, policy=SMALL)
        self.said = str(caught.value)
        return super().read(start, stop)


def test_two_runs_do_not_pack_into_one_folder(tmp_path, whole):
    split = MeddlingSplit(tmp_path / "out")
    pack_split(split, tmp_path / "out", policy=SMALL)
    assert "another run is using it; wait" in split.said
    assert digests(tmp_path / "out") == whole


def test_progress_counts_poses(tmp_path):
    seen = []
    pack_split(ToySplit(), tmp_path / "out", policy=SMALL, on_progress=lambda *step: seen.append(step))
    assert seen == [("train", done, 12) for done in (0, 3, 6, 9, 12)]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "the JPEG is truncated"),
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(b"hello"), "not a JPEG"),
    ],
)
def test_a_damaged_picture_is_one_problem(tmp_path, raw_trees, damage, reason):
    raw_trees.write_freihand(tmp_path / "raw", training=3, evaluation=0)
    damage(tmp_path / "raw/training/rgb/00000004.jpg")
    (split,) = find_source("freihand").open(Request(tmp_path / "raw"))
    index = pack_split(split, tmp_path / "out", policy=Policy(max_problems=0.5))
    assert index.samples == 11
    assert [problem.key for problem in index.problems] == ["hom/00000004"]
    assert reason in index.problems[0].reason


def test_a_nan_is_one_problem(tmp_path, raw_trees):
    lists = raw_trees.write_freihand(tmp_path / "raw", training=3, evaluation=0)["training"]
    lists["xyz"][1][4][2] = float("nan")
    (tmp_path / "raw/training_xyz.json").write_text(json.dumps(lists["xyz"]))
    (split,) = find_source("freihand").open(Request(tmp_path / "raw"))
    index = pack_split(split, tmp_path / "out", policy=Policy(max_problems=0.5))
    assert index.samples == 8
    assert index.problems == (Problem(key="00000001", reason="xyz: a value that is not a finite number"),)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kills"), [(0, 6), (2, 1)])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path, raw_trees, workers, kills):
    """Only a few kills; `benchmarks/prepare_kill.py` does twenty or more."""
    raw_trees.write_freihand(tmp_path / "raw", training=16, evaluation=0)
    (split,) = find_source("freihand").open(Request(tmp_path / "raw"))
    policy = Policy(workers=workers, shard_bytes=2 * split.bytes_each)
    context = get_context("forkserver")
    context.set_forkserver_preload(["hifihr_core.shards.packing", "hifihr_core.sources.freihand"])

    def run(name, *, kill_after=None):
        process = context.Process(target=partial(pack_split, policy=policy), args=(split, tmp_path / name))
        started = time.monotonic()
        process.start()
        process.join(kill_after)
        process.kill()
        process.join()
        return process.exitcode, time.monotonic() - started

    run("warm")
    code, length = run("whole")
    assert code == 0
    rng = np.random.default_rng(workers)
    codes = [run("out", kill_after=rng.uniform(0, length))[0] for _ in range(kills)]
    assert set(codes) <= {0, -signal.SIGKILL}
    assert run("out")[0] == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_pieces_are_planned_by_counts_alone(tmp_path):
    pieces = plan_pieces(ToySplit(), tmp_path, policy=Policy(shard_bytes=5000))
    assert [(piece.path.name, piece.start, piece.stop) for piece in pieces] == [
        ("train-00000.h5", 0, 4),
        ("train-00001.h5", 4, 8),
        ("train-00002.h5", 8, 12),
    ]


NO_LOCKS = """
#include <errno.h>
int flock(int file, int operation) { errno = ENOLCK; return -1; }
"""


@pytest.mark.skipif(shutil.which("cc") is None or sys.platform != "linux", reason="needs a C compiler and LD_PRELOAD")
def test_a_file_system_without_locks_is_good_enough(tmp_path, whole):
    """As NFS and Lustre answer on many clusters; the lock is then the presence of a file."""
    (tmp_path / "flock.c").write_text(NO_LOCKS)
    library = tmp_path / "flock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "flock.c"], check=True)
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_packing import SMALL, ToySplit, pack_split
from hifihr_core.shards.folder import ShardSet, verify
out = Path({str(tmp_path / "out")!r})
pack_split(ToySplit(), out, policy=SMALL)
assert list(verify(out)) == [], list(verify(out))
assert len(list(ShardSet(out))) == 12
"""
    variables = {**os.environ, "LD_PRELOAD": str(library)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "out") == whole
