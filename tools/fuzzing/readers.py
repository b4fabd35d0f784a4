"""All readers of external files, each with a small valid file. A new reader is a new row of `READERS`."""

import io
import json
import pickle
import runpy
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.guard import Reader
from fuzzing.mutations import damage_bytes, damage_either, damage_json, damage_shard
from fuzzing.result_readers import RESULT_READERS
from fuzzing.small_shards import picture, small_shard
from fuzzing.store_readers import STORE_READERS
from hifihr_core.augmentation.draws import AugmentRanges
from hifihr_core.config import load_settings
from hifihr_core.config.tree import RunSettings
from hifihr_core.evaluation.benchmarks.point_files import PointSets, read_predictions
from hifihr_core.evaluation.benchmarks.table import find_benchmark
from hifihr_core.hands import load_hand
from hifihr_core.lifting.lifter import load_lifter
from hifihr_core.models.shipped import LIFTER, shipped_model
from hifihr_core.outside.pickles import NUMPY, read_pickle
from hifihr_core.photos.camera_choice import read_intrinsics
from hifihr_core.photos.hand_files import read_hand_file
from hifihr_core.photos.reading import read_photo
from hifihr_core.shards.folder import ShardSet, verify
from hifihr_core.shards.packing import Policy, pack_split
from hifihr_core.sources.contract import Request
from hifihr_core.sources.keypoint_files import read_keypoint_file
from hifihr_core.sources.raw.raw_tree import Tree, find_places
from hifihr_core.sources.table import find_source
from hifihr_core.stream.batch_stream import BatchStream, StreamOptions, StreamPart

#: The tests' writers of small downloads.
_RAW_TREES = runpy.run_path(str(Path(__file__).parents[2] / "tests" / "raw_trees.py"))
_FORGIVING = Policy(max_problems=1.0, force=True)


def _read_shard(path: Path) -> None:
    """Verify a shard against an index that matches its bytes, and stream it; verifying yields one-line messages."""

    index = json.loads((path.parent / "index.json").read_text())
    index["shards"][0]["bytes"] = max(1, path.stat().st_size)
    (path.parent / "index.json").write_text(json.dumps(index))
    assert all("\n" not in line for line in verify(path.parent))
    options = StreamOptions(batch_size=2, image_px=24, augment=AugmentRanges(), shuffle=False, drop_last=False)
    list(BatchStream([StreamPart(ShardSet(path.parent), hand_scale=2.0)], options))


def _index(folder: Path) -> Path:
    return small_shard(folder).with_name("index.json")


def _read_index(path: Path) -> None:
    assert all("\n" not in line for line in verify(path.parent))
    list(ShardSet(path.parent))


def _source_reader(name: str, damaged: str, mutate: Callable = damage_bytes, **options: Any) -> Reader:
    """Return a reader that runs `prepare` on a download with one damaged file."""

    def prepare(folder: Path) -> Path:
        _RAW_TREES[f"write_{name}"](folder / "raw", **options)
        return folder / "raw" / damaged

    def read(path: Path) -> None:
        root = next(parent for parent in path.parents if parent.name == "raw")
        out = root.parent / "out"
        for number, split in enumerate(find_source(name).open(Request(root))):
            pack_split(split, out / f"{len(list(out.glob('*')))}-{number}", policy=_FORGIVING)

    return Reader(prepare, read, mutate)


def _zipped(folder: Path) -> Path:
    path = folder / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/train.txt", "ABF10/0000\n" * 50)
        archive.writestr("a/rgb/0.jpg", picture(), zipfile.ZIP_STORED)
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w") as small:
            small.writestr("evaluation.txt", "x" * 100)
        archive.writestr("b.zip", inner.getvalue(), zipfile.ZIP_STORED)
    return path


def _read_zip(path: Path) -> None:
    tree = Tree(tuple(find_places(path, ["train.txt", "evaluation.txt", "rgb/"])))
    for name in ("train.txt", "evaluation.txt", "rgb/0.jpg"):
        if file := tree.find(name):
            file.read()


def _photo(extension: str) -> Reader:
    def read(path: Path) -> None:
        read_photo(path)

    return Reader(lambda folder: _written(folder / f"p{extension}", picture(48, extension)), read, damage_bytes)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _hands(folder: Path) -> Path:
    rows = [[20.0 + j, 30.0 + 2 * j, 0.9] for j in range(21)]
    hand = {"keypoints": rows, "side": "left", "box": [10, 20, 60, 90], "K": [[90, 0, 50], [0, 90, 50], [0, 0, 1]]}
    return _written(folder / "hands.json", json.dumps({"a.jpg": [hand, {"box": [1, 2, 30, 40]}]}).encode())


def _read_hands(path: Path) -> None:
    read_hand_file(path)


