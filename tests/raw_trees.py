"""Writers of tiny datasets in the formats of the downloads, pitfalls included; loaded by the fixture `raw_trees`."""

import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import ClassVar

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
    """Return `count` right hands in front of a camera, jittered: (count, 21, 3)."""
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
    """Write the file that marks a dataset as synthetic."""
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
    """Write a FreiHAND dataset; `evaluation_root` gets the content of the evaluation zip. Returns the lists."""
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


class Python2Pickler(pickle._Pickler):
    """Pickles like Python 2 with NumPy 1: protocol 2, byte strings for all text, NumPy's old module names."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_text(self, value: bytes | str) -> None:
        raw = value.encode("latin1") if isinstance(value, str) else value
        self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[bytes] = save_text
    dispatch[str] = save_text

    def save_global(self, obj: object, name: str | None = None) -> None:
        module, name = obj.__module__ or "numpy.core.multiarray", name or obj.__name__
        self.write(f"c{module.replace('numpy._core', 'numpy.core')}\n{name}\n".encode())
        self.memoize(obj)

    dispatch[type] = save_global


def write_pickle(path: Path, value: object) -> None:
    """Write a pickle the way Python 2 would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        Python2Pickler(file, 2).dump(value)


HO3D_ORDER = (0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 4, 8, 12, 16, 20)
RHD_ORDER = (0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17)
DART_ORDER = (0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 8, 12, 20, 16, 4)
FLIP = np.asarray((1.0, -1.0, -1.0))


def write_ho3d(
    root: Path,
    *,
    version: str = "v3",
    train: int = 5,
    evaluation: int = 3,
    seed: int = 0,
    truth: bool = True,
    hand_channel: int | None = 0,
) -> dict[str, dict]:
    """Write an HO-3D dataset with a frame that no list names (all its values are None). Returns the annotations."""
    mark(root)
    extension = {"v2": ".png", "v3": ".jpg"}[version]
    K = np.asarray([[617.3, 0, 312.4], [0, 617.0, 241.2], [0, 0, 1]])
    written = {}
    for folder, sequence, count in (("train", "ABF10", train), ("evaluation", "SM1", evaluation)):
        joints = hands(count, seed=seed + len(folder), depth=0.55)
        frames = [f"{sequence}/{number:04d}" for number in range(0, 2 * count, 2)]
        (root / f"{folder}.txt").write_text("".join(f"{frame}\n" for frame in frames))
        rng = np.random.default_rng(seed)
        written[folder] = {
            "joints": joints,
            "K": K,
            "frames": frames,
            "pose": rng.normal(0, 0.2, (count, 48)),
            "box": [],
        }
        for number, frame in enumerate(frames):
            name = frame.split("/")[1]
            write(root / folder / sequence / "rgb" / f"{name}{extension}", picture(seed + number, 640, 480))
            points = project(joints[number], K)
            gl = (joints[number] * FLIP)[list(HO3D_ORDER)]
            meta = {"camMat": K, "objRot": np.zeros((3, 1)), "objTrans": np.zeros(3), "objName": "010_potted_meat_can"}
            if folder == "train":
                meta |= {"handJoints3D": gl, "handPose": written[folder]["pose"][number], "handBeta": np.full(10, 0.1)}
                meta |= {"handTrans": gl[0]}
                if hand_channel is not None:
                    colors = np.zeros((120, 160, 3), np.uint8)
                    colors[..., hand_channel] = disk_mask(160, 120, points.mean(axis=0) / 4, 40) * 255
                    colors[..., 2 - hand_channel] = disk_mask(160, 120, np.zeros(2), 30) * 255
                    write(root / folder / sequence / "seg" / f"{name}.png", colors)
            else:
                box = np.concatenate((points.min(axis=0), points.max(axis=0)))
                written[folder]["box"].append(box)
                meta |= {"handJoints3D": gl[0], "handBoundingBox": [int(value) for value in box]}
            write_pickle(root / folder / sequence / "meta" / f"{name}.pkl", meta)
        write_pickle(
            root / folder / sequence / "meta" / "0001.pkl", dict.fromkeys(("camMat", "handJoints3D", "handPose"))
        )
        if folder == "evaluation" and truth:
            gl = (joints * FLIP)[:, list(HO3D_ORDER)]
            (root / "evaluation_xyz.json").write_text(json.dumps(gl.tolist()))
            verts = (joints[:, 9:10] + rng.normal(0, 0.03, (count, 778, 3))) * FLIP
            written[folder]["verts"] = verts * FLIP
            (root / "evaluation_verts.json").write_text(json.dumps(verts.tolist()))
    return written


