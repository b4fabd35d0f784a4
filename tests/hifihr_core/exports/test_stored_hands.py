"""A hand's `.json` as `predict` writes it comes back; anything else is one line."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from hifihr_core.errors import DataError
from hifihr_core.exports.stored_hands import hand_from_document, read_hand_document
from hifihr_core.hands import HandModel
from hifihr_core.placed_hands import mean_texture


@pytest.fixture
def document(hand: HandModel) -> dict:
    parameters = mean_texture(hand, hand.mean_parameters())
    named = {name: value[0].tolist() for name, value in vars(parameters).items()}
    return {
        "hand": "anny",
        "side": "left",
        "score": 0.5,
        "box": [0, 0, 50, 50],
        "metric": True,
        "K": np.diag([200.0, 200.0, 1.0]).tolist(),
        "parameters": {**named, "root_cam": [0.0, 0.0, 0.5]},
        "joints_cam": np.zeros((21, 3)).tolist(),
        "joints_px": np.zeros((21, 2)).tolist(),
        "light": {"ambient": [0.5, 0.5, 0.5]},
    }


def read(tmp_path: Path, document: object, hand: HandModel) -> None:
    (tmp_path / "a.json").write_text(json.dumps(document))
    hand_from_document(read_hand_document(tmp_path / "a.json"), hand)


def test_a_whole_hand_is_read(tmp_path: Path, document: Mapping, hand: HandModel) -> None:
    (tmp_path / "a.json").write_text(json.dumps(document))
    found = hand_from_document(read_hand_document(tmp_path / "a.json"), hand)
    assert (found.side, found.hand, found.score) == ("left", "anny", 0.5)
    assert torch.isfinite(torch.from_numpy(np.asarray(found.mesh.vertices))).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: [d], "a list, expected a hand's file"),
        (
            lambda d: d | {"hand": "octopus"},
            "hand is 'octopus', expected one of anny, mano, nimble; expected a hand's file",
        ),
        (lambda d: d | {"hand": [1e300]}, "hand is"),
        (lambda d: d | {"side": "Left"}, "side is 'Left', expected one of left, right"),
        (lambda d: d | {"K": [1, 2]}, r"K of shape \(2,\), expected \(3, 3\)"),
        (lambda d: d | {"joints_cam": [[1, 2, 3]] * 20}, r"joints_cam of shape \(20, 3\)"),
        (lambda d: d | {"joints_px": None}, "joints_px of shape"),
        (lambda d: d | {"light": False}, "'bool' object has no attribute 'items'"),
        (lambda d: d | {"parameters": None}, "no attribute 'items'"),
        (lambda d: d | {"parameters": d["parameters"] | {"pose": [0.0] * 7}}, "pose"),
        (lambda d: d | {"parameters": d["parameters"] | {"root_cam": [0, float("nan"), 1]}}, "root_cam .* not finite"),
        (lambda d: d | {"box": [1, 2]}, "a hand's file"),
        (lambda d: d | {"score": "much"}, "could not convert string"),
        (lambda d: {name: value for name, value in d.items() if name != "K"}, "no entry 'K'"),
    ],
)
def test_anything_else_is_one_line(
    tmp_path: Path, document: Mapping, hand: HandModel, change: Callable, reason: str
) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        read(tmp_path, change(document), hand)
    assert "\n" not in str(caught.value)
