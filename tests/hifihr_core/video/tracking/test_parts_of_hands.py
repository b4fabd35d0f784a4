from collections.abc import Callable

from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.video.tracking.journal import SeenFrame
from hifihr_core.video.tracking.parts_of_hands import without_parts

MakeHand = Callable[..., SeenHand]


def _frames(hands: list[dict[int, SeenHand]]) -> list[SeenFrame]:
    return [SeenFrame(number, number / 30, True, own) for number, own in enumerate(hands)]


def _kept(hands: list[dict[int, SeenHand]]) -> list[list[int]]:
    return [sorted(frame.hands) for frame in without_parts(_frames(hands))]


def test_a_finger_that_a_track_jumped_to_is_skipped(seen_hand: MakeHand) -> None:
    hands = [{0: seen_hand(200 + 2 * number)} for number in range(20)]
    hands[9] = {0: seen_hand(230, size=30.0)}
    assert _kept(hands) == [[0]] * 9 + [[]] + [[0]] * 10


def test_a_hand_that_goes_away_may_become_small(seen_hand: MakeHand) -> None:
    hands = [{0: seen_hand(200, size=120.0 * 0.95**number)} for number in range(60)]
    assert _kept(hands) == [[0]] * 60


def test_a_small_thing_beside_a_hand_must_last(seen_hand: MakeHand) -> None:
    hands = [{0: seen_hand(200)} for _ in range(40)]
    for number in (*range(3, 7), *range(20, 35)):
        hands[number][5] = seen_hand(420, size=40.0)
    kept = _kept(hands)
    assert all(kept[number] == [0] for number in range(20))
    assert all(kept[number] == [0, 5] for number in range(20, 35))


def test_a_hand_of_its_own_size_may_be_brief(seen_hand: MakeHand) -> None:
    hands = [{0: seen_hand(200)} for _ in range(10)]
    hands[4][1] = seen_hand(420, size=80.0)
    assert _kept(hands)[4] == [0, 1]


def test_a_clip_without_hands_stays(seen_hand: MakeHand) -> None:
    assert _kept([{}, {}]) == [[], []]
    assert _kept([{3: seen_hand(100, size=9.0)}]) == [[3]]
