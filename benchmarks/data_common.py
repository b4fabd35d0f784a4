"""Shared by the benchmarks of the data path: large generated FreiHAND datasets."""

import json
import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent


def raw_trees() -> ModuleType:
    """Return the tests' writers of small downloads."""
    spec = spec_from_file_location("raw_trees", ROOT / "tests" / "raw_trees.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def jpegs(count: int) -> list[bytes]:
    """Return 224 x 224 JPEGs about as large as FreiHAND's (11 KB on average)."""
    trees, rng = raw_trees(), np.random.default_rng(0)
    pictures = [trees.picture(seed, 224, 224).astype(np.float32) for seed in range(count)]
    noisy = [np.clip(picture + rng.normal(0, 3.5, (224, 224, 1)), 0, 255).astype(np.uint8) for picture in pictures]
    return [cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes() for picture in noisy]


def write_freihand(root: Path, poses: int, *, distinct: int = 200) -> None:
    """Write a FreiHAND training split of any size: `distinct` poses and pictures, repeated; files are hard links."""
    trees = raw_trees()
    trees.mark(root)
    for name, values in trees.freihand_lists(distinct, seed=0).items():
        texts = [json.dumps(value) for value in values]
        with (root / f"training_{name}.json").open("w") as file:
            file.write("[")
            for pose in range(poses):
                file.write((", " if pose else "") + texts[pose % distinct])
            file.write("]")
    mask = (
        np.repeat(trees.disk_mask(224, 224, np.asarray((112, 112)), 60)[..., None], 3, axis=-1).astype(np.uint8) * 255
    )
    _link(root / "training/rgb", jpegs(distinct), 4 * poses)
    _link(root / "training/mask", [cv2.imencode(".jpg", mask)[1].tobytes()], poses)


def _link(folder: Path, contents: list[bytes], count: int) -> None:
    folder.mkdir(parents=True)
    for number, content in enumerate(contents[:count]):
        (folder / f"{number:08d}.jpg").write_bytes(content)
    for number in range(len(contents), count):
        # File systems allow about 60,000 links to one file.
        os.link(folder / f"{number % len(contents):08d}.jpg", folder / f"{number:08d}.jpg")
