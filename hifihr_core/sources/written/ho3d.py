"""Write synthetic data in HO-3D's raw layouts, v2 and v3: sequences of video frames, each with a pickled annotation
(its meta) in OpenGL's camera frame.
"""

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from hifihr_core.files import write_text
from hifihr_core.geometry import turns
from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.machine.progress import OnProgress
from hifihr_core.records import Batch
from hifihr_core.skeleton import WRIST, scatter_to
from hifihr_core.sources.written.layouts import EVALUATION_SEED, RawRequest, json_lists, write_marker
from hifihr_core.synthesis.as_samples import encode
from hifihr_core.synthesis.generator import Synthesizer
from hifihr_core.synthesis.options import SynthOptions

_WIDTH, _HEIGHT = 640, 480
_OPTIONS = SynthOptions(view="frame", image_px=_WIDTH, height_px=_HEIGHT, distance_m=(0.4, 0.8), held_object=0.9)
_OPENGL = np.array([1.0, -1.0, -1.0])
_ORDER = list(scatter_to("ho3d"))
_FRAMES_PER_SEQUENCE = 25
_BLOCK = 5
_SEQUENCES = {"train": "ABF1{}", "evaluation": "AP1{}"}


@dataclass(frozen=True)
class _Version:
    """The differences between the two releases.

    `picture` and `mask` are the extensions of pictures and segmentations, `mask_size` is the width and height of
    segmentations, and `hand_channel` the channel (OpenCV's order) that marks the hand in them; `contacts` says whether
    metas have entries about contacts with the object.
    """

    picture: str
    mask: str
    mask_size: tuple[int, int]
    hand_channel: int
    contacts: bool


_V2 = _Version(picture=".png", mask=".jpg", mask_size=(160, 120), hand_channel=2, contacts=False)
_V3 = _Version(picture=".jpg", mask=".png", mask_size=(320, 240), hand_channel=0, contacts=True)


def write_ho3d_v2(request: RawRequest, on_progress: OnProgress) -> None:
    """Write HO-3D v2's layout: PNG frames, red hands in small JPEG masks."""
    _write(request, on_progress, _V2)


def write_ho3d_v3(request: RawRequest, on_progress: OnProgress) -> None:
    """Write HO-3D v3's layout: JPEG frames, blue hands in PNG masks, contact keys in the metas."""
    _write(request, on_progress, _V3)


def _write(request: RawRequest, on_progress: OnProgress, version: _Version) -> None:
    name = request.hand_name
    flat: dict[str, Any] = {"flat_hand": True} if name == "mano" else {}
    hand = load_hand(name, joints="ho3d", **flat)
    native = load_hand(name, joints="ho3d", centred=False, **flat) if name == "mano" else None
    write_marker(request.root, stand_in_vertices=not hand.has_mano_vertices)
    options = replace(_OPTIONS, photos=request.photos, backgrounds=request.backgrounds)
    total = request.count + request.evaluation
    train = _Split(request.root, "train", version, native)
    evaluation = _Split(request.root, "evaluation", version, native)
    for n, (frame, batch, row, maker) in enumerate(_frames(hand, options, request.seed, request.count, "train")):
        train.write(frame, batch, row, maker)
        on_progress(n + 1, total)
    seed = request.seed + EVALUATION_SEED
    with json_lists(request.root, ("evaluation_xyz", "evaluation_verts")) as lists:
        for n, (frame, batch, row, maker) in enumerate(_frames(hand, options, seed, request.evaluation, "evaluation")):
            evaluation.write(frame, batch, row, maker)
            lists["evaluation_xyz"].append(_opengl(batch.labels["joints_cam"][row])[_ORDER].tolist())
            lists["evaluation_verts"].append(_opengl(batch.labels["mano_vertices_cam"][row]).tolist())
            on_progress(request.count + n + 1, total)
    train.finish()
    evaluation.finish()


