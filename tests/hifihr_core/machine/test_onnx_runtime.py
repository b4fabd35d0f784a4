"""onnxruntime sends nothing anywhere, and is imported in one place."""

from pathlib import Path

import hifihr_core

CODE = """
import os
from hifihr_core.machine.onnx_runtime import import_onnxruntime
print(import_onnxruntime().__name__, os.environ["ORT_DISABLE_TELEMETRY"])
"""


def test_telemetry_is_off_and_an_unwritable_home_does_no_harm(run_fresh, tmp_path):
    (tmp_path / "file").touch()
    ended = run_fresh("-c", CODE, HOME=str(tmp_path / "file"))
    assert (ended.code, ended.out, ended.err) == (0, "onnxruntime 1\n", "")
    assert run_fresh("-c", CODE, ORT_DISABLE_TELEMETRY="0").out == "onnxruntime 0\n"  # as the user says


def test_nothing_else_imports_it():
    root = Path(hifihr_core.__file__).parent
    found = [path.name for path in root.rglob("*.py") if "import onnxruntime" in path.read_text(encoding="utf-8")]
    assert found == ["onnx_runtime.py"]
