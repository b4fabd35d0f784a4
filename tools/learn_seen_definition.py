"""Learn the eyes' joint definition in terms of ours, from rendered hands with ground truth.

    python tools/learn_seen_definition.py learn/seen

The folder is the output of `tools/see_hands.py`. Only hands of which the eyes are certain, and visible joints, are
used. Writes `hifihr_core/lifting/data/seen_definition.json`.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from learning.joint_map import learn_joint_map

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.lifting import seen_definition

TARGET = Path(seen_definition.__file__).with_name("data") / "seen_definition.json"
_SURE = 0.9


def main() -> None:
    """Learn one map per definition and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seen", type=Path)
    parser.add_argument("--most", type=int, default=40, help="maximum number of chunks")
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    chunks = list(read_chunks(sorted(arguments.seen.glob("*.seen.npz"))[: arguments.most]))
    seen_px, visible = (np.concatenate([chunk[name] for chunk in chunks]) for name in ("seen_px", "visible"))
    drawn_with, maps = load_hand("anny", joints="freihand", texture_px=64), {}
    for definition in ("freihand", "ho3d"):
        hand = load_hand("anny", joints=definition, texture_px=64)
        true_px = np.concatenate([joints_px(hand, drawn_with, chunk) for chunk in chunks])
        weights = learn_joint_map(true_px, seen_px, visible)
        maps[definition] = weights.round(4).tolist()
        print(definition, *(f"{after:.3f} ({before:.3f})" for before, after in errors(true_px, seen_px, weights)))
    rows = {name: [json.dumps(row) for row in rows] for name, rows in maps.items()}
    text = ",\n".join(f'"{name}": [\n' + ",\n".join(lines) + "\n]" for name, lines in rows.items())
    arguments.out.write_text("{\n" + text + "\n}\n", encoding="utf-8")


def read_chunks(paths: list[Path]) -> Iterator[dict[str, np.ndarray]]:
    """Yield, for each chunk, the hands of which the eyes are certain."""
    names = ("global_orient", "pose", "shape", "joints_cam", "K")
    for path in paths:
        with np.load(path) as file:
            sure = file["seen_presence"] > _SURE
            chunk = {name: file[name][sure] for name in names}
            chunk["seen_px"] = file["seen_joints_px"].mean(axis=1)[sure]
            chunk["visible"] = file["joints_visible"][sure] > 0
        yield chunk


@torch.no_grad()
def joints_px(hand: HandModel, drawn_with: HandModel, chunk: dict[str, np.ndarray]) -> np.ndarray:
    """Return the joints of `hand` in the pictures, for hands that were rendered with another joint definition."""
    values = {name: torch.from_numpy(chunk[name]) for name in ("global_orient", "pose", "shape", "joints_cam", "K")}
    parameters = HandParameters(values["global_orient"], values["pose"], values["shape"])
    ours, theirs = hand(parameters), drawn_with(parameters)
    place = values["joints_cam"] - theirs.joints + (theirs.vertices - ours.vertices).mean(dim=1, keepdim=True)
    return project(ours.joints + place, values["K"]).numpy()


def errors(true_px: np.ndarray, seen_px: np.ndarray, weights: np.ndarray) -> list[tuple[float, float]]:
    """Return the median error of every joint in hand sizes, without and with the map."""
    size = np.ptp(true_px, axis=1).max(axis=1)[:, None]
    both = [np.linalg.norm(seen_px - points, axis=-1) / size for points in (true_px, weights @ true_px)]
    return list(zip(*(np.median(error, axis=0).tolist() for error in both), strict=True))


if __name__ == "__main__":
    main()
