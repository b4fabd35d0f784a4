"""Readers of hifihr's own results, of clips and of assets, each with a small valid file."""

import io
import json
import zipfile
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fuzzing.guard import Reader
from fuzzing.mutations import damage_bytes, damage_either, damage_json, damage_npz
from hifihr_core.assets import find_asset
from hifihr_core.errors import DataError
from hifihr_core.exports.formats import ExportContext, write_hand
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.run_index import INDEX_FILE, RunIndex, read_index, write_index
from hifihr_core.exports.textured_meshes import posed_mesh
from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.hands.anny.skin import load_skin
from hifihr_core.importing import gather
from hifihr_core.outside.array_archives import read_arrays
from hifihr_core.outside.torch_files import read_torch_file
from hifihr_core.photos.reading import read_photo
from hifihr_core.placed_hands import PlacedHands, mean_texture
from hifihr_core.synthesis.environments import make_environments
from hifihr_core.training.folder.report_page import write_report
from hifihr_core.training.folder.run_journal import read_journal
from hifihr_core.video.reading.containers import VideoFile
from hifihr_core.video.tracking.journal import Journal, SeenFrame
from hifihr_core.video.writing.synthetic_clips import read_truth
from hifihr_core.viewing.stored_photos import StoredPhotos
from hifihr_core.viewing.stored_tracks import StoredClips, has_tracks

_ORIGIN = {"clip": "a"}
_ENTRY = {"path": "a.jpg", "hands": [{"files": ["a_0.json"], "side": "left"}], "files": ["a.glb"], "pictures": []}


@cache
def _hand() -> HandModel:
    return load_hand("anny", texture_px=64)


def _write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _result() -> HandResult:
    hand = _hand()
    parameters = mean_texture(hand, hand.mean_parameters())
    root = torch.tensor([[0.03, 0.0, 0.5]])
    joints = (hand(parameters).joints + root[:, None])[0].numpy()
    named = {name: value[0].numpy() for name, value in vars(parameters).items()}
    light = {"ambient": np.full(3, 0.5), "color": np.array([0.6, 0.5, 0.4]), "direction": np.array([0, 0, -1.0])}
    return HandResult(
        *("right", 0.9, np.array([0, 0, 50, 50.0]), np.diag([200.0, 200.0, 1.0]), True, "anny"),
        *(joints, joints[:, :2], posed_mesh(hand, PlacedHands(parameters, root))),
        {**named, "root_cam": root[0].numpy()},
        light,
    )


def _results(folder: Path) -> Path:
    """Write a folder of results with one hand; return the hand's file."""
    small = replace(_result(), mesh=replace(_result().mesh, texture=np.full((64, 64, 3), 77, np.uint8)))
    files = write_hand(folder, "a_0", small, ("json", "texture"), ExportContext("a.png"))
    write_index(folder, [{"path": "a.png", "hands": [{"side": "right", "files": [str(file) for file in files]}]}])
    return folder / "a_0.json"


def _read_results(path: Path) -> None:
    photos = StoredPhotos(path.parent)
    for number in range(len(photos)):
        photos.hands(number)


def _index(folder: Path) -> Path:
    return write_index(folder, [_ENTRY, {**_ENTRY, "path": "b.jpg"}])


def _read_index(path: Path) -> None:
    read_index(path.parent)
    index = RunIndex(path.parent)
    index.all_names()
    index.entry("a.jpg")
    StoredPhotos(path.parent)


def _run_journal(folder: Path) -> Path:
    lines = [_ENTRY, {"path": "c.jpg", "planned": ["c_0.json"]}]
    return _write(folder / ".hands-abc.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def _clip_journal(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    hand = SeenHand(
        *(rng.uniform(0, 100, (21, 2)), rng.normal(size=21), rng.normal(size=(21, 3)) / 10, np.ones(21)),
        *(np.full(21, 0.9), 0.95, "left", 0.8),
    )
    journal = Journal(folder / "seen.jsonl", _ORIGIN)
    for number in range(4):
        journal.append(SeenFrame(number, number / 30, number % 2 == 0, {3: hand}))
    journal.close()
    return folder / "seen.jsonl"


