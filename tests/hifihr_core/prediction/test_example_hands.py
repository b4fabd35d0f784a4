"""The example photo must give the same hands as before; `example_hands.json` has them, metres, camera frame.

Users notice a change of these numbers: describe it in CHANGELOG.md, and rewrite the file. Hands without keypoints start
from the image network here (`--start image`), as they did before the eyes existed.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hifihr_core.photos.detections import Detection
from hifihr_core.photos.hand_files import read_hand_file
from hifihr_core.prediction import Predictor, PredictSettings

EXAMPLES = Path(__file__).parents[3] / "examples"
GOLDEN = json.loads(Path(__file__).with_name("example_hands.json").read_text())
#: Other versions of torch and OpenCV, and other processors, round otherwise; a refinement multiplies what they do.
TOLERANCE_M = {"keypoints": 2e-4, "box": 2e-4, "whole_photo": 2e-4, "keypoints_refined": 2e-3}


@pytest.fixture(scope="module")
def predictors() -> dict[str, Predictor]:
    starts = ("image", "keypoints")
    return {start: Predictor.load(detector="none", settings=PredictSettings(start=start)) for start in starts}


@pytest.mark.parametrize("case", GOLDEN)
def test_the_example_gives_the_hand_that_it_gave(predictors: dict[str, Predictor], case: str) -> None:
    box = Detection(np.array([160.0, 149.0, 355.0, 396.0]), score=1.0)
    given = {"box": [box], "whole_photo": None}.get(case, read_hand_file(EXAMPLES / "hand.json")["hand.jpg"])
    predictor = predictors["keypoints" if case.startswith("keypoints") else "image"]
    predictor.settings = replace(predictor.settings, refine=case.endswith("refined"))
    [hand] = predictor.predict(EXAMPLES / "hand.jpg", detections=given).hands
    tolerance = TOLERANCE_M[case]
    np.testing.assert_allclose(hand.joints_cam, GOLDEN[case]["joints_cam"], atol=tolerance)
    np.testing.assert_allclose(hand.mesh.vertices[::40], GOLDEN[case]["every_40th_vertex_cam"], atol=tolerance)
    assert hand.score == pytest.approx(GOLDEN[case]["score"], abs=0.01)
