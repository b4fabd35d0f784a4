"""Files of hands in photos: our format, other programs' keys, and everything that would misplace a hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.photos.hand_files import parse_hands, read_hand_file

ROWS = [[10.0 + 2 * k, 20.0 + k, 0.5] for k in range(21)]


def _one(**entry: Any) -> Any:
    [hand] = parse_hands({"a.jpg": [entry]}, "hands.json")["a.jpg"]
    return hand


def test_our_form(tmp_path: Path) -> None:
    K = [[500, 0, 100], [0, 500, 80], [0, 0, 1]]
    entry = {"box": [1, 2, 30, 40], "side": "left", "keypoints": ROWS, "score": 0.7, "K": K}
    (tmp_path / "h.json").write_text("\ufeff" + json.dumps({"a.jpg": [entry], "b.jpg": []}), encoding="utf-8")
    hands = read_hand_file(tmp_path / "h.json")
    assert hands["b.jpg"] == ()
    [hand] = hands["a.jpg"]
    np.testing.assert_array_equal(hand.box_px, [1, 2, 31, 42])
    assert (hand.side, hand.score) == ("left", 0.7)
    np.testing.assert_array_equal(hand.keypoints_px, np.array(ROWS)[:, :2])
    assert (hand.keypoints_confidence == 0.5).all()
    np.testing.assert_array_equal(hand.K, K)


def test_keypoints_alone_have_a_box_about_those_that_were_found() -> None:
    rows = [row if k else [0.0, 0.0, 0.0] for k, row in enumerate(ROWS)]
    np.testing.assert_array_equal(_one(keypoints=rows).box_px, [12, 21, 50, 40])


@pytest.mark.parametrize("lost", [0.0, -1.0])
def test_a_confidence_of_0_or_less_means_not_found(lost: float) -> None:
    rows = [*ROWS[:20], [-5.0, float("nan"), lost]]
    hand = _one(keypoints=rows)
    assert hand.found.tolist() == [True] * 20 + [False]
    assert hand.keypoints_px[20].tolist() == [0, 0]


@pytest.mark.parametrize("above", [1.5, 95.0])
def test_a_confidence_above_1_is_refused_with_its_joint(above: float) -> None:
    with pytest.raises(DataError, match=r"a\.jpg, hand 0: confidence .* keypoint 4 \(thumb_tip\) is above 1"):
        _one(keypoints=[*ROWS[:4], [1.0, 2.0, above], *ROWS[5:]])


@pytest.mark.parametrize(
    ("entry", "side"),
    [
        ({"is_right": 0}, "left"),
        ({"is_right": 1.0}, "right"),
        ({"right": False}, "left"),
        ({"handedness": "Left"}, "left"),
        ({"handedness": [{"category_name": "Left", "score": 0.9}]}, "right"),
        ({"handedness": {"classification": [{"label": "Right"}]}}, "left"),
        ({"side": "Right"}, "right"),
        ({"side": None}, None),
        ({}, None),
    ],
)
def test_the_side_in_the_spellings_of_others(entry: dict, side: str | None) -> None:
    assert _one(box=[1, 2, 30, 40], **entry).side == side


@pytest.mark.parametrize(
    "entry",
    [
        {"bbox": [1, 2, 30, 40]},
        {"hand_bbox": [1, 2, 31, 42]},
        {"box_xyxy": [1, 2, 31, 42]},
        {"box_center": [16, 22], "box_size": [30, 40]},
    ],
)
def test_boxes_in_the_forms_of_others(entry: dict) -> None:
    np.testing.assert_array_equal(_one(**entry).box_px, [1, 2, 31, 42])


def test_keypoints_as_pairs_or_records() -> None:
    assert _one(keypoints=[row[:2] for row in ROWS]).found.all()
    records = [{"x": row[0], "y": row[1], "z": -0.1} for row in ROWS]
    np.testing.assert_array_equal(_one(landmarks=records).keypoints_px, np.array(ROWS)[:, :2])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "expected"),
        ({"a.jpg": [3]}, "hand 0: is 3, expected"),
        ({"a.jpg": [{}]}, "has neither a box nor a keypoint with a confidence above 0, expected"),
        ({"a.jpg": [{"side": "left"}]}, "neither a box"),
        ({"a.jpg": [{"keypoints": [[0, 0, 0]] * 21}]}, "neither a box"),
        ({"a.jpg": [{"box": [0, 0, -1, 2]}]}, "positive width"),
        ({"a.jpg": [{"box": [0, 0, 1]}]}, r"\[x, y, width, height\]"),
        ({"a.jpg": [{"box": "all"}]}, "box is 'all'"),
        ({"a.jpg": [{"box": [0, 0, 9, 9], "side": "up"}]}, "'left' or 'right'"),
        ({"a.jpg": [{"box": [0, 0, 9, 9], "is_right": 0.4}]}, "1 for a right hand"),
        ({"a.jpg": [{"box": [0, 0, 9, 9], "right": [1, 0]}]}, r"right is \[1, 0\], expected the documented form"),
        ({"a.jpg": [{"box": [0, 0, 9, 9], "handedness": ["Left"]}]}, "expected the documented form"),
        ({"a.jpg": [{"box": [0, 0, 9, 9], "keypoints": [[1, 2, 3]]}]}, "21 x"),
        ({"a.jpg": [{"box": [0, 0, 9, 9], "sied": "left"}]}, "unknown key 'sied'; did you mean 'side'"),
        ({"a.jpg": [{"box": [0, 0, 9, 9], "colour": 1}]}, "unknown key 'colour'; known keys: box, side"),
        ({"a.jpg": [{"box": [0, 0, 9, 9], "score": 7}]}, "0 to 1"),
        ({"a.jpg": [{"box": [0, 0, 9, 9], "K": [[0] * 3] * 3}]}, "fx"),
        ({"a.jpg": [{"box_center": [1, 2], "box_size": None}]}, r"box_center is \[1, 2\] and box_size None, expected"),
        ({"joints_px": [], "parameters": {}}, "does not name its photo"),
    ],
)
def test_problems_are_named(document: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        parse_hands(document, "hands.json")
    assert "hands.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"a": ' + "9" * 6000 + "}", ""])
def test_a_file_that_is_not_a_file_of_hands_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "h.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"h\.json"):
        read_hand_file(path)
