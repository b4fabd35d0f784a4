"""Which detections are marked as doubtful."""

import numpy as np
import pytest

from hifihr_core.eyes import SeenHand
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.seen_hands import as_detection
from hifihr_core.prediction.assemble import is_doubtful


def seen(score: float, confidence: float) -> Detection:
    joints_px = np.stack((np.linspace(10, 90, 21), np.linspace(20, 70, 21)), axis=-1)
    return as_detection(
        SeenHand(
            joints_px=joints_px,
            depth_px=np.zeros(21),
            metres=np.zeros((21, 3)),
            sigma_px=np.ones(21),
            confidence=np.full(21, confidence),
            score=score,
            side="right",
            side_confidence=1.0,
        )
    )


@pytest.mark.parametrize(
    ("score", "confidence", "doubtful"), [(0.99, 0.6, False), (0.8, 0.6, True), (0.99, 0.2, True), (0.9, 0.31, False)]
)
def test_a_hand_that_may_be_false_or_misread_is_doubtful(score, confidence, doubtful):
    assert is_doubtful(seen(score, confidence)) is doubtful


def test_confidences_in_a_file_do_not_mark_a_hand_as_misread():
    joints_px = np.stack((np.linspace(10, 90, 21), np.linspace(20, 70, 21)), axis=-1)
    given = Detection(np.array([10.0, 20, 90, 70]), keypoints_px=joints_px, keypoints_confidence=np.full(21, 0.1))
    assert is_doubtful(given) is False
