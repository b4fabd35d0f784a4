"""Read results back: the JSON of one hand, from whose parameters the model computes its mesh again."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hifihr_core.errors import DataError
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.run_index import INDEX_FILE, read_index
from hifihr_core.exports.textured_meshes import TexturedMesh, mirror_x, posed_mesh
from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.hands.table import HAND_NAMES
from hifihr_core.outside.json_text import finite_json, read_json
from hifihr_core.photos.detections import box_from_xywh
from hifihr_core.placed_hands import PlacedHands
from hifihr_core.skeleton import NUM_JOINTS

#: A hand that is farther away has damaged numbers.
_FARTHEST_M = 1e4
_PARAMETERS = ("global_orient", "pose", "shape", "texture")


def result_files(path: Path) -> list[Path]:
    """Return the JSON files of hands: `path` itself, or those that a results folder lists.

    Raises: DataError if there are none.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; check the path")
    if path.is_file() and path.name != INDEX_FILE:
        return [path]
    if not path.is_dir() and not path.is_file():
        raise DataError(f"{path}: a pipe or device, expected a hand's .json or a folder from `hifihr predict`")
    folder = path if path.is_dir() else path.parent
    entries = read_index(folder)
    names = [name for entry in entries for hand in entry.get("hands", []) for name in hand["files"]]
    found = [folder / name for name in names if name.endswith(".json")]
    if not found and any(entry.get("tracks") for entry in entries):
        raise DataError(f"{folder}: {INDEX_FILE} lists hands of clips, expected hands of photos; name another folder")
    if not found:
        raise DataError(
            f"{folder}: {INDEX_FILE} lists no .json of a hand; run `hifihr predict --format json` on photos of hands"
        )
    return found


def read_hand_document(path: Path) -> dict:
    """Read a hand's JSON. Raises: DataError for a file that is missing or not a hand."""
    remedy = "give the .json of a hand from `hifihr predict`"
    document = read_json(path, remedy=remedy)
    if not isinstance(document, dict):
        raise DataError(f"{path}: its JSON has type {type(document).__name__}, expected an object; {remedy}")
    missing = {"hand", "parameters", "K", "side"} - set(document)
    if missing:
        raise DataError(f"{path}: {sorted(missing)[0]!r} is missing; {remedy}")
    for name, known in (("hand", HAND_NAMES), ("side", ("left", "right"))):
        if document[name] not in known:
            found = str(document[name])[:40]
            raise DataError(f"{path}: {name} is {found!r}, expected one of {', '.join(known)}; {remedy}")
    photo = document.get("photo")
    if not (photo is None or isinstance(photo, str)):
        raise DataError(f"{path}: photo has type {type(photo).__name__}, expected a name; {remedy}")
    return document


def hand_from_document(document: Mapping, hand: HandModel, path: Path) -> HandResult:
    """Return the hand described by a document, posed by `hand`; its texture is the model's, not the photo's.

    `path` is the document's file, for messages. Raises: DataError if numbers are missing or do not match the model.
    """
    try:
        values = _finite_arrays(document["parameters"])
        before = _finite_arrays(document["before"]) if "before" in document else None
        mesh = _posed(hand, {name: values[name] for name in (*_PARAMETERS, "root_cam") if name in values})
        if before is not None:
            _posed(hand, before)
        return HandResult(
            side=document["side"],
            score=float(_shaped(document, "score")),
            box_px=box_from_xywh(_shaped(document, "box", 4).tolist()),
            K=_camera(document),
            metric=bool(document["metric"]),
            hand=document["hand"],
            joints_cam=_shaped(document, "joints_cam", NUM_JOINTS, 3),
            joints_px=_shaped(document, "joints_px", NUM_JOINTS, 2),
            mesh=mirror_x(mesh) if document["side"] == "left" else mesh,
            parameters=values,
            light=_light(document["light"]),
            report=_mapping(document, "report"),
            licences={name: str(licence) for name, licence in _mapping(document, "licences").items()},
            mano=_mapping(document, "mano") or None,
            doubtful=bool(document.get("doubtful", False)),
            joint_confidence=_optional(document, "joint_confidence", NUM_JOINTS),
            side_confidence=None if (side := _optional(document, "side_confidence")) is None else float(side),
            keypoints_px=_points(document.get("keypoints_px")),
            before=before,
        )
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise DataError(f"{path}: a damaged hand ({reason:.200}); give a file that `hifihr predict` wrote") from error