def _frames(
    hand: HandModel, options: SynthOptions, seed: int, count: int, split: str
) -> Iterator[tuple[str, Batch, int, Synthesizer]]:
    """Yield ("<SEQ>/<FRAME>", batch, row in it, synthesizer) for every frame of one split."""
    synthesizer = Synthesizer(hand, seed=seed, options=options)
    for n in range(count):
        if n % _BLOCK == 0:
            batch = synthesizer.make(n // _BLOCK, min(_BLOCK, count - n))
        sequence = _SEQUENCES[split].format(n // _FRAMES_PER_SEQUENCE)
        yield f"{sequence}/{n % _FRAMES_PER_SEQUENCE:04d}", batch, n % _BLOCK, synthesizer


class _Split:
    """Writes one split, frame by frame."""

    def __init__(self, root: Path, name: str, version: _Version, native: HandModel | None) -> None:
        self.root, self.name, self.version, self.native = root, name, version, native
        self.frames: list[str] = []
        self.found: dict[str, list[list]] = {}

    def write(self, frame: str, batch: Batch, row: int, synthesizer: Synthesizer) -> None:
        """Write the picture and the meta file of one frame and, for training, its mask and detections."""
        sequence, _, number = frame.partition("/")
        picture = encode(batch, row, synthesizer, self.version.picture)
        self._place(sequence, "rgb", number + self.version.picture).write_bytes(picture)
        meta = self._train_meta(batch, row) if self.name == "train" else _evaluation_meta(batch, row)
        self._place(sequence, "meta", f"{number}.pkl").write_bytes(_pickle(meta))
        if self.name == "train":
            self._write_mask(sequence, number, batch, row)
            self._detect(sequence, f"{number}{self.version.picture}", batch, row)
        self.frames.append(frame)

    def finish(self) -> None:
        """Write the list of frames, the detections, and one frame per sequence without annotation, as in real data."""
        write_text(self.root / f"{self.name}.txt", "".join(f"{frame}\n" for frame in self.frames))
        for sequence in sorted({frame.split("/")[0] for frame in self.frames}):
            empty = dict.fromkeys(_COMMON_KEYS + (_TRAIN_KEYS if self.name == "train" else ("handJoints3D",)))
            self._place(sequence, "meta", "9999.pkl").write_bytes(_pickle(empty))
        for sequence, found in self.found.items():
            path = self.root / "openpose" / sequence / "detect.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(found))

    def _place(self, sequence: str, kind: str, name: str) -> Path:
        folder = self.root / self.name / sequence / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def _write_mask(self, sequence: str, number: str, batch: Batch, row: int) -> None:
        mask = batch.labels["mask"][row].cpu().numpy().astype(np.uint8) * 255
        colors = np.zeros((*self.version.mask_size[::-1], 3), np.uint8)
        colors[..., self.version.hand_channel] = cv2.resize(
            mask, self.version.mask_size, interpolation=cv2.INTER_NEAREST
        )
        cv2.imwrite(str(self._place(sequence, "seg", number + self.version.mask)), colors)

    def _detect(self, sequence: str, name: str, batch: Batch, row: int) -> None:
        found = self.found.setdefault(sequence, [[], [], []])
        peaks = batch.labels["keypoints_px"][row].floor().long().tolist()
        values = batch.labels["keypoints_confidence"][row][:, None].double().tolist()
        for target, value in zip(found, (peaks, values, [name]), strict=True):
            target.append(value)

    def _train_meta(self, batch: Batch, row: int) -> dict[str, object]:
        joints = _opengl(batch.labels["joints_cam"][row])[_ORDER]
        meta: dict[str, object] = {"handJoints3D": joints, **_common(batch, row), **self._parameters(batch, row)}
        if self.version.contacts:
            meta["handVertContact"] = np.zeros(778, np.uint8)
            meta["handVertDist"] = np.full(778, 0.05)
            meta["handVertIntersec"] = np.zeros(778, np.uint8)
            meta["handVertObjSurfProj"] = np.zeros((778, 3))
        return meta

    def _parameters(self, batch: Batch, row: int) -> dict[str, np.ndarray]:
        """Return MANO's pose, shape and translation in OpenGL's frame: vertices are MANO(pose, shape) + translation.

        Let j be the wrist at rest, about which MANO rotates, and x a posed vertex before the global rotation R and the
        translation t are applied; in our frame they move it to R (x - j) + j + t. D = diag(1, -1, -1) maps this to
        OpenGL's frame: D R (x - j) + j + t' with t' = D (j + t) - j. All parameters are zero without MANO.
        """
        if self.native is None:
            return {"handPose": np.zeros(48), "handBeta": np.zeros(10), "handTrans": np.zeros(3)}
        labels = batch.labels
        one = slice(row, row + 1)
        native = self.native(HandParameters(labels["global_orient"][one], labels["pose"][one], labels["shape"][one]))
        wrist = native.joints[0, WRIST].double()
        shift = labels["joints_cam"][row, WRIST].double() - wrist
        half_turn = torch.from_numpy(np.diag(_OPENGL))
        turned = turns.rotmat_to_rotvec(half_turn @ turns.rotvec_to_rotmat(labels["global_orient"][row].double()))
        return {
            "handPose": torch.cat((turned, labels["pose"][row].double())).numpy(),
            "handBeta": labels["shape"][row].double().numpy(),
            "handTrans": (half_turn @ (wrist + shift) - wrist).numpy(),
        }


_COMMON_KEYS = ("camMat", "objRot", "objTrans", "objCorners3D", "objCorners3DRest", "objName", "objLabel", "camIDList")
_TRAIN_KEYS = ("handJoints3D", "handPose", "handTrans", "handBeta")


def _evaluation_meta(batch: Batch, row: int) -> dict[str, object]:
    wrist = _opengl(batch.labels["joints_cam"][row])[WRIST]
    box = batch.labels["box_px"][row].double().numpy()
    return {"handJoints3D": wrist, "handBoundingBox": box, **_common(batch, row)}


def _common(batch: Batch, row: int) -> dict[str, object]:
    """Return the entries for camera and object: a box in the hand, with the name of an object from the YCB set."""
    middle = _opengl(batch.labels["joints_cam"][row]).mean(axis=0)
    corners = np.stack(np.meshgrid(*3 * ([-0.04, 0.04],), indexing="ij"), axis=-1).reshape(8, 3)
    values = (
        *(batch.K[row].double().numpy(), np.zeros((3, 1)), middle, corners + middle, corners),
        *("010_potted_meat_can", 10, ["0", "1", "2", "3"]),
    )
    return dict(zip(_COMMON_KEYS, values, strict=True))


def _opengl(points_cam: torch.Tensor) -> np.ndarray:
    return points_cam.cpu().double().numpy() * _OPENGL


def _pickle(meta: dict[str, object]) -> bytes:
    """Return a pickle in Python 2 style: protocol 2, and NumPy's modules under their old names."""
    return pickle.dumps(meta, protocol=2).replace(b"numpy._core.", b"numpy.core.")
