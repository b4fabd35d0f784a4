"""The numbered programs in examples/ run unchanged, in an empty folder."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("[0-9]*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip()


def test_the_first_run_of_the_readme_works(tmp_path: Path, run_cli) -> None:
    folder = Path(__file__).parent.parent / "examples"
    words = ("predict", folder / "hand.jpg", "--boxes", folder / "hand.json", "--refine", "--steps", 2)
    ended = run_cli(*words, "--out", tmp_path)
    assert ended.code == 0
    assert {path.name for path in tmp_path.iterdir()} >= {"hand.glb", "hand_0.obj", "hand_0.json", "hand_overlay.jpg"}
    report = json.loads((tmp_path / "hand_0.json").read_text())["report"]
    assert report["keypoint_error_px"] < 4


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3


def test_asking_the_demo_for_help_starts_nothing(tmp_path: Path) -> None:
    script = Path(__file__).parent.parent / "tools" / "demo.py"
    ended = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("usage: demo.py")
    assert list(tmp_path.iterdir()) == []