def write_rhd(root: Path, *, training: int = 6, evaluation: int = 2, seed: int = 0) -> dict[str, dict]:
    """Write an RHD dataset: even pictures show the right hand better, odd ones the left. Returns the annotations."""
    mark(root)
    written = {}
    for folder, count in (("training", training), ("evaluation", evaluation)):
        right = hands(count, seed=seed + len(folder))
        left = hands(count, seed=seed + len(folder) + 50) * (-1, 1, 1)
        records = {}
        for number in range(count):
            K = np.asarray([[280.0 + number, 0, 160], [0, 280.0 + number, 160], [0, 0, 1]])
            xyz = np.concatenate(
                (left[number][list(RHD_ORDER)] - (0.12, 0, 0), right[number][list(RHD_ORDER)] + (0.12, 0, 0))
            )
            uv = project(xyz, K)
            visible = np.ones((42, 1))
            visible[5 : 21 if number % 2 == 0 else 5] = 0
            visible[21 : 36 if number % 2 else 21] = 0
            records[number] = {"uv_vis": np.concatenate((uv, visible), axis=1), "xyz": xyz, "K": K}
            write(root / folder / "color" / f"{number:05d}.png", picture(seed + number, 320, 320))
            ids = np.zeros((320, 320), np.uint8)
            ids[disk_mask(320, 320, uv[:21].mean(axis=0), 30)] = 17
            ids[disk_mask(320, 320, uv[21:].mean(axis=0), 30)] = 33
            ids[disk_mask(320, 320, np.asarray((160, 300)), 15)] = 1
            write(root / folder / "mask" / f"{number:05d}.png", ids)
            # RHD's depth: red is the high byte; HO-3D's is the low one. Neither is read.
            write(root / folder / "depth" / f"{number:05d}.png", np.zeros((320, 320, 3), np.uint8))
        write_pickle(root / folder / f"anno_{folder}.pickle", records)
        written[folder] = records
    return written


def write_dart(
    root: Path, *, parts: int = 2, each: int = 3, seed: int = 0, background: bool = True
) -> dict[tuple, dict]:
    """Write a DART dataset with one test part. Returns the annotations per (folder, part)."""
    mark(root, stand_in=False)
    written = {}
    for folder, numbers in (("train", range(parts)), ("test", range(1))):
        for number in numbers:
            joints = hands(each, seed=seed + number) - (0, 0, 0.6)
            rng = np.random.default_rng(seed + number)
            scale, shift = rng.uniform(900, 1100, each), rng.uniform(240, 270, (each, 2))
            points = joints[..., :2] * scale[:, None, None] + shift[:, None]
            names = [f"{n}.png" for n in range(each)]
            pose = rng.normal(0, 0.2, (each, 16, 3))
            record = {
                "img": names,
                "pose": list(pose),
                "joint3d": list((joints * FLIP)[:, list(DART_ORDER)]),
                "joint2d": list(points[:, list(DART_ORDER)]),
            }
            write_pickle(root / folder / f"part_{number}.pkl", record)
            verts = rng.normal(0, 0.03, (each, 842, 3))
            for n, name in enumerate(names):
                rgba = np.dstack(
                    (picture(seed + n, 512, 512), disk_mask(512, 512, points[n].mean(0), 120) * np.uint8(255))
                )
                write(root / folder / str(number) / name, rgba)
                if background:
                    write(root / folder / f"{number}_wbg" / name, picture(seed + n, 384, 384))
                write_pickle(root / folder / f"{number}_verts" / f"{n}.pkl", verts[n] * FLIP)
            written[folder, number] = {"joints": joints, "points": points, "scale": scale, "shift": shift, "pose": pose}
            written[folder, number]["verts"] = verts
    return written
