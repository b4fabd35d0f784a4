"""`hifihr doctor`: every part is checked, and every failure comes with the command that fixes it."""

import json

import pytest

from hifihr_core import doctor
from hifihr_core.assets import REGISTRY
from hifihr_core.models import shipped


@pytest.fixture
def findings(run_cli, home, tmp_path, monkeypatch):
    """Return ``findings() -> (exit code, {(group, name): finding})``."""
    monkeypatch.setenv("HIFIHR_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def look():
        ended = run_cli("doctor", "--json")
        assert ended.out, ended.err
        document = json.loads(ended.out)
        return ended.code, {(f["group"], f["name"]): f for f in document["findings"]}

    return look


def test_everything_the_contract_names_is_looked_at(findings):
    code, found = findings()
    assert code == 0
    assert {group for group, _ in found} == set(doctor.CHECKS)
    for name in ("python", "torch"):
        assert found["python", name]["state"] == "ok"
    assert found["rendering", "native on cpu"]["state"] == "ok"
    assert [f["state"] for (group, _), f in found.items() if group == "models"] == ["ok"] * 3
    assert found["eyes", "palms and joints"]["state"] == "ok"
    assert ("extras", "pytorch3d") in found
    assert {name for group, name in found if group == "assets"} == set(REGISTRY)
    for name, asset in REGISTRY.items():
        assert f"missing, licence: {asset.licence}" == found["assets", name]["found"]
    assert {name for group, name in found if group == "folders"} == {"cache", "data", "here"}
    assert all(f["remedy"] for f in found.values() if f["state"] != "ok")
    assert all(not f["remedy"] for f in found.values() if f["state"] == "ok")


@pytest.fixture
def quick(monkeypatch):
    """Skip the slow checks."""
    monkeypatch.setattr(doctor, "CHECKS", {name: doctor.CHECKS[name] for name in ("assets", "data", "folders")})


def test_a_shipped_model_that_is_damaged_or_gone_is_a_problem(findings, tmp_path, monkeypatch):
    whole = shipped.shipped_model(shipped.LIFTER).read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    paths = {shipped.LIFTER: tmp_path / "half.safetensors", shipped.IMAGE_NETWORK: None, shipped.HAND_NETWORK: None}
    monkeypatch.setattr(shipped, "shipped_model", paths.__getitem__)
    monkeypatch.setattr(doctor, "CHECKS", {"models": doctor.CHECKS["models"]})
    code, found = findings()
    assert code == 1
    assert "not a complete safetensors file" in found["models", shipped.LIFTER]["found"]
    assert found["models", shipped.IMAGE_NETWORK]["found"] == "missing from this installation"
    assert {f["remedy"] for f in found.values()} == {doctor.REINSTALL}


def test_a_damaged_asset_is_a_problem(findings, run_cli, home, tmp_path, quick):
    folder = home / "vgg19"
    folder.mkdir(parents=True)
    (folder / REGISTRY["vgg19"].file).write_bytes(b"half")
    code, found = findings()
    assert code == 1
    assert found["assets", "vgg19"]["state"] == "problem"
    assert found["assets", "vgg19"]["remedy"] == "run `hifihr assets fetch vgg19`"
    ended = run_cli("doctor")
    assert ended.code == 1
    assert ended.message.startswith("error: 1 of ")
    assert "assets vgg19" in ended.message
    assert "\nassets\tvgg19\tproblem\tunverified, licence: free\trun `hifihr assets fetch vgg19`\n" in ended.out


def test_data_folders_are_listed(findings, tmp_path, quick):
    (tmp_path / "data" / "shards" / "freihand").mkdir(parents=True)
    _, found = findings()
    assert found["data", "shards"]["state"] == "ok"
    assert "freihand" in found["data", "shards"]["found"]
    assert found["data", "raw"]["state"] == "note"


def test_a_folder_that_cannot_be_written(findings, monkeypatch, quick):
    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    code, found = findings()
    assert code == 1
    assert "not writable: permission denied" in found["folders", "cache"]["found"]
    assert "HIFIHR_HOME" in found["folders", "cache"]["remedy"]


def test_a_nearly_full_disk_is_a_note(findings, monkeypatch, quick):
    monkeypatch.setattr(doctor, "FREE_DISK_GB", 1e9)
    code, found = findings()
    assert code == 0
    assert found["folders", "here"]["state"] == "note"


def test_a_check_that_fails_is_itself_a_finding(findings, monkeypatch):
    def broken():
        raise ImportError("libcudart.so: cannot open\nshared object")
        yield

    monkeypatch.setattr(doctor, "CHECKS", {"devices": broken, "data": broken})
    code, found = findings()
    assert code == 1
    assert found["devices", "devices"]["found"] == "ImportError: libcudart.so: cannot open shared object"
    assert found["devices", "devices"]["remedy"] == doctor.REINSTALL
    assert "HIFIHR_DATA" in found["data", "data"]["remedy"]


def test_a_renderer_that_draws_something_else_is_a_problem(findings, monkeypatch):
    import torch

    faces = {"native": torch.zeros(2), "reference": torch.ones(2), "pytorch3d": torch.ones(2)}
    monkeypatch.setattr(doctor, "_draw", lambda backend, device: faces[backend])
    monkeypatch.setattr(doctor, "CHECKS", {"rendering": doctor.look_at_renderer})
    code, found = findings()
    assert code == 1
    assert found["rendering", "native on cpu"]["found"] == "renders different faces than the reference"
