from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hifihr_core.errors import DataError
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


def test_a_journal_continues_after_a_truncated_line(tmp_path: Path, seen_hand) -> None:
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


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line[:-30],
        lambda line: "[]",
        lambda line: "[" * 300,
        lambda line: line.replace('"frame":2', '"frame":Infinity'),
        lambda line: line.replace('"frame":2', '"frame":null'),
        lambda line: line.replace('"time_s":', '"time_s":1' + "0" * 400 + '.5,"x":'),
        lambda line: line.replace('"joints_px":[[', '"joints_px":[[1,2],['),
        lambda line: line.replace('"score":', '"scores":'),
        lambda line: line.replace('"hands":{"4"', '"hands":{"four"'),
    ],
)
def test_a_journal_continues_before_a_damaged_line(tmp_path: Path, seen_hand, change: Callable[[str], str]) -> None:
    journal = Journal(tmp_path / "seen.jsonl", {"clip": "a"})
    for frame in _frames(seen_hand, 5):
        journal.append(frame)
    journal.close()
    lines = (tmp_path / "seen.jsonl").read_text().splitlines()
    assert change(lines[3]) != lines[3]
    (tmp_path / "seen.jsonl").write_text("\n".join([*lines[:3], change(lines[3]), *lines[4:]]) + "\n")
    assert [frame.number for frame in Journal(tmp_path / "seen.jsonl", {"clip": "a"}).frames()] == [0, 1]
    with pytest.raises(DataError, match="a line of the journal"):
        frame_from_json(change(lines[3]))


def test_the_journal_of_another_clip_is_not_continued(tmp_path: Path, seen_hand) -> None:
    journal = Journal(tmp_path / "seen.jsonl", {"clip": "a"})
    journal.append(_frames(seen_hand, 1)[0])
    journal.close()
    assert list(Journal(tmp_path / "seen.jsonl", {"clip": "b"}).frames()) == []
