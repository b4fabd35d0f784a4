"""Run the eyes on folders of photos, and store what they see of each hand: labels that no person has to make.

    python tools/see_photos.py photos/one photos/two --out learn/photos --step 2 --views 3

A folder may hold an `index.json`, a list of `{"file", "boxes": [[x, y, width, height]] or null}`; without boxes the
hands are searched for.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from learning.feature_engine import BodyEngine
from learning.photo_hands import as_right_hand, hands_in, see_crops, stacked

from hifihr_core.eyes.eyes import Eyes
from hifihr_core.files import PHOTO_SUFFIXES, write_atomically


def main() -> None:
    """Write one chunk per folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--step", type=int, default=1, help="use every N-th photo")
    parser.add_argument("--views", type=int, default=1, help="crops per hand, all but the first moved and rotated")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    eyes, engine = Eyes.load(threads=1), BodyEngine()
    for folder in arguments.folders:
        out = arguments.out / f"{folder.name}.seen.npz"
        if out.exists():
            continue
        random = np.random.default_rng(arguments.seed)
        files = _files(folder)[:: arguments.step]
        rows = [row for file in files for row in _see(eyes, engine, *file, arguments.views, random)]
        with write_atomically(out) as part:
            np.savez(part, **stacked(rows))
        print(f"{out.name}: {len(rows) // arguments.views} hands", flush=True)


def _files(folder: Path) -> list[tuple[Path, np.ndarray | None]]:
    index = folder / "index.json"
    if not index.is_file():
        return [(path, None) for path in sorted(folder.iterdir()) if path.suffix.lower() in PHOTO_SUFFIXES]
    entries = json.loads(index.read_text(encoding="utf-8"))
    return [(folder / entry["file"], _boxes(entry.get("boxes"))) for entry in entries]


def _boxes(boxes: list[list[float]] | None) -> np.ndarray | None:
    if not boxes:
        return None
    x, y, width, height = np.array(boxes, dtype=np.float64).T
    return np.stack((x, y, x + width, y + height), axis=1)


def _see(
    eyes: Eyes, engine: BodyEngine, path: Path, boxes: np.ndarray | None, views: int, random: np.random.Generator
) -> list[dict[str, np.ndarray]]:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        return []
    image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    hands = [as_right_hand(image, one) for one in hands_in(eyes, image, boxes)]
    return [row for hand in hands for row in see_crops(engine, *hand, views, random)]


if __name__ == "__main__":
    main()