def _shaped(document: Mapping, name: str, *shape: int) -> np.ndarray:
    array = np.asarray(document[name], dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape or 'a single number'}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} contains NaN or infinity")
    return array


def _optional(document: Mapping, name: str, *shape: int) -> np.ndarray | None:
    return _shaped(document, name, *shape) if name in document else None


def _camera(document: Mapping) -> np.ndarray:
    K = _shaped(document, "K", 3, 3)
    if not (K[0, 0] > 0 and K[1, 1] > 0 and K[2].tolist() == [0, 0, 1]):
        raise ValueError(f"K is {K.tolist()}, expected positive focal lengths and a last row of 0, 0, 1")
    return K


def _light(entries: Any) -> dict[str, np.ndarray]:
    light = _finite_arrays(entries)
    for name in ("ambient", "color", "direction"):
        if light[name].shape != (3,):
            raise ValueError(f"light {name} has shape {light[name].shape}, expected (3,)")
    return light


def _mapping(document: Mapping, name: str) -> dict:
    found = document.get(name) or {}
    if not isinstance(found, dict):
        raise ValueError(f"{name} has type {type(found).__name__}, expected an object")
    plain: dict = finite_json(found)
    return plain


def mesh_before(result: HandResult, hand: HandModel) -> TexturedMesh | None:
    """Return the mesh before refinement, with the skin of the result; None if there was no refinement.

    Raises: DataError if the earlier parameters do not match the model.
    """
    if result.before is None:
        return None
    try:
        mesh = _posed(hand, result.before)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"a hand's file is damaged: its entry `before` does not fit ({error}); give one that `hifihr predict` wrote"
        ) from error
    mesh = mirror_x(mesh) if result.side == "left" else mesh
    return replace(mesh, texture=result.mesh.texture, vertex_colors=result.mesh.vertex_colors)


def _posed(hand: HandModel, values: Mapping[str, np.ndarray]) -> TexturedMesh:
    """Return the mesh of a (right) hand with these parameters; texture coefficients default to zero.

    Raises: ValueError and others if the parameters do not match the model or put a vertex too far away.
    """
    sizes = {"global_orient": 3, "pose": hand.pose_dim, "shape": hand.shape_dim, "texture": hand.texture_dim}
    sizes["root_cam"] = 3
    named = {}
    for name, value in values.items():
        if name not in sizes:
            raise ValueError(f"{name!r} is not a parameter, expected {', '.join(sizes)}")
        if value.shape != (sizes[name],):
            raise ValueError(f"{name} has shape {value.shape}, expected ({sizes[name]},)")
        named[name] = torch.from_numpy(value).to(hand_dtype(hand))[None]
    root_cam = named.pop("root_cam")
    named.setdefault("texture", root_cam.new_zeros(1, hand.texture_dim))
    mesh = posed_mesh(hand, PlacedHands(HandParameters(**named), root_cam))
    if not np.abs(mesh.vertices).max() <= _FARTHEST_M:  # NaN is not within it either
        raise ValueError(f"a vertex is not within {_FARTHEST_M:,.0f} m of the camera")
    return mesh


def _finite_arrays(entries: Any) -> dict[str, np.ndarray]:
    values = {name: np.asarray(value, dtype=np.float64) for name, value in entries.items()}
    broken = [name for name, value in values.items() if not np.isfinite(value).all()]
    if broken:
        raise ValueError(f"{broken[0]} contains NaN or infinity")
    return values


def _points(rows: Any) -> np.ndarray | None:
    """Return the keypoints, NaN for those that are null."""
    if rows is None:
        return None
    points = np.array([(np.nan, np.nan) if row is None else row for row in rows], dtype=np.float64)
    if points.shape != (NUM_JOINTS, 2):
        raise ValueError(f"keypoints_px has shape {points.shape}, expected {(NUM_JOINTS, 2)}")
    return points


def hand_dtype(hand: HandModel) -> torch.dtype:
    """Return the dtype that a model computes in."""
    return next(buffer.dtype for buffer in hand.buffers() if buffer.is_floating_point())
