from collections.abc import Mapping, Sequence

from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.video.tracking.journal import SeenFrame
from hifihr_core.video.tracking.stitching import stitched


def _frames(rows: Sequence[Mapping[int, SeenHand]]) -> list[SeenFrame]:
    return [SeenFrame(n, n / 30, False, dict(row)) for n, row in enumerate(rows)]


def _places(frames: Sequence[SeenFrame]) -> list[dict[int, int]]:
    return [{id: round(float(hand.joints_px[:, 0].mean())) for id, hand in frame.hands.items()} for frame in frames]


def test_a_hand_that_was_lost_for_a_moment_is_one_hand(seen_hand) -> None:
    rows = [{} if 20 <= n < 34 else {0 if n < 20 else 3: seen_hand(100.0 + 4 * n)} for n in range(60)]
    assert {id for frame in stitched(_frames(rows)) for id in frame.hands} == {0}


def test_a_hand_that_comes_back_later_or_elsewhere_is_another_one(seen_hand) -> None:
    late = [{} if 20 <= n < 60 else {0 if n < 20 else 3: seen_hand(100.0)} for n in range(80)]
    far = [{} if 20 <= n < 24 else {0 if n < 20 else 3: seen_hand(100.0 if n < 20 else 500.0)} for n in range(60)]
    for rows in (late, far):
        assert {id for frame in stitched(_frames(rows)) for id in frame.hands} == {0, 3}


def test_exchanged_identities_are_corrected(seen_hand) -> None:
    """The hands cross at frame 40, and from then on the tracker confuses them."""
    rows = []
    for n in range(80):
        right, left = seen_hand(100.0 + 5 * n, 235.0), seen_hand(500.0 - 5 * n, 250.0, side="left")
        rows.append({0: right, 1: left} if n < 41 else {1: right, 0: left})
    sides = [{id: hand.side for id, hand in frame.hands.items()} for frame in stitched(_frames(rows))]
    assert sides == [{0: "right", 1: "left"}] * 80


def test_correct_data_is_unchanged(seen_hand) -> None:
    rows = [{0: seen_hand(100.0 + 5 * n, 235.0), 1: seen_hand(500.0 - 5 * n, 250.0, side="left")} for n in range(80)]
    assert _places(stitched(_frames(rows))) == _places(_frames(rows))
    assert stitched([]) == []
    assert stitched(_frames([{}, {}])) == _frames([{}, {}])


def test_no_hand_is_lost_where_pieces_are_renamed(seen_hand) -> None:
    """Two appearances under one identity become two."""
    rows = [{0: seen_hand(100.0)} if n < 20 or n >= 60 else {} for n in range(80)]
    frames = stitched(_frames(rows))
    assert [len(frame.hands) for frame in frames] == [len(row) for row in rows]
    assert set(frames[0].hands) != set(frames[-1].hands)
