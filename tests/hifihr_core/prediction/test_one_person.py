"""Photos of one person share a skin, and with refinement a texture."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hifihr_core.hands import HandModel
from hifihr_core.lifting.lifter import Lifter
from hifihr_core.prediction import Predictor, PredictSettings
from hifihr_core.prediction.jobs import OutputSettings, predict_files
from hifihr_core.prediction.refine import RefineSettings

SETTINGS = PredictSettings(crop_px=64, texture_px=64, refinement=RefineSettings(steps=2))


@pytest.fixture
def predictor(hand: HandModel, lifter: Lifter) -> Predictor:
    return Predictor(hand, network=None, lifter=lifter, settings=SETTINGS)


def test_the_skin_is_one_and_the_light_is_each_photos_own(predictor: Predictor, shoot: Callable) -> None:
    shots = [shoot(seed) for seed in (0, 1)]
    dim = [shots[0].image, (shots[1].image * 0.6).astype(np.uint8)]
    given = [[shot.detection] for shot in shots]
    first, second = (one.hands[0] for one in predictor.predict_person(dim, detections=given))
    np.testing.assert_array_equal(first.parameters["texture"], second.parameters["texture"])
    np.testing.assert_array_equal(first.texture, second.texture)
    assert np.abs(first.parameters["pose"] - second.parameters["pose"]).max() > 1e-3
    assert np.abs(first.light["ambient"] - second.light["ambient"]).max() > 1e-3
    alone = predictor.predict(dim[0], detections=given[0]).hands[0]
    np.testing.assert_array_equal(alone.parameters["pose"], first.parameters["pose"])


def test_photos_without_hands_are_kept_in_their_places(predictor: Predictor, shoot: Callable) -> None:
    shot = shoot(0)
    empty, one = predictor.predict_person([shot.image, shot.image], detections=[[], [shot.detection]])
    assert (len(empty.hands), len(one.hands)) == (0, 1)
    assert [len(result.hands) for result in predictor.predict_person([shot.image], detections=[[]])] == [0]


def test_every_photo_adds_to_the_texture(predictor: Predictor, shoot: Callable) -> None:
    predictor.settings = replace(SETTINGS, refine=True)
    shots = [shoot(seed) for seed in (0, 1)]
    given = [[shot.detection] for shot in shots]
    alone = predictor.predict(shots[0].image, detections=given[0]).hands[0].report["texture_seen"]
    first, second = (r.hands[0] for r in predictor.predict_person([s.image for s in shots], detections=given))
    assert first.report["texture_seen"] >= alone
    assert first.report["texture_seen"] == pytest.approx(second.report["texture_seen"], abs=0.05)


def test_a_run_of_one_person(predictor: Predictor, shoot: Callable, tmp_path: Path) -> None:
    shots = {tmp_path / f"{name}.png": shoot(seed) for seed, name in enumerate("ab")}
    for path, shot in shots.items():
        cv2.imwrite(str(path), cv2.cvtColor(shot.image, cv2.COLOR_RGB2BGR))
    broken = tmp_path / "c.png"
    broken.write_text("no picture")
    boxes = {str(path): [shot.detection] for path, shot in shots.items()}
    output = OutputSettings(tmp_path / "out", formats=("json",), pictures=False)

    def run() -> list:
        return list(predict_files(predictor, [*shots, broken], output, boxes=boxes, same_person=True))

    a, b, c = run()
    assert a.result is not None and b.result is not None  # noqa: PT018
    np.testing.assert_array_equal(*(one.result.hands[0].parameters["texture"] for one in (a, b)))
    assert c.error is not None
    assert "c.png" in str(c.error)
    assert torch.is_tensor(predictor.hand.faces)
