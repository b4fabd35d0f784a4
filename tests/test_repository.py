"""The repository itself: one test command, pinned versions, layers that point one way, files of a readable size."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def bare(requirement):
    return re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_the_readme_has_one_test_command_in_one_line():
    section = README.split("\n## Tests\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 1
    assert blocks[0].count("\n") == 1
    assert "pytest" in blocks[0]
    assert "-c constraints.txt" in blocks[0]


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell script")
def test_ci_runs_exactly_the_command_of_the_readme_and_ends_as_it_does(tmp_path):
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text(script, encoding="utf-8")
    for status in (0, 7):
        (tmp_path / "README.md").write_text(
            f"# a\n\n## Tests\n\n```sh\necho ran; exit {status}\n```\n", encoding="utf-8"
        )
        done = subprocess.run(["sh", ".ci/run"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == status
        assert done.stdout == f"echo ran; exit {status}\nran\n"
    (tmp_path / "README.md").write_text("# nothing here\n", encoding="utf-8")
    assert subprocess.run(["sh", ".ci/run"], cwd=tmp_path, capture_output=True).returncode == 1


def test_every_dependency_is_pinned_and_open_upwards():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r'[\w.-]+==[\w.+!]+(; python_version (<|>=) "3\.\d+")?', pin) for pin in pins)
    pinned = {bare(pin) for pin in pins}
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["dev"]]
    assert {bare(requirement) for requirement in wanted} <= pinned
    assert all(">=" in requirement and "<=" not in requirement for requirement in wanted)
    assert not [requirement for requirement in wanted if re.search(r",\s*<", requirement)]


def test_every_module_of_the_core_is_in_a_layer():
    (contract,) = PROJECT["tool"]["importlinter"]["contracts"]
    placed = {name.strip() for row in contract["layers"] for name in row.split("|")}
    core = ROOT / "hifihr_core"
    names = {path.stem for path in core.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    names.discard("__init__")
    assert {f"hifihr_core.{name}" for name in names} | {"hifihr_cli"} == placed


def test_imports_point_one_way():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def python_files():
    return sorted(
        path
        for folder in ("hifihr_cli", "hifihr_core", "tests", "tools", "benchmarks", "examples")
        for path in (ROOT / folder).rglob("*.py")
    )


def test_no_file_contains_the_markers_of_a_merge_conflict():
    texts = [*python_files(), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]
    marker = re.compile(r"^ *(<<<<<<< |>>>>>>> |=======$)", re.MULTILINE)
    assert [path.name for path in texts if marker.search(path.read_text(encoding="utf-8"))] == []


def test_files_keep_a_readable_size():
    long = {str(path.relative_to(ROOT)): count for path in python_files() if (count := _lines(path)) > 500}
    assert long == {}


def _lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


#: Names that a reader expects in several rooms: every room with a table or contract, hand models, datasets.
EXPECTED_TWICE = {"__init__", "table", "model", "contract", "arrays", "convert", "freihand", "ho3d"}

#: Modules in one folder of the core, at most, beside `__init__.py`; a folder with more becomes two rooms.
LARGEST_FOLDER = 15


def core_files():
    return [path for path in python_files() if path.is_relative_to(ROOT / "hifihr_core")]


def test_a_file_name_is_used_once_in_the_core():
    names = Counter(path.stem for path in core_files())
    assert {name for name, count in names.items() if count > 1} <= EXPECTED_TWICE


def test_no_folder_of_the_core_is_crowded():
    modules = [path for path in core_files() if path.stem != "__init__"]
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for path in modules)
    assert [name for name, count in counts.items() if count > LARGEST_FOLDER] == []


def test_the_architecture_page_names_only_what_exists():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:hifihr_core|hifihr_cli|tests|docs|tools|benchmarks|examples)/[\w./-]*)`", page))
    assert len(paths) > 40
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_the_architecture_page_knows_every_room():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in (ROOT / "hifihr_core").glob("*/__init__.py")}
    assert sorted(room for room in rooms if f"hifihr_core/{room}/" not in page) == []
