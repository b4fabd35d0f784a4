"""Claim: the eyes find at least half of the hands that MediaPipe's pipeline misses, without more false ones.

On folders with keypoints, also: at least 0.99 of the sides right, PCK@0.05 of the labelled joints at least 0.85. A
keypoint is right if its distance from its label is less than 0.05 of the longer side of the box around the hand's
labels; those of a missed hand are wrong. Every photo and every label counts.

Usage: python benchmarks/eyes_recall.py FOLDER... [--effort auto] [--official FILE.json...] [--step 1] [--json FILE]
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from eyes_common import Found, Labelled, matched, our_hands, read_hands, read_labels
from reporting import report

from hifihr_core.eyes import EFFORTS, Eyes


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="see eyes_common.py for what is in one")
    parser.add_argument("--effort", nargs="+", default=["auto"], choices=list(EFFORTS))
    parser.add_argument(
        "--official", type=Path, nargs="*", default=[], help="one file per folder, of official_hands.py"
    )
    parser.add_argument("--step", type=int, default=1, help="use every N-th photo")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    eyes, values = Eyes.load(), {}
    for number, folder in enumerate(options.folders):
        labels = dict(sorted(read_labels(folder).items())[:: options.step])
        for effort in options.effort:
            found = {name: our_hands(eyes, folder / name, effort) for name in labels}
            values[f"{folder.name} {effort}"] = scores(found, labels)
        if number < len(options.official):
            values[f"{folder.name} official"] = scores(read_hands(options.official[number]), labels)
    report("eyes_recall", values, options.json)


def scores(found: Mapping[str, list[Found]], labels: Mapping[str, list[Labelled]]) -> dict[str, float | list[str]]:
    """Return counts of hands, and fractions of correct sides and joints where they are labelled."""
    pairs = {name: matched(found[name], labelled) for name, labelled in labels.items()}
    hands = [hand for labelled in labels.values() for hand in labelled]
    counts: dict[str, float | list[str]] = {
        "hands": len(hands),
        "found": sum(len(some) for some in pairs.values()),
        "others": sum(len(found[name]) - len(pairs[name]) for name in labels),
        "missed in": [name for name in labels if len(pairs[name]) < len(labels[name])],
        "others in": [name for name in labels if len(found[name]) > len(pairs[name])],
    }
    both = [(found[name][i], labels[name][j]) for name in labels for i, j in pairs[name]]
    with_points = [(one, label) for one, label in both if label.keypoints is not None]
    if with_points:
        errors = np.concatenate([_errors(one, label) for one, label in with_points])
        labelled = sum(int((hand.keypoints[:, 2] > 0).sum()) for hand in hands)
        counts["sides right"] = sum(one.side == label.side for one, label in with_points) / len(hands)
        counts["PCK@0.05"], counts["PCK@0.1"] = ((errors < near).sum() / labelled for near in (0.05, 0.1))
        counts["mean error"] = float(errors.mean())
    return counts


def _errors(one: Found, label: Labelled) -> np.ndarray:
    """Return the error of each labelled joint in hand sizes."""
    seen = label.keypoints[:, 2] > 0
    size = np.ptp(label.keypoints[seen, :2], axis=0).max()
    return np.linalg.norm(one.joints_px[seen] - label.keypoints[seen, :2], axis=1) / size


if __name__ == "__main__":
    main()
