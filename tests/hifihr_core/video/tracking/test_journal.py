from pathlib import Path

import numpy as np

from hifihr_core.video.tracking.journal import Journal, SeenFrame, as_written, frame_from_json, frame_to_json


def _frames(seen_hand, count: int) -> list[SeenFrame]:
    return [SeenFrame(n, n / 30, n % 10 == 0, {4: as_written(seen_hand(100.123456 + n))}) for n in range(count)]


def test_a_frame_comes_back_from_its_line(seen_hand) -> None:
    [frame] = _frames(seen_hand, 1)
    again = frame_from_json(frame_to_json(frame))
    assert (again.number, again.time_s, again.searched, list(again.hands)) == (0, 0.0, True, [4])
    np.testing.assert_array_equal(again.hands[4].joints_px, frame.hands[4].joints_px)
    assert np.abs(again.hands[4].joints_px - seen_hand(100.123456).joints_px).max() <= 0.005
    assert again.hands[4].side == "right"


def test_a_journal_goes_on_after_a_cut_line(tmp_path: Path, seen_hand) -> None:
    path, frames = tmp_path / "work" / "seen.jsonl", _frames(seen_hand, 5)
    journal = Journal(path, {"clip": "a"})
    for frame in frames:
        journal.append(frame)
    journal.close()
    path.write_bytes(path.read_bytes()[:-20])
    again = Journal(path, {"clip": "a"})
    assert [frame.number for frame in again.frames()] == [0, 1, 2, 3]
    again.append(frames[4])
    again.close()
    assert [frame.number for frame in Journal(path, {"clip": "a"}).frames()] == [0, 1, 2, 3, 4]


def test_the_journal_of_another_clip_is_not_gone_on_with(tmp_path: Path, seen_hand) -> None:
    journal = Journal(tmp_path / "seen.jsonl", {"clip": "a"})
    journal.append(_frames(seen_hand, 1)[0])
    journal.close()
    assert list(Journal(tmp_path / "seen.jsonl", {"clip": "b"}).frames()) == []