def _read_clip_journal(path: Path) -> None:
    journal = Journal(path, _ORIGIN)
    list(journal.frames())
    journal.close()


def _clip(name: str, codec: str) -> Callable[[Path], Path]:
    def prepare(folder: Path) -> Path:
        import av

        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height = 64, 48
            if codec == "gif":
                stream.pix_fmt = "rgb8"
            for number in range(8):
                picture = np.full((48, 64, 3), 20 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        return folder / name

    return prepare


def _read_clip(path: Path) -> None:
    for _ in VideoFile(path).frames():
        pass


def _track(folder: Path) -> Path:
    """Write the results of a clip with one track; return its numbers."""
    mean, frames = _hand().mean_parameters(), 4
    arrays = {
        "hand": np.array("anny"),
        "side": np.array("left"),
        "times_s": np.arange(frames) / 30,
        "K": np.eye(3),
        "seen": np.ones(frames, bool),
        "pose": np.zeros((frames, mean.pose.shape[1])),
        "shape": mean.shape[0].numpy(),
        "global_orient": np.zeros((frames, 3)),
        "root_cam": np.ones((frames, 3)),
    }
    np.savez_compressed(folder / "a_track0.npz", **arrays)
    track = {"track": 0, "side": "left", "files": ["a_track0.npz"]}
    write_index(folder, [{"path": "a.mp4", "frames": frames, "hands": [], "tracks": [track]}])
    return folder / "a_track0.npz"


def _read_tracks(path: Path) -> None:
    """Pose the hands of every clip that a folder of results lists."""
    if not has_tracks(path.parent):
        return
    clips = StoredClips(path.parent)
    for number, _ in enumerate(clips.names):
        clips.path(number)
        for track in clips.tracks(number):
            track.faces()
            track.vertices_cam(track.row(float(track.times_s[0])) or 0)


def _archive(folder: Path) -> Path:
    arrays = {"a": np.arange(12.0).reshape(3, 4), "b": np.array("text"), "c": np.zeros((2, 3), np.uint8)}
    np.savez_compressed(folder / "a.npz", **arrays)
    return folder / "a.npz"


def _read_archive(path: Path) -> None:
    read_arrays(path, what="arrays", remedy="write them again", needed=("a",))


def _skin(folder: Path) -> Path:
    px = 32
    arrays = {
        "mean": np.zeros((3, px, px), np.uint8),
        "components": np.zeros((2, 3, px, px), np.int8),
        "scale": np.ones(2, np.float32),
        "inside": np.ones((px, px), bool),
        "people": np.zeros((4, 2), np.float32),
    }
    np.savez(folder / "skin.npz", **arrays)
    return folder / "skin.npz"


def _torch_file(folder: Path) -> Path:
    torch.save({"args": Namespace(lr=1), "a": torch.arange(6.0), "n": [1, 2]}, folder / "a.t7")
    return folder / "a.t7"


def _read_torch_file(path: Path) -> None:
    read_torch_file(path, what="a checkpoint", remedy="get it again", allowed=[Namespace])


def _asset_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "mano.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mano/readme.txt", "MANO")
        archive.writestr("mano/models/MANO_RIGHT.pkl", bytes(range(256)) * 20)
    return folder / "mano.zip"


def _read_asset_zip(path: Path) -> None:
    scratch = path.parent / f"scratch{len(list(path.parent.iterdir()))}"
    scratch.mkdir()
    gather(find_asset("mano-right"), path, scratch)


