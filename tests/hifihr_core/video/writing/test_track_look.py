from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hifihr_core.errors import DataError
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.textured_meshes import TexturedMesh
from hifihr_core.prediction.predictor import Predictor
from hifihr_core.records import Light
from hifihr_core.video.fitting.hand_sequence import SeenSequence
from hifihr_core.video.fitting.sighted_tracks import SightedTrack
from hifihr_core.video.reading.frames import WHOLE, Frame, FrameSource, Span
from hifihr_core.video.writing.track_look import TrackLook, _groups, look_at_tracks

MESH = TexturedMesh(np.zeros((3, 3)), np.array([[0, 1, 2]]), vertex_colors=np.zeros((3, 3)))


def test_light_is_between_the_frames_that_were_looked_at() -> None:
    lights = Light(
        torch.tensor([[0.2] * 3, [0.4] * 3]),
        torch.tensor([[1.0] * 3, [0.0] * 3]),
        torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        torch.tensor([0.0, 1.0])[:, None, None].expand(2, 8, 3),
    )
    look = TrackLook(MESH, np.array([1.0, 3.0]), lights, None, {})
    found = look.light_at(np.array([0.0, 1.0, 2.0, 3.0, 9.0]))
    assert found.ambient[:, 0].tolist() == pytest.approx([0.2, 0.2, 0.3, 0.4, 0.4])
    assert found.color[2].tolist() == pytest.approx([0.5] * 3)
    assert found.direction[2].tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0.0])
    assert found.sky is not None
    assert found.sky[2].flatten().tolist() == pytest.approx([0.5] * 24)


class _Predictor(Predictor):
    """Predicts a light whose brightness encodes the picture's number, and records how many pictures it got at once."""

    def __init__(self, *, refine: bool = False, same_person: bool = False) -> None:
        self.settings, self.asked = SimpleNamespace(refine=refine, same_person=same_person), []

    def predict_person(self, images, *, camera, detections):
        self.asked.append([int(image[0, 0, 0]) for image in images])
        return [SimpleNamespace(hands=[self._hand(float(image[0, 0, 0]))]) for image in images]

    def _hand(self, value: float) -> HandResult:
        light = {"ambient": np.full(3, value), "color": np.zeros(3), "direction": np.array([0.0, -1.0, 0.0])}
        hand = HandResult.__new__(HandResult)  # only what a look reads of it
        parts = {"mesh": MESH, "light": light, "parameters": {"shape": np.full(2, value)}, "licences": {}}
        for name, part in parts.items():
            object.__setattr__(hand, name, part)
        return hand


def _track(id: int, first: int, count: int) -> SightedTrack:
    frames, joints = np.arange(first, first + count), np.random.default_rng(0).uniform(10, 50, (count, 21, 2))
    seen = SeenSequence(frames / 10, joints, np.ones((count, 21)), np.ones((count, 21)), np.eye(3))
    return SightedTrack(id, "left", frames, np.ones(count), seen)


class _Source(FrameSource):
    """This many pictures, each of which encodes its number."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count
        self.facts = SimpleNamespace(name="toy.mp4")

    def frames(self, span: Span = WHOLE, *, after: int = -1) -> Iterator[Frame]:
        for n in range(self._count):
            yield Frame(n, n / 10, np.full((64, 64, 3), n, dtype=np.uint8))


@pytest.mark.parametrize(("refine", "count"), [(False, 5), (True, 3)])
def test_a_track_has_one_skin_and_lights_of_its_own_frames(refine: bool, count: int) -> None:
    predictor = _Predictor(refine=refine)
    looks = look_at_tracks(predictor, _Source(60), WHOLE, [_track(0, 0, 50), _track(1, 40, 5)], np.eye(3))
    assert sorted(len(one) for one in predictor.asked) == sorted([count, 3])
    assert len(looks[0].times_s) == count
    numbers = looks[0].lights.ambient[:, 0].tolist()
    assert numbers == pytest.approx((looks[0].times_s * 10).tolist())
    assert set(np.round(looks[1].times_s * 10).astype(int)) <= set(range(40, 45))
    assert (looks[0].shape is None) == (not refine)
    assert looks[0].lights.sky is None


def test_a_clip_that_gives_fewer_pictures_the_second_time() -> None:
    looks = look_at_tracks(_Predictor(), _Source(20), WHOLE, [_track(0, 0, 50)], np.eye(3))
    assert 0 < len(looks[0].times_s) < 5


@pytest.mark.parametrize("same_person", [False, True])
def test_a_track_none_of_whose_frames_comes_a_second_time_is_named(same_person: bool) -> None:
    source, tracks = _Source(20), [_track(0, 0, 15), _track(3, 30, 2)]
    with pytest.raises(DataError, match=r"toy\.mp4: no frame of track 3 could be read a second time \(tried 30, 31\)"):
        look_at_tracks(_Predictor(same_person=same_person), source, WHOLE, tracks, np.eye(3))


def test_tracks_of_one_person_share_a_skin() -> None:
    predictor = _Predictor(same_person=True)
    looks = look_at_tracks(predictor, _Source(60), WHOLE, [_track(0, 0, 50), _track(1, 40, 5)], np.eye(3))
    assert [len(one) for one in predictor.asked] == [8]
    assert {id: len(look.times_s) for id, look in looks.items()} == {0: 5, 1: 3}


def test_joints_are_those_of_the_picture_as_it_is() -> None:
    track = _track(0, 0, 5)
    [group] = _groups(_Source(5).frames(), [track], {0: {1}}, one_person=False)
    np.testing.assert_allclose(group[0].detection.keypoints_px[:, 0], 64 - track.seen.joints_px[1, :, 0])
    assert group[0].detection.side == "left"