def _openpose(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    names = [f"rgb/{n}.jpg" for n in range(3)]
    lists = [rng.uniform(0, 200, (3, 21, 2)).tolist(), rng.uniform(0, 1, (3, 21, 1)).tolist(), names]
    return _written(folder / "detect.json", json.dumps(lists).encode())


def _read_openpose(path: Path) -> None:
    read_keypoint_file(path)


def _camera(extension: str) -> Reader:
    K = np.array([[90.0, 0, 50], [0, 90, 50], [0, 0, 1]])

    def prepare(folder: Path) -> Path:
        stream = io.BytesIO()
        np.save(stream, K)
        contents = {
            ".npy": stream.getvalue(),
            ".json": json.dumps(K.tolist()).encode(),
            ".txt": b"90 0 50\n0 90 50\n0 0 1",
        }
        return _written(folder / f"K{extension}", contents[extension])

    def read(path: Path) -> None:
        read_intrinsics(path)

    return Reader(prepare, read, damage_either(damage_json) if extension == ".json" else damage_bytes)


def _predictions(name: str) -> Reader:
    def points() -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        before = np.array([0, 0, 0.7])
        return rng.normal(0, 0.05, (3, 21, 3)) + before, rng.normal(0, 0.05, (3, 778, 3)) + before

    def prepare(folder: Path) -> Path:
        joints, vertices = points()
        text = json.dumps([joints.round(5).tolist(), vertices[:, :30].round(5).tolist()])
        if name.endswith(".json"):
            return _written(folder / name, text.encode())
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("pred.json", text)
        return folder / name

    def read(path: Path) -> None:
        read_predictions(path, PointSets(*points()), replace(find_benchmark("freihand"), samples=3))

    return Reader(prepare, read, damage_either(damage_json) if name.endswith(".json") else damage_bytes)


def _pickle(folder: Path) -> Path:
    record = {"K": np.eye(3), "xyz": np.zeros((21, 3)), "names": ["a", "b"], "n": 3}
    return _written(folder / "a.pkl", pickle.dumps(record, 2))


def _read_pickle(path: Path) -> None:
    read_pickle(path, allowed=NUMPY)


def _config(folder: Path) -> Path:
    text = 'model.hand = "anny"\n[train]\nlr = 1e-4\nbatch_size = 4\n[data]\ntrain = ["synth"]\nimage_px = 64\n'
    return _written(folder / "run.toml", text.encode())


def _read_config(path: Path) -> None:
    load_settings(RunSettings, path)


def _weights(folder: Path) -> Path:
    path = shipped_model(LIFTER)
    assert path is not None
    return _written(folder / "lifter.safetensors", path.read_bytes())


def _read_weights(path: Path) -> None:
    load_lifter(path, load_hand("anny"))


READERS: dict[str, Reader] = {
    "shard": Reader(small_shard, _read_shard, damage_either(damage_shard)),
    "index.json": Reader(_index, _read_index, damage_either(damage_json)),
    "freihand xyz": _source_reader(
        "freihand", "training_xyz.json", damage_either(damage_json), training=2, evaluation=0
    ),
    "freihand scale": _source_reader(
        "freihand", "training_scale.json", damage_either(damage_json), training=2, evaluation=0
    ),
    "freihand jpeg": _source_reader("freihand", "training/rgb/00000001.jpg", training=2, evaluation=0),
    "freihand mask": _source_reader("freihand", "training/mask/00000001.jpg", training=2, evaluation=0),
    "ho3d meta": _source_reader("ho3d", "train/ABF10/meta/0002.pkl", train=2, evaluation=1),
    "ho3d list": _source_reader("ho3d", "train.txt", train=2, evaluation=1),
    "rhd pickle": _source_reader("rhd", "training/anno_training.pickle", training=2, evaluation=1),
    "rhd png": _source_reader("rhd", "training/mask/00001.png", training=2, evaluation=1),
    "dart pickle": _source_reader("dart", "train/part_0.pkl", parts=1, each=2),
    "dart vertices": _source_reader("dart", "train/0_verts/1.pkl", parts=1, each=2),
    "marker": _source_reader("freihand", "hifihr_synthetic.json", damage_either(damage_json), training=1, evaluation=0),
    "zip": Reader(_zipped, _read_zip, damage_bytes),
    "pickle": Reader(_pickle, _read_pickle, damage_bytes),
    "openpose list": Reader(_openpose, _read_openpose, damage_either(damage_json)),
    "hands of photos": Reader(_hands, _read_hands, damage_either(damage_json)),
    "camera npy": _camera(".npy"),
    "camera json": _camera(".json"),
    "camera text": _camera(".txt"),
    "pred.json": _predictions("pred.json"),
    "pred.zip": _predictions("pred.zip"),
    "photo jpg": _photo(".jpg"),
    "photo png": _photo(".png"),
    "photo tiff": _photo(".tiff"),
    "photo webp": _photo(".webp"),
    "photo bmp": _photo(".bmp"),
    "settings": Reader(_config, _read_config, damage_bytes),
    "weights": Reader(_weights, _read_weights, damage_bytes),
    **RESULT_READERS,
    **STORE_READERS,
}
