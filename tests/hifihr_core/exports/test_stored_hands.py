"""A hand's `.json` from `predict` is read back; anything else is a one-line error."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hifihr_core.errors import DataError
from hifihr_core.exports.formats import ExportContext, write_hand
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.stored_hands import hand_from_document, mesh_before, read_hand_document, result_files
from hifihr_core.exports.textured_meshes import mirror_x, posed_mesh
from hifihr_core.hands import HandModel
from hifihr_core.placed_hands import PlacedHands, mean_texture


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
        "light": {name: [0.5, 0.5, 0.5] for name in ("ambient", "color", "direction")},
    }


def read(tmp_path: Path, document: object, hand: HandModel) -> None:
    (tmp_path / "a.json").write_text(json.dumps(document))
    hand_from_document(read_hand_document(tmp_path / "a.json"), hand, tmp_path / "a.json")


def test_a_whole_hand_is_read(tmp_path: Path, document: Mapping, hand: HandModel) -> None:
    (tmp_path / "a.json").write_text(json.dumps(document))
    found = hand_from_document(read_hand_document(tmp_path / "a.json"), hand, tmp_path / "a.json")
    assert (found.side, found.hand, found.score) == ("left", "anny", 0.5)
    assert torch.isfinite(torch.from_numpy(np.asarray(found.mesh.vertices))).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: [d], "its JSON has type list, expected an object; give the .json of a hand"),
        (
            lambda d: d | {"hand": "octopus"},
            "hand is 'octopus', expected one of anny, mano, nimble; give the .json of a hand",
        ),
        (lambda d: d | {"hand": [1e300]}, "hand is"),
        (lambda d: d | {"side": "Left"}, "side is 'Left', expected one of left, right"),
        (lambda d: d | {"K": [1, 2]}, r"K has shape \(2,\), expected \(3, 3\)"),
        (lambda d: d | {"joints_cam": [[1, 2, 3]] * 20}, r"joints_cam has shape \(20, 3\)"),
        (lambda d: d | {"joints_px": None}, "joints_px has shape"),
        (lambda d: d | {"light": False}, "'bool' object has no attribute 'items'"),
        (lambda d: d | {"parameters": None}, "no attribute 'items'"),
        (lambda d: d | {"parameters": d["parameters"] | {"pose": [0.0] * 7}}, "pose"),
        (
            lambda d: d | {"parameters": d["parameters"] | {"root_cam": [0, float("nan"), 1]}},
            "root_cam contains NaN or inf",
        ),
        (lambda d: d | {"box": [1, 2]}, r"a\.json: a damaged hand \(box has shape"),
        (
            lambda d: d | {"parameters": d["parameters"] | {"pose": [d["parameters"]["pose"]]}},
            r"pose has shape \(1, 24\)",
        ),
        (
            lambda d: d | {"parameters": d["parameters"] | {"root_cam": [0, 0, 1e30]}},
            "not within 10,000 m of the camera",
        ),
        (lambda d: d | {"parameters": d["parameters"] | {"pose": [1e300] * 24}}, "not within 10,000 m of the camera"),
        (lambda d: d | {"before": {"root_cam": [0, 0, 1]}}, "a damaged hand .*global_orient"),
        (lambda d: d | {"before": d["parameters"] | {"pos": [0]}}, "'pos' is not a parameter, expected global_orient"),
        (lambda d: d | {"score": [1]}, r"score has shape \(1,\), expected a single number"),
        (lambda d: d | {"K": np.zeros((3, 3)).tolist()}, "K is .*, expected positive focal lengths"),
        (lambda d: d | {"K": np.diag([200.0, 200.0, 0.0]).tolist()}, "a last row of 0, 0, 1"),
        (lambda d: d | {"K": np.full((3, 3), np.inf).tolist()}, "K contains NaN or infinity"),
        (lambda d: d | {"score": float("nan")}, "score contains NaN or infinity"),
        (lambda d: d | {"light": {}}, "'ambient' is missing"),
        (lambda d: d | {"light": d["light"] | {"color": [1]}}, r"light color has shape \(1,\)"),
        (lambda d: d | {"report": [1]}, "report has type list, expected an object"),
        (lambda d: d | {"licences": "free"}, "licences has type str, expected an object"),
        (lambda d: d | {"photo": {"a": 1}}, "photo has type dict, expected a name"),
        (lambda d: d | {"joint_confidence": [0.5]}, "joint_confidence has shape"),
        (lambda d: {name: value for name, value in d.items() if name != "score"}, "'score' is missing"),
        (lambda d: d | {"before": {"pose": [float("inf")]}}, "pose contains NaN or infinity"),
        (lambda d: d | {"keypoints_px": [[1, 2], None]}, r"keypoints_px has shape \(2, 2\)"),
        (lambda d: d | {"score": "much"}, "could not convert string"),
        (lambda d: {name: value for name, value in d.items() if name != "K"}, "'K' is missing"),
    ],
)
def test_anything_else_is_one_line(
    tmp_path: Path, document: Mapping, hand: HandModel, change: Callable, reason: str
) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        read(tmp_path, change(document), hand)
    assert "\n" not in str(caught.value)


def test_numbers_that_json_lacks_do_not_come_back(tmp_path: Path, document: Mapping, hand: HandModel) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document | {"report": {"error": float("nan")}, "licences": {"hand": 5}}))
    found = hand_from_document(read_hand_document(path), hand, path)
    assert (found.report, found.licences) == ({"error": None}, {"hand": "5"})


def test_a_pipe_or_device_is_named() -> None:
    with pytest.raises(DataError, match="/dev/null: a pipe or device, expected a hand's"):
        result_files(Path("/dev/null"))


@pytest.fixture
def result(hand: HandModel) -> HandResult:
    """Return a left hand that a refinement moved by a centimetre."""
    parameters, root_cam = mean_texture(hand, hand.mean_parameters()), torch.tensor([[0.0, 0.01, 0.5]])
    named = {name: value[0].numpy() for name, value in vars(parameters).items()}
    before = {name: named[name] for name in ("global_orient", "pose", "shape")} | {"root_cam": np.array([0, 0, 0.5])}
    joints = np.ones((21, 3))
    keypoints_px = np.arange(42.0).reshape(21, 2)
    keypoints_px[7] = np.nan
    return HandResult(
        *("left", 0.9, np.array([0, 0, 50, 50.0]), np.eye(3), True, hand.name, joints, joints[:, :2]),
        mirror_x(posed_mesh(hand, PlacedHands(parameters, root_cam))),
        {**named, "root_cam": root_cam[0].numpy()},
        {name: np.ones(3) for name in ("ambient", "color", "direction")},
        keypoints_px=keypoints_px,
        before=before,
        doubtful=True,
        joint_confidence=np.linspace(0, 1, 21).round(3),
        side_confidence=0.75,
    )


def test_keypoints_confidences_and_the_hand_before_come_back(
    result: HandResult, hand: HandModel, tmp_path: Path
) -> None:
    [path] = write_hand(tmp_path, "a_0", result, ("json",), ExportContext("a.jpg"))
    again = hand_from_document(read_hand_document(path), hand, path)
    np.testing.assert_array_equal(again.keypoints_px, result.keypoints_px)
    np.testing.assert_array_equal(again.joint_confidence, result.joint_confidence)
    assert (again.doubtful, again.side_confidence) == (True, 0.75)
    assert json.loads(path.read_text())["keypoints_px"][7] is None
    assert again.before.keys() == result.before.keys()
    mesh = mesh_before(again, hand)
    moved = again.mesh.vertices - mesh.vertices
    np.testing.assert_allclose(moved, np.broadcast_to([0, 0.01, 0], moved.shape), atol=1e-5)
    np.testing.assert_array_equal(mesh.texture, again.mesh.texture)


@pytest.mark.parametrize("change", [{"root_cam": None}, {"pose": np.zeros(3)}, {"other": np.zeros(3)}])
def test_a_damaged_hand_before_is_an_error_of_the_data(result: HandResult, hand: HandModel, change: dict) -> None:
    before = {name: value for name, value in {**result.before, **change}.items() if value is not None}
    with pytest.raises(
        DataError, match=r"file is damaged: its entry `before` does not fit .*; give one that `hifihr predict` wrote"
    ):
        mesh_before(replace(result, before=before), hand)


def test_an_unrefined_hand_has_no_mesh_before_refinement(result: HandResult, hand: HandModel, tmp_path: Path) -> None:
    plain = replace(result, before=None, keypoints_px=None)
    [path] = write_hand(tmp_path, "a_0", plain, ("json",), ExportContext("a.jpg"))
    again = hand_from_document(read_hand_document(path), hand, path)
    assert again.before is None
    assert again.keypoints_px is None
    assert mesh_before(again, hand) is None


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such file or folder; check the path"):
        result_files(tmp_path / "nowhere")