def _metrics(folder: Path) -> Path:
    lines = [{"step": n, "loss": 1.0 / n, "kind": "train", "lr": 1e-4} for n in range(1, 5)]
    lines.append({"step": 4, "kind": "validation", "score": 0.5, "loss": 0.2})
    _write(folder / "config.toml", "[train]\nlr = 1e-4\n")
    return _write(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def _read_metrics(path: Path) -> None:
    read_journal(path)
    write_report(path.parent)


def _truth(folder: Path) -> Path:
    frame = {"frame": 0, "time_s": 0.0, "K": np.eye(3).tolist(), "hands": [{"side": "left", "joints": [[1, 2]] * 21}]}
    return _write(folder / "clip.jsonl", (json.dumps(frame) + "\n") * 3)


def _environment(folder: Path) -> Path:
    import cv2

    cv2.imwrite(str(folder / "a.hdr"), np.random.default_rng(0).uniform(0, 3, (32, 64, 3)).astype(np.float32))
    return folder / "a.hdr"


def _read_environment(path: Path) -> None:
    make_environments(count=0, seed=0, folder=path.parent)


def _photo(name: str, **options: object) -> Reader:
    def prepare(folder: Path) -> Path:
        pixels = np.random.default_rng(0).integers(0, 255, (48, 40, 3)).astype(np.uint8)
        stream = io.BytesIO()
        if name in ("heic", "avif"):
            import pillow_heif

            pillow_heif.register_heif_opener()
            pillow_heif.register_avif_opener() if hasattr(pillow_heif, "register_avif_opener") else None
        Image.fromarray(pixels).save(stream, **options)
        return _write(folder / f"p.{name}", stream.getvalue())

    return Reader(prepare, lambda path: read_photo(path), damage_bytes)


def _lines(damage: Callable) -> Callable:
    """Return damage to a single line of a JSON Lines file, or to the whole file."""

    def on_lines(content: bytes, dice) -> bytes:
        lines = content.splitlines(keepends=True)
        if len(lines) < 2 or dice.random() < 0.3:
            return damage_bytes(content, dice)
        place = dice.randrange(len(lines))
        try:
            lines[place] = damage(lines[place].rstrip(b"\n"), dice) + b"\n"
        except (ValueError, DataError):
            return damage_bytes(content, dice)
        return b"".join(lines)

    return on_lines


def _readers(rows: Sequence[tuple[str, Callable, Callable, Callable]]) -> dict[str, Reader]:
    return {name: Reader(prepare, read, mutate) for name, prepare, read, mutate in rows}


RESULT_READERS: dict[str, Reader] = {
    **_readers(
        [
            ("results", _results, _read_results, damage_either(damage_json)),
            ("results index", _index, _read_index, damage_either(damage_json)),
            ("results journal", _run_journal, _read_index, _lines(damage_json)),
            ("clip journal", _clip_journal, _read_clip_journal, _lines(damage_json)),
            ("clip truth", _truth, lambda path: list(read_truth(path)), _lines(damage_json)),
            ("clip mp4", _clip("a.mp4", "mpeg4"), _read_clip, damage_bytes),
            ("clip webm", _clip("a.webm", "libvpx"), _read_clip, damage_bytes),
            ("clip avi", _clip("a.avi", "mpeg4"), _read_clip, damage_bytes),
            ("clip gif", _clip("a.gif", "gif"), _read_clip, damage_bytes),
            ("track npz", _track, _read_tracks, damage_either(damage_npz)),
            (
                "clip index",
                lambda folder: _track(folder).with_name(INDEX_FILE),
                _read_tracks,
                damage_either(damage_json),
            ),
            ("arrays npz", _archive, _read_archive, damage_bytes),
            ("skin npz", _skin, lambda path: load_skin(path, 32), damage_bytes),
            ("torch file", _torch_file, _read_torch_file, damage_bytes),
            ("asset zip", _asset_zip, _read_asset_zip, damage_bytes),
            ("metrics", _metrics, _read_metrics, _lines(damage_json)),
            ("environment hdr", _environment, _read_environment, damage_bytes),
        ]
    ),
    "photo gif": _photo("gif", format="GIF"),
    "photo jp2": _photo("jp2", format="JPEG2000"),
    "photo heic": _photo("heic", format="HEIF"),
    "photo ppm": _photo("ppm", format="PPM"),
    "photo tga": _photo("tga", format="TGA"),
    "photo pcx": _photo("pcx", format="PCX"),
    "photo sgi": _photo("sgi", format="SGI"),
}
