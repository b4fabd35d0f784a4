"""Shared by all tests: hypothesis settings, a separate cache, command lines run in this process or a new one."""

import os
import random
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes, which would fight for the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("hifihr", deadline=None, derandomize=True, database=None)
settings.load_profile("hifihr")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--shuffle SEED`: files, and the tests of each file, in random order."""
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the tests in a random order")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle the tests if requested; those of a file stay together, since they share costly fixtures."""
    seed = config.getoption("--shuffle")
    if seed is None:
        return
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    dice, groups = random.Random(seed), list(files.values())
    dice.shuffle(groups)
    for group in groups:
        dice.shuffle(group)
    items[:] = [item for group in groups for item in group]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes `-n auto` starts: one per core, at most four, as each needs a gigabyte."""
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Assign whole files to processes, since the tests of a file share costly fixtures."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The last line on stderr."""
        return self.err.strip().splitlines()[-1] if self.err.strip() else ""


@pytest.fixture(scope="session", autouse=True)
def _apart_from_the_user(tmp_path_factory):
    """Isolate every test from the user's cache, data and colours; HIFIHR_TEST_... variables name real assets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIFIHR_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("HIFIHR_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("NO_COLOR", "1")
        yield


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return an empty cache folder for this test alone."""
    folder = tmp_path / "cache home"
    monkeypatch.setenv("HIFIHR_HOME", str(folder))
    return folder


@pytest.fixture
def run_cli(capsys) -> Callable[..., Ended]:
    """Return ``run_cli("assets", "list") -> Ended``: a command line run in this process."""
    from hifihr_cli.main import main

    def run(*words: object) -> Ended:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return run


@pytest.fixture(scope="session")
def run_fresh() -> Callable[..., Ended]:
    """Return ``run_fresh("-c", code) -> Ended``: a new interpreter, as a user starts it."""

    def run(*words: object, **variables: str) -> Ended:
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, **variables},
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


def pytest_runtest_setup(item):
    """Skip tests marked `gpu` without a CUDA device, unless HIFIHR_REQUIRE_GPU makes them fail."""
    if item.get_closest_marker("gpu") and not os.environ.get("HIFIHR_REQUIRE_GPU"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def load_tool() -> Callable[[str], SimpleNamespace]:
    """Return a function that loads a file in `tools/`, which is not a package, by its path."""
    tools = Path(__file__).parent.parent / "tools"
    return lambda name: SimpleNamespace(**runpy.run_path(str(tools / name)))


@pytest.fixture(scope="session")
def raw_trees():
    """Return the module `raw_trees.py`: writers of tiny downloads of every dataset, in the original formats."""
    spec = spec_from_file_location("raw_trees", Path(__file__).with_name("raw_trees.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
