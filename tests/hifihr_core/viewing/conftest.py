"""A folder of results with one photo of a right and a left hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hifihr_core.exports.formats import ExportContext, write_hand
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.run_index import write_index
from hifihr_core.exports.textured_meshes import mirror_x, posed_mesh
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.placed_hands import PlacedHands, mean_texture

K = np.array([[200.0, 0, 80], [0, 200, 60], [0, 0, 1]])


@pytest.fixture(scope="session")
def small_hand() -> HandModel:
    return load_hand("anny", texture_px=64)


@pytest.fixture
def folder(tmp_path: Path, small_hand: HandModel, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("hifihr_core.viewing.stored_photos._model", lambda name: small_hand)
    parameters = mean_texture(small_hand, small_hand.mean_parameters())
    root = torch.tensor([[0.03, 0.0, 0.5]])
    mesh = posed_mesh(small_hand, PlacedHands(parameters, root))
    named = {name: value[0].numpy() for name, value in vars(parameters).items()}
    light = {"ambient": np.full(3, 0.5), "color": np.array([0.6, 0.5, 0.4]), "direction": np.array([0, 0, -1.0])}
    joints = (small_hand(parameters).joints + root[:, None])[0].numpy()
    joints_px = (joints @ K.T)[:, :2] / joints[:, 2:]
    right = HandResult(
        *("right", 0.9, np.array([0, 0, 50, 50.0]), K, True, "anny", joints, joints_px),
        replace(mesh, texture=np.full((64, 64, 3), 77, dtype=np.uint8)),
        {**named, "root_cam": root[0].numpy()},
        light,
        keypoints_px=np.where(np.arange(21)[:, None] == 4, np.nan, joints_px + np.array([3.0, -4.0])),
        before={name: named[name] for name in ("global_orient", "pose", "shape")}
        | {"root_cam": root[0].numpy() + np.float32([0, 0, 0.1])},
    )
    left = replace(
        right, side="left", mesh=mirror_x(right.mesh), joints_cam=joints * [-1, 1, 1], keypoints_px=None, before=None
    )
    Image.new("RGB", (160, 120), (90, 120, 60)).save(tmp_path / "a.png")
    out = tmp_path / "predictions"
    formats = ("json", "texture")
    files = [write_hand(out, f"a_{n}", hand, formats, ExportContext("a.png")) for n, hand in enumerate((right, left))]
    hands = [{"side": "right", "files": [str(file) for file in written]} for written in files]
    write_index(out, [{"path": str(tmp_path / "a.png"), "hands": hands}, {"path": "empty.png", "hands": []}])
    return out
