"""Make the keypoint lifter that ships with the package: trained on synthetic keypoints of the free hand alone.

    python tools/train_lifter.py --minutes 45

The file is written every few minutes, so that a run that is stopped leaves its best; its metadata names seed, steps,
and the errors on fresh hands.
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import torch

from hifihr_core.hands import load_hand
from hifihr_core.lifting.lifter import Lifter, save_lifter
from hifihr_core.lifting.train_lifter import LifterTraining, evaluate_lifter, train_lifter
from hifihr_core.models import shipped

TARGET = Path(shipped.__file__).with_name("data") / shipped.LIFTER
SAVE_EVERY_S = 240.0


def main() -> None:
    """Train, score, write."""
    parser = argparse.ArgumentParser(description="Train the keypoint lifter of the free hand.")
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--steps", type=int, default=LifterTraining.steps)
    parser.add_argument("--batch-size", type=int, default=LifterTraining.batch_size)
    parser.add_argument("--lr", type=float, default=LifterTraining.lr)
    parser.add_argument("--seed", type=int, default=LifterTraining.seed)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = LifterTraining(
        steps=options.steps,
        max_minutes=options.minutes,
        batch_size=options.batch_size,
        lr=options.lr,
        seed=options.seed,
    )
    hand = load_hand("anny")
    began, saved = time.monotonic(), [time.monotonic()]

    def save(step: int, lifter: Lifter) -> None:
        score = asdict(evaluate_lifter(hand, lifter.eval()))
        facts = {
            "data": "synthetic keypoints of the free hand",
            "licence": "free",
            "joints": hand.joint_definition,
            "settings": json.dumps(asdict(settings)),
            "steps": str(step),
            "score": json.dumps({name: round(value, 4) for name, value in score.items()}),
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        save_lifter(options.out, lifter, hand, facts)
        print(f"step {step}, {(time.monotonic() - began) / 60:.1f} min: {facts['score']}", flush=True)

    last = [0]

    def on_step(step: int, terms: dict[str, float], average: Lifter) -> None:
        last[0] = step + 1
        if step % 200 == 0:
            text = ", ".join(f"{name} {value:.3f}" for name, value in terms.items())
            print(f"step {step}, {(time.monotonic() - began) / 60:.1f} min: {text}", flush=True)
        if time.monotonic() - saved[0] > SAVE_EVERY_S:
            saved[0] = time.monotonic()
            save(step + 1, average)

    trained = train_lifter(hand, settings, on_step=on_step)
    save(last[0], trained)


if __name__ == "__main__":
    main()
