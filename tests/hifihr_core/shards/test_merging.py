"""Parts packed separately and merged equal one run byte for byte, in any order and after any interruption."""

import os
import random
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.machine.parts import Part
from hifihr_core.records import Sample
from hifihr_core.shards import merging
from hifihr_core.shards.folder import verify
from hifihr_core.shards.merging import merge_parts
from hifihr_core.shards.packing import Policy, pack_split
from hifihr_core.shards.schema import DatasetFacts, Problem
from hifihr_core.shards.split import Split

ROOT = Path(__file__).parents[3]
FACTS = DatasetFacts(dataset="toy", split="train", version="1", licence="free", joint_definition="freihand")


class ToySplit(Split):
    """Twenty poses, the seventh broken, three to a shard."""

    facts, count, bytes_each = FACTS, 20, 1000

    def __init__(self, fail_at=None, plan=1):
        self.plan, self.fail_at = {"toy": plan}, fail_at

    def read(self, start, stop):
        for pose in range(start, stop):
            if pose == self.fail_at:
                raise KeyboardInterrupt
            if pose == 7:
                yield Problem(key="7", reason="broken")
                continue
            labels = {"bone_m": np.asarray(pose, np.float32)}
            yield Sample(str(pose), str(pose), b"image" * (pose + 1), np.eye(3, dtype=np.float32), labels)


def pack(out, part=None, split=None, **options):
    policy = Policy(shard_bytes=3000, max_problems=1.0, part=part)
    folder = out / part.name / "train" if part else out / "train"
    return pack_split(split or ToySplit(**options), folder, policy=policy)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def whole(tmp_path):
    pack(tmp_path / "whole")
    return contents(tmp_path / "whole")


@pytest.mark.parametrize("of", [1, 3, 4, 9])
def test_parts_in_any_order_are_one_run(tmp_path, whole, of):
    for number in np.random.default_rng(of).permutation(of):
        pack(tmp_path / "out", Part(int(number) + 1, of))
    merge_parts(tmp_path / "out")
    assert contents(tmp_path / "out") == whole
    assert list(verify(tmp_path / "out/train")) == []


def test_a_stopped_part_and_a_stopped_merge_resume(tmp_path, whole, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        pack(tmp_path / "out", Part(1, 2), fail_at=13)
    pack(tmp_path / "out", Part(2, 2))
    with pytest.raises(DataError, match=r"no index\.json"):
        merge_parts(tmp_path / "out")
    pack(tmp_path / "out", Part(1, 2))

    def stop(path, text):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(merging, "write_text", stop)
        merge_parts(tmp_path / "out")
    assert not (tmp_path / "out/train/index.json").exists()
    merge_parts(tmp_path / "out")
    assert contents(tmp_path / "out") == whole


def test_an_incomplete_set_of_parts_is_named(tmp_path):
    with pytest.raises(DataError, match="contains no parts"):
        merge_parts(tmp_path)
    (tmp_path / "file").write_text("")
    for name, found in {"none": "no such folder", "file": "a file"}.items():
        with pytest.raises(DataError, match=f"{name}: {found}, expected the folder given as --out"):
            merge_parts(tmp_path / name)
    (tmp_path / "file").unlink()
    pack(tmp_path, Part(1, 3))
    with pytest.raises(DataError, match="missing parts: 2/3, 3/3; run"):
        merge_parts(tmp_path)
    pack(tmp_path, Part(2, 3))
    pack(tmp_path, Part(3, 3), plan=2)
    with pytest.raises(DataError, match="parts differ in their data or options"):
        merge_parts(tmp_path)
    (tmp_path / "part-1-of-4").mkdir()
    with pytest.raises(DataError, match="parts with different totals, 3 and 4"):
        merge_parts(tmp_path)
    for number, of in ((0, 3), (4, 3), (1, 0)):
        with pytest.raises(ConfigError, match="expected I/N"):
            Part(number, of)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests_of_merging import ToySplit, pack
from hifihr_core.machine.parts import parse_part

class Killed(ToySplit):
    def read(self, start, stop):
        for pose, row in zip(range(start, stop), super().read(start, stop)):
            if pose == int(sys.argv[3]):
                os.kill(os.getpid(), signal.SIGKILL)
            yield row

pack(Path(sys.argv[1]), parse_part(sys.argv[2]), split=Killed())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_parts_that_are_killed_and_started_again_are_one_run(tmp_path, whole):
    """Each part is killed once, at a different pose, with SIGKILL, so nothing can be cleaned up."""
    (tmp_path / "code").mkdir()
    shutil.copy(__file__, tmp_path / "code/tests_of_merging.py")
    dice = random.Random(3)
    for number in dice.sample((1, 2, 3), 3):
        own = [pose for shard in range(number - 1, 7, 3) for pose in range(20 * shard // 7, 20 * (shard + 1) // 7)]
        pose = dice.choice(own)
        words = [sys.executable, "-c", KILLED, tmp_path / "out", f"{number}/3", str(pose)]
        places = os.pathsep.join((str(tmp_path / "code"), os.environ.get("PYTHONPATH", ""), str(ROOT)))
        ended = subprocess.run(words, env=os.environ | {"PYTHONPATH": places}, capture_output=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        pack(tmp_path / "out", Part(number, 3))
    merge_parts(tmp_path / "out")
    assert contents(tmp_path / "out") == whole
