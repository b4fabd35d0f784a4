import numpy as np
import pytest

from hifihr_core.video.tracking.tracker import Tracker, TrackSettings

FPS = 30


def _run(eyes, numbered, count: int, settings: TrackSettings | None = None) -> list[dict[int, tuple[str, float]]]:
    """Return, for every frame, the side and palm of each identity."""
    tracker = Tracker(eyes, settings or TrackSettings())
    rows = []
    for number in range(count):
        tracked = tracker.step(numbered(number), number / FPS)
        rows.append({one.id: (one.side, float(one.seen.joints_px[[0, 5, 9, 13, 17], 0].mean())) for one in tracked})
    return rows


def test_one_hand_keeps_its_identity(scripted_eyes, seen_hand, numbered) -> None:
    eyes = scripted_eyes([[seen_hand(100.0 + 6 * n)] for n in range(60)])
    rows = _run(eyes, numbered, 60)
    assert all(list(row) == [0] for row in rows)
    assert eyes.searches <= 13  # the first frame, then every fifth


def test_two_hands_pass_each_other(scripted_eyes, seen_hand, numbered) -> None:
    """While they overlap only the front hand is seen; afterwards each keeps its identity."""
    script = []
    for n in range(80):
        right, left = seen_hand(100.0 + 5 * n), seen_hand(500.0 - 5 * n, 250.0, side="left")
        hidden = abs((100 + 5 * n) - (500 - 5 * n)) < 60
        script.append([right] if hidden else [right, left])
    rows = _run(scripted_eyes(script), numbered, 80)
    for n, row in enumerate(rows):
        assert row[0] == ("right", pytest.approx(100 + 5 * n))
        assert 1 not in row or row[1] == ("left", pytest.approx(500 - 5 * n))
    assert set().union(*rows) == {0, 1}
    assert sum(1 in row for row in rows) >= 80 - 13 - 2


def test_hands_of_one_side_pass_by_their_motion(scripted_eyes, seen_hand, numbered) -> None:
    script = [[seen_hand(100.0 + 5 * n, 240.0), seen_hand(500.0 - 5 * n, 300.0)] for n in range(80)]
    rows = _run(scripted_eyes(script), numbered, 80)
    ends = {round(value[1]) for value in rows[0].values()}, {id: round(value[1]) for id, value in rows[-1].items()}
    assert ends[0] == {100, 500}
    first = {id: round(value[1]) for id, value in rows[0].items()}
    assert all(abs(first[id] - ends[1][id]) > 300 for id in first)


@pytest.mark.parametrize(("gap", "identities"), [(14, {0}), (24, {0, 1})])
def test_short_gaps_are_bridged_and_long_ones_not(scripted_eyes, seen_hand, numbered, gap: int, identities) -> None:
    script = [[] if 20 <= n < 20 + gap else [seen_hand(100.0 + 3 * n)] for n in range(60)]
    rows = _run(scripted_eyes(script), numbered, 60)
    assert set().union(*rows) == identities
    assert rows[25] == {}


def test_hands_come_and_go(scripted_eyes, seen_hand, numbered) -> None:
    script = []
    for n in range(90):
        now = [seen_hand(100.0)] if n < 40 else []
        script.append(now + ([seen_hand(500.0, side="left")] if n >= 20 else []))
    rows = _run(scripted_eyes(script), numbered, 90)
    assert set(rows[0]) == {0}
    assert set(rows[35]) == {0, 1}
    assert set(rows[-1]) == {1}


def test_no_more_hands_than_wanted(scripted_eyes, seen_hand, numbered) -> None:
    script = [[seen_hand(100.0, score=0.9), seen_hand(300.0, score=0.95), seen_hand(500.0, score=0.8)]] * 30
    rows = _run(scripted_eyes(script), numbered, 30, TrackSettings(max_hands=1))
    assert all(len(row) == 1 for row in rows)
    assert rows[0][0][1] == pytest.approx(300)


def test_a_few_wrong_sides_do_not_turn_a_hand(scripted_eyes, seen_hand, numbered) -> None:
    sides = ["right" if n % 7 else "left" for n in range(1, 50)]
    rows = _run(scripted_eyes([[seen_hand(200.0, side=side)] for side in sides]), numbered, 49)
    assert all(row[0][0] == "right" for row in rows)


def test_a_doubtful_hand_does_not_begin_a_track(scripted_eyes, seen_hand, numbered) -> None:
    assert _run(scripted_eyes([[seen_hand(200.0, score=0.6)]] * 5), numbered, 5) == [{}] * 5


def test_a_state_can_be_taken_up(scripted_eyes, seen_hand, numbered) -> None:
    script = [[seen_hand(100.0 + 4 * n), seen_hand(500.0 - 2 * n, side="left")] for n in range(40)]
    whole = _run(scripted_eyes(script), numbered, 40)
    first, second = Tracker(scripted_eyes(script)), Tracker(scripted_eyes(script))
    for number in range(17):
        first.step(numbered(number), number / FPS)
    second.state = first.state
    for number in range(17, 40):
        tracked = second.step(numbered(number), number / FPS)
        np.testing.assert_allclose(
            [one.seen.joints_px[[0, 5, 9, 13, 17], 0].mean() for one in tracked], [v[1] for v in whole[number].values()]
        )
