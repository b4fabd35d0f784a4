"""The output of `hifihr live`: one JSON line per picture."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from hifihr_core.video.live.live_hands import LiveHand, LiveHands
from hifihr_core.video.live.newest_frame import Arrived, newest_frames
from hifihr_core.video.reading.frames import Frame


def live_lines(
    frames: Iterable[Frame],
    hands: LiveHands,
    *,
    most: int | None = None,
    on_hands: Callable[[Sequence[LiveHand]], None] = lambda hands: None,
    on_picture: Callable[[Frame, Sequence[LiveHand]], None] = lambda frame, hands: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[str]:
    """Yield a line for every picture that is not dropped, and stop after `most` lines.

    `on_hands` is called with the hands of a picture before its line, `on_picture` with the picture and its hands after
    it. In a line, `latency_ms` is the time from the arrival of the picture to the line; `dropped` is the number of
    pictures so far that were replaced by a newer one before they could be processed.
    """
    for arrived in islice(newest_frames(frames), most):
        found = hands.step(arrived.frame.image, arrived.frame.time_s)
        on_hands(found)
        yield _line(arrived, found, hands.K, clock())
        on_picture(arrived.frame, found)


def _line(arrived: Arrived, hands: Sequence[LiveHand], K: np.ndarray, now_s: float) -> str:
    document = {
        "frame": arrived.frame.number,
        "time_s": round(arrived.frame.time_s, 4),
        "latency_ms": round((now_s - arrived.arrived_s) * 1000, 1),
        "dropped": arrived.dropped,
        "K": np.round(K, 3).tolist(),
        "hands": [_hand(hand) for hand in hands],
    }
    return json.dumps(document, separators=(",", ":"))


def _hand(hand: LiveHand) -> dict[str, object]:
    return {
        "track": hand.id,
        "side": hand.side,
        "score": round(hand.score, 4),
        "joints_px": np.round(hand.joints_px, 2).tolist(),
        "joints_cam": np.round(hand.joints_cam, 5).tolist(),
        "parameters": {name: np.round(value, 5).tolist() for name, value in hand.parameters.items()},
    }
