import json
from pathlib import Path

import numpy as np
import pytest

from hifihr_core.video.reading.containers import VideoFile
from hifihr_core.video.reading.frames import Frame
from hifihr_core.video.tracking.journal import Journal
from hifihr_core.video.tracking.rewinding import Rewinder
from hifihr_core.video.tracking.tracker import TrackSettings
from hifihr_core.video.tracking.watch_clip import watch_clip


class _Blind:
    """Eyes that find no hand before some picture, but follow one at a given position."""

    def __init__(self, eyes, until: int) -> None:
        self._eyes, self._until, self._found = eyes, until, 0

    def find(self, image: np.ndarray, *, closely: bool = False):
        self._found += 1
        return [] if self._found <= self._until else self._eyes.find(image)

    def follow(self, image: np.ndarray, expected_px: np.ndarray):
        return self._eyes.follow(image, expected_px)

    def search_near(self, image: np.ndarray, expected_px: np.ndarray):
        return self._eyes.search_near(image, expected_px)


def _rewinder(eyes, numbered, count: int, **options) -> Rewinder:
    rewinder = Rewinder(eyes, TrackSettings(), **{"picture_bytes": 640 * 480 * 3, **options})
    for number in range(count):
        rewinder.push(Frame(number, number / 30, numbered(number)))
    return rewinder


def test_a_found_hand_is_followed_back(scripted_eyes, seen_hand, numbered) -> None:
    script = [[seen_hand(100.0 + 5 * n)] for n in range(31)]
    rewinder = _rewinder(scripted_eyes(script), numbered, 30)
    found = rewinder.back(script[30][0], 1.0, after=9, others=lambda number: {})
    assert sorted(found) == list(range(10, 30))
    assert all(found[n] is script[n][0] for n in found)


def test_hands_of_other_tracks_are_not_taken(scripted_eyes, seen_hand, numbered) -> None:
    script = [[seen_hand(100.0 + 5 * n)] for n in range(31)]
    rewinder = _rewinder(scripted_eyes(script), numbered, 30)
    found = rewinder.back(
        script[30][0], 1.0, after=-1, others=lambda number: {7: script[number][0]} if number < 20 else {}
    )
    assert sorted(found) == list(range(20, 30))


def test_a_hand_that_was_not_there_is_given_up(scripted_eyes, seen_hand, numbered) -> None:
    script = [[seen_hand(200.0)] if n in (3, 4) or n >= 20 else [] for n in range(31)]
    eyes = scripted_eyes(script)
    found = _rewinder(eyes, numbered, 30).back(script[30][0], 1.0, after=-1, others=lambda number: {})
    assert sorted(found) == list(range(20, 30))


def test_memory_is_bounded(scripted_eyes, numbered) -> None:
    assert _rewinder(scripted_eyes([]), numbered, 0, picture_bytes=50 * 2**20).most == 4
    assert _rewinder(scripted_eyes([]), numbered, 0, picture_bytes=1).most == 90
    assert _rewinder(scripted_eyes([]), numbered, 0, picture_bytes=2**40).most == 1


@pytest.fixture
def moving_clip(tmp_path: Path, write_clip, numbered) -> VideoFile:
    return VideoFile(write_clip(tmp_path / "a.mp4", [numbered(n) for n in range(24)]))


def test_a_clip_shows_a_hand_before_it_was_found(tmp_path: Path, moving_clip, scripted_eyes, seen_hand) -> None:
    script = [[seen_hand(100.0 + 5 * n)] for n in range(24)]
    journal = Journal(tmp_path / "seen.jsonl", {})
    seen = watch_clip(moving_clip, _Blind(scripted_eyes(script), 12), journal, TrackSettings())
    assert [list(frame.hands) for frame in seen] == [[0]] * 24
    np.testing.assert_allclose([frame.hands[0].joints_px[9, 0] for frame in seen][:2], [85.0, 90.0], atol=30)


@pytest.mark.parametrize("stop", [5, 11, 12, 18])
def test_a_stopped_pass_resumes_and_sees_the_same(
    tmp_path: Path, moving_clip, scripted_eyes, seen_hand, stop: int
) -> None:
    script = [[seen_hand(100.0 + 5 * n)] for n in range(24)]
    whole = watch_clip(
        moving_clip, _Blind(scripted_eyes(script), 12), Journal(tmp_path / "whole.jsonl", {}), TrackSettings()
    )

    def stopping(number: int) -> None:
        if number == stop:
            raise KeyboardInterrupt

    eyes, path = _Blind(scripted_eyes(script), 12), tmp_path / "part.jsonl"
    with pytest.raises(KeyboardInterrupt):
        watch_clip(moving_clip, eyes, Journal(path, {}), TrackSettings(), on_frame=stopping)
    again = watch_clip(moving_clip, eyes, Journal(path, {}), TrackSettings())
    assert [frame.number for frame in again] == [frame.number for frame in whole]
    for one, other in zip(again, whole, strict=True):
        assert list(one.hands) == list(other.hands)
        for id in one.hands:
            np.testing.assert_array_equal(one.hands[id].joints_px, other.hands[id].joints_px)


@pytest.mark.parametrize("kept", [2, 8, 12])
def test_a_pass_that_was_stopped_on_its_way_back_sees_the_same(
    tmp_path: Path, moving_clip, scripted_eyes, seen_hand, kept: int
) -> None:
    script, path = [[seen_hand(100.0 + 5 * n)] for n in range(24)], tmp_path / "seen.jsonl"
    whole = watch_clip(moving_clip, _Blind(scripted_eyes(script), 12), Journal(path, {}), TrackSettings())
    lines = path.read_text().splitlines(keepends=True)
    numbers = [json.loads(line)["frame"] for line in lines[1:]]
    back = next(place for place, number in enumerate(numbers) if number in numbers[:place])
    path.write_text("".join(lines[: 1 + back + kept]))  # in the middle of what was found in earlier pictures
    again = watch_clip(moving_clip, scripted_eyes(script), Journal(path, {}), TrackSettings())
    assert [list(frame.hands) for frame in again] == [list(frame.hands) for frame in whole]
