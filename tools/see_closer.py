"""Store the feature maps of the landmark network's first blocks for crops of rendered hands.

    python tools/see_closer.py learn/drawn --out learn/closer --views 2
    python tools/see_closer.py learn/held_out --seen learn/held_out_seen --out learn/held_out_closer

With `--seen`, for measurements, there is one crop per hand, around the joints that the eyes saw or, with `--network
FILE`, around those that a hand network found there, as in `predict`. Existing results are kept; with `--minutes` the
run waits that long for further chunks.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from learning.chunk_loop import look_at_chunks, number_of
from learning.closer_looks import look_closer, look_twice, look_where
from learning.drawn_hands import DrawnHands, read_drawn
from learning.feature_engine import BodyEngine

from hifihr_core.hands import load_hand
from hifihr_core.lifting.hand_network import load_hand_network


def main() -> None:
    """Process all chunks without a result."""
    arguments = _arguments()
    cv2.setNumThreads(1)
    engine = BodyEngine()

    def look(path: Path) -> dict[str, np.ndarray]:
        drawn = read_drawn(path)
        if arguments.seen is None:
            return look_closer(engine, drawn, arguments.views, [arguments.seed, number_of(path)])
        with np.load(arguments.seen / path.name.replace("drawn", "seen"), allow_pickle=False) as seen:
            joints_px = seen["seen_joints_px"].mean(axis=1)
        return _look_again(engine, drawn, joints_px, arguments.network)

    look_at_chunks(arguments.drawn, arguments.out, "closer", look, minutes=arguments.minutes)


def _look_again(
    engine: BodyEngine, drawn: DrawnHands, joints_px: np.ndarray, network: Path | None
) -> dict[str, np.ndarray]:
    if network is None:
        return look_where(engine, drawn, joints_px)
    return look_twice(engine, load_hand_network(network, load_hand("anny", texture_px=64)), drawn, joints_px)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drawn", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seen", type=Path, default=None)
    parser.add_argument("--network", type=Path, default=None)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
