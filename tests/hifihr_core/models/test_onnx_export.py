"""Networks as ONNX: every shipped one gives torch's numbers in onnxruntime, for any batch size."""

import json

import numpy as np
import pytest
import torch

from hifihr_core.errors import AssetError, ConfigError, DataError
from hifihr_core.machine.onnx_runtime import import_onnxruntime
from hifihr_core.models import onnx_export
from hifihr_core.models.onnx_export import NETWORKS, export_onnx, largest_difference

pytest.importorskip("onnxscript", reason="the extra onnx is not installed")


def test_a_shipped_network_runs_without_torch(run_cli, tmp_path):
    onnxruntime = import_onnxruntime()
    path = tmp_path / "lifter.onnx"
    ended = run_cli("export", "lifter", "--to", "onnx", "--out", path, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["bytes"] == path.stat().st_size
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    portable = NETWORKS["lifter"]()
    example = portable.example(2)
    assert [one.name for one in session.get_inputs()] == list(example)
    assert [one.name for one in session.get_outputs()] == list(portable.outputs)
    found = session.run(None, {key: value.numpy() for key, value in example.items()})
    with torch.no_grad():
        expected = portable.module(*example.values())
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)


def test_a_file_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    class Doubled(torch.nn.Module):
        def forward(self, image):
            return (2 * image,)

    class Plain(Doubled):
        def forward(self, image):
            return (image,)

    def portable(module):
        return onnx_export.Portable(module(), ("out",), lambda count: {"image": torch.ones(count, 3)})

    wrong = onnx_export.onnx_content(portable(Doubled))
    assert largest_difference(portable(Plain), wrong, 2) == 1
    monkeypatch.setattr(onnx_export, "NETWORKS", {"plain": lambda: portable(Plain)})
    monkeypatch.setattr(onnx_export, "onnx_content", lambda _: wrong)
    with pytest.raises(AssetError, match="differs from torch by 1"):
        export_onnx("plain", tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "NETWORKS", {})
    with pytest.raises(DataError, match="a folder, which is never replaced"):
        export_onnx(str(tmp_path), tmp_path)


def test_an_unknown_network_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file, run folder or shipped network"):
        export_onnx("hands", tmp_path / "a.onnx")


def test_other_formats_are_refused(run_cli):
    assert run_cli("export", "lifter", "--to", "tflite").code == 2
