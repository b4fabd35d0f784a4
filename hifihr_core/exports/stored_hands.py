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
from hifihr_core.outside.json_text import read_json
from hifihr_core.photos.detections import box_from_xywh
from hifihr_core.placed_hands import PlacedHands
from hifihr_core.skeleton import NUM_JOINTS

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
    names = [name for photo in read_index(folder) for hand in photo["hands"] for name in hand["files"]]
    found = [folder / name for name in names if name.endswith(".json")]
    if not found:
        raise DataError(f"{folder}: {INDEX_FILE} lists no .json of a hand; run `hifihr predict --format json` again")
    return found


def read_hand_document(path: Path) -> dict:
    """Read a hand's JSON. Raises: DataError for a file that is missing or not a hand."""
    expected = "expected a hand's file from `hifihr predict`"
    document = read_json(path, remedy=expected)
    if not isinstance(document, dict):
        raise DataError(f"{path}: contains a JSON {type(document).__name__}, {expected}")
    missing = {"hand", "parameters", "K", "side"} - set(document)
    if missing:
        raise DataError(f"{path}: {sorted(missing)[0]!r} is missing; {expected}")
    for name, known in (("hand", HAND_NAMES), ("side", ("left", "right"))):
        if document[name] not in known:
            found = str(document[name])[:40]
            raise DataError(f"{path}: {name} is {found!r}, expected one of {', '.join(known)}; {expected}")
    return document


def hand_from_document(document: Mapping, hand: HandModel) -> HandResult:
    """Return the hand described by a document, posed by `hand`; its texture is the model's, not the photo's.

    Raises: DataError if numbers are missing or do not match the model.
    """
    try:
        values = _finite_arrays(document["parameters"])
        named = {
            name: torch.from_numpy(values[name]).to(hand_dtype(hand))[None] for name in _PARAMETERS if name in values
        }
        root_cam = torch.from_numpy(values["root_cam"]).to(hand_dtype(hand))[None]
        named.setdefault("texture", torch.zeros(1, hand.texture_dim, dtype=hand_dtype(hand)))
        mesh = posed_mesh(hand, PlacedHands(HandParameters(**named), root_cam))
        return HandResult(
            side=document["side"],
            score=float(document["score"]),
            box_px=box_from_xywh(_shaped(document, "box", 4).tolist()),
            K=_shaped(document, "K", 3, 3),
            metric=bool(document["metric"]),
            hand=document["hand"],
            joints_cam=_shaped(document, "joints_cam", NUM_JOINTS, 3),
            joints_px=_shaped(document, "joints_px", NUM_JOINTS, 2),
            mesh=mirror_x(mesh) if document["side"] == "left" else mesh,
            parameters=values,
            light={name: np.asarray(value, dtype=np.float64) for name, value in document["light"].items()},
            report=document.get("report", {}),
            licences=document.get("licences", {}),
            mano=document.get("mano"),
            keypoints_px=_points(document.get("keypoints_px")),
            before=_finite_arrays(document["before"]) if "before" in document else None,
        )
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        raise DataError(f"a hand's file is damaged: {error}; give one that `hifihr predict` wrote") from error


def _shaped(document: Mapping, name: str, *shape: int) -> np.ndarray:
    array = np.asarray(document[name], dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    return array


def mesh_before(result: HandResult, hand: HandModel) -> TexturedMesh | None:
    """Return the mesh before refinement, with the skin of the result; None if there was no refinement.

    Raises: DataError if the earlier parameters do not match the model.
    """
    if result.before is None:
        return None
    try:
        named = {name: torch.from_numpy(value).to(hand_dtype(hand))[None] for name, value in result.before.items()}
        root_cam = named.pop("root_cam")
        texture = root_cam.new_zeros(1, hand.texture_dim)
        mesh = posed_mesh(hand, PlacedHands(HandParameters(**named, texture=texture), root_cam))
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"a hand's file is damaged: its entry `before` does not fit ({error}); give one that `hifihr predict` wrote"
        ) from error
    mesh = mirror_x(mesh) if result.side == "left" else mesh
    return replace(mesh, texture=result.mesh.texture, vertex_colors=result.mesh.vertex_colors)


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
