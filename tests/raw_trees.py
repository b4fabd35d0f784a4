"""Writers of tiny raw trees in the formats of the real downloads, traps included; loaded by the `raw_trees` fixture."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np

#: A right hand with bent fingers, root frame, metres, our joint order: (21, 3). The palm faces the camera.
_FINGER_X = (0.035, 0.012, -0.010, -0.030)


def right_hand() -> np.ndarray:
    """Return a plausible right hand: camera axes, fingers up (-y), palm towards the camera (-z), thumb to the right."""
    joints = np.zeros((21, 3))
    joints[1:5] = [[0.03, -0.02, -0.010], [0.055, -0.04, -0.02], [0.075, -0.06, -0.03], [0.09, -0.075, -0.04]]
    for finger, x in enumerate(_FINGER_X):
        start = 5 + 4 * finger
        joints[start : start + 4] = [[x, -0.09, 0], [x, -0.12, -0.01], [x, -0.14, -0.025], [x, -0.15, -0.045]]
    return joints - joints[9]


def hands(count: int, *, seed: int, depth: float = 0.6) -> np.ndarray:
    """Return `count` right hands before a camera, jittered: (count, 21, 3)."""
    rng = np.random.default_rng(seed)
    joints = right_hand() + rng.normal(0, 0.002, (count, 21, 3))
    return joints + rng.uniform(-0.02, 0.02, (count, 1, 3)) + (0, 0, depth)


def picture(seed: int, width: int, height: int) -> np.ndarray:
    """Return a smooth colour picture, BGR: it survives JPEG well."""
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 255, (7, 9, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


def write(path: Path, pixels: np.ndarray, *options: int) -> None:
    """Write a picture, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels, list(options))[1].tobytes())


def disk_mask(width: int, height: int, centre: np.ndarray, radius: float) -> np.ndarray:
    """Return a mask that is True inside a disk."""
    v, u = np.mgrid[:height, :width] + 0.5
    return (u - centre[0]) ** 2 + (v - centre[1]) ** 2 < radius**2


def project(joints: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Return the pixels of points."""
    points = joints @ np.swapaxes(K, -1, -2)
    return points[..., :2] / points[..., 2:]


def mark(root: Path, *, stand_in: bool = True) -> None:
    """Write the file that says that a tree is synthetic."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "hifihr_synthetic.json").write_text(json.dumps({"synthetic": True, "stand_in_vertices": stand_in}))


def freihand_lists(count: int, *, seed: int) -> dict[str, list]:
    """Return the annotation lists of `count` poses."""
    rng = np.random.default_rng(seed)
    joints = hands(count, seed=seed)
    K = np.tile(np.asarray([[480.0, 0, 112], [0, 480.5, 112], [0, 0, 1]]), (count, 1, 1))
    K[:, :2, 2] += rng.uniform(-0.5, 0.5, (count, 2))
    verts = joints[:, 9:10] + rng.normal(0, 0.03, (count, 778, 3))
    return {
        "K": K.tolist(),
        "xyz": joints.tolist(),
        "verts": verts.tolist(),
        "scale": np.linalg.norm(joints[:, 9] - joints[:, 10], axis=-1).tolist(),
        "mano": rng.normal(0, 0.3, (count, 1, 61)).tolist(),
    }


def write_freihand(
    root: Path, *, training: int = 6, evaluation: int = 3, seed: int = 0, evaluation_root: Path | None = None
) -> dict[str, dict[str, list]]:
    """Write a FreiHAND tree; `evaluation_root` takes what comes with the evaluation zip. Returns the lists."""
    mark(root)
    written = {}
    for folder, count, versions in (("training", training, 4), ("evaluation", evaluation, 1)):
        if not count:
            continue
        lists = freihand_lists(count, seed=seed + versions)
        written[folder] = lists
        late = (evaluation_root or root) if folder == "evaluation" else root
        late.mkdir(parents=True, exist_ok=True)
        for name, values in lists.items():
            (late / f"{folder}_{name}.json").write_text(json.dumps(values))
        for name in ("K", "scale"):
            (root / f"{folder}_{name}.json").write_text(json.dumps(lists[name]))
        for number in range(count * versions):
            write(root / folder / "rgb" / f"{number:08d}.jpg", picture(seed + number, 224, 224))
        centres = project(np.asarray(lists["xyz"]), np.asarray(lists["K"])).mean(axis=1)
        for number, centre in enumerate(centres):
            mask = np.repeat(disk_mask(224, 224, centre, 50)[..., None], 3, axis=-1)
            if folder == "training":
                write(root / "training/mask" / f"{number:08d}.jpg", mask.astype(np.uint8) * 255)
            else:
                write(late / "evaluation/segmap" / f"{number:08d}.png", mask.astype(np.uint8) * 7)
    return written


def zip_folder(folder: Path, target: Path, *, prefix: str = "", stored: bool = False) -> Path:
    """Pack a folder into a zip, its files below `prefix`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    kind = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(target, "w", kind) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, prefix + path.relative_to(folder).as_posix())
    return target
