import re
from pathlib import Path

import numpy as np

from hifihr_core.video.fitting.fitted_track import FittedTrack
from hifihr_core.video.fitting.hand_sequence import HandSequence
from hifihr_core.video.writing.timeline_page import runs, write_timeline


def test_runs_cover_everything() -> None:
    assert runs(np.array([True, True, False, True])) == [(0, 1), (2, 2), (3, 3)]
    assert runs(np.array([False])) == [(0, 0)]


def test_a_line_shows_when_the_hand_was_seen(tmp_path: Path) -> None:
    score = np.array([0.9] * 4 + [0.0] * 2 + [0.9] * 4)
    rows = np.zeros((10, 3))
    hand = HandSequence(np.zeros(2), rows, rows, np.zeros((10, 4)))
    joints = np.zeros((10, 21, 3))
    track = FittedTrack(
        1, "left", np.arange(10), 2 + np.arange(10) / 10, score, np.eye(3), hand, joints, joints[..., :2]
    )
    page = write_timeline(tmp_path / "a&b.html", tmp_path / "a_overlay.mp4", [track], start_s=1.0, end_s=5.0)
    text = page.read_text()
    assert "<title>a&amp;b</title>" in text
    assert 'src="a_overlay.mp4"' in text
    bars = re.findall(r'<rect x="([\d.]+)" width="([\d.]+)".*?opacity="([\d.]+)"', text)
    assert bars == [("250.0", "100.0", "1.0"), ("350.0", "50.0", "0.3"), ("400.0", "100.0", "1.0")]
