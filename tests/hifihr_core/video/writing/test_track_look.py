"""Which frames of a clip a look comes from, and which share a skin."""

import numpy as np
import pytest

from hifihr_core.video.fitting.hand_sequence import SeenSequence
from hifihr_core.video.fitting.sighted_tracks import SightedTrack
from hifihr_core.video.reading.containers import VideoFile
from hifihr_core.video.reading.frames import WHOLE
from hifihr_core.video.writing.track_look import _clearest_frames, _people

COUNT = 6
K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])


def _track(id: int, side: str) -> SightedTrack:
    joints = np.random.default_rng(id).uniform(10, 40, (COUNT, 21, 2))
    weight = np.ones((COUNT, 21))
    weight[1] = 2.0  # the clearest of the first third
    seen = SeenSequence(np.arange(COUNT) / 30, joints, np.ones((COUNT, 21)), weight, K)
    return SightedTrack(id, side, np.arange(COUNT), np.ones(COUNT), seen)


@pytest.fixture
def shots(tmp_path, write_clip, gradient_frames):
    clip = VideoFile(write_clip(tmp_path / "a.mp4", gradient_frames(COUNT)))
    return _clearest_frames(clip, WHOLE, [_track(0, "left"), _track(1, "right")])


def test_a_look_comes_from_the_clearest_frames(shots) -> None:
    assert sorted(shot.id for shot in shots) == [0, 0, 0, 1, 1, 1]
    assert {shot.image.shape for shot in shots} == {(48, 64, 3)}
    left, right = (next(shot.detection for shot in shots if shot.id == id) for id in (0, 1))
    assert (left.side, right.side) == ("left", "right")
    place = _track(0, "left").seen.joints_px[1]
    np.testing.assert_allclose(left.keypoints_px[:, 0], 64 - place[:, 0])  # back in the picture as it is


def test_frames_of_a_track_share_a_skin_and_tracks_of_one_person_do(shots) -> None:
    assert [[shot.id for shot in group] for group in _people(shots, one_person=False)] == [[0] * 3, [1] * 3]
    assert [sorted(shot.id for shot in group) for group in _people(shots, one_person=True)] == [[0] * 3 + [1] * 3]
    assert _people([], one_person=False) == []
