"""Reading results back: the JSON of one hand, posed again by its model."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from hifihr_core.errors import DataError
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.run_index import INDEX_FILE, read_index
from hifihr_core.exports.textured_meshes import mirror_x, posed_mesh
from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.outside.json_text import read_json
from hifihr_core.photos.detections import box_from_xywh
from hifihr_core.placed_hands import PlacedHands

_PARAMETERS = ("global_orient", "pose", "shape", "texture")


def result_files(path: Path) -> list[Path]:
    """Return the JSON file of a hand, or those that a folder of results lists.

    Raises: DataError if there are none.
    """
    if path.is_file() and path.name != INDEX_FILE:
        return [path]
    folder = path if path.is_dir() else path.parent
    names = [name for photo in read_index(folder) for hand in photo["hands"] for name in hand["files"]]
    found = [folder / name for name in names if name.endswith(".json")]
    if not found:
        raise DataError(f"{folder}: no .json of a hand in {INDEX_FILE}; run `hifihr predict --format json` again")
    return found


def read_hand_document(path: Path) -> dict:
    """Return what a hand's JSON says. Raises: DataError for a file that is missing or not a hand."""
    expected = "expected a hand's file from `hifihr predict`"
    document = read_json(path, remedy=expected)
    if not isinstance(document, dict):
        raise DataError(f"{path}: a {type(document).__name__}, {expected}")
    missing = {"hand", "parameters", "K", "side"} - set(document)
    if missing:
        raise DataError(f"{path}: no entry {sorted(missing)[0]!r}; {expected}")
    return document


def hand_from_document(document: Mapping, hand: HandModel) -> HandResult:
    """Return the hand that a document describes, posed by `hand`; its texture is the model's, not the photo's.

    Raises: DataError if numbers are missing or do not fit the model.
    """
    try:
        values = {name: np.asarray(value, dtype=np.float64) for name, value in document["parameters"].items()}
        named = {
            name: torch.from_numpy(values[name]).to(hand_dtype(hand))[None] for name in _PARAMETERS if name in values
        }
        root_cam = torch.from_numpy(values["root_cam"]).to(hand_dtype(hand))[None]
        named.setdefault("texture", torch.zeros(1, hand.texture_dim, dtype=hand_dtype(hand)))
        mesh = posed_mesh(hand, PlacedHands(HandParameters(**named), root_cam))
        return HandResult(
            side=document["side"],
            score=float(document["score"]),
            box_px=box_from_xywh(document["box"]),
            K=np.asarray(document["K"], dtype=np.float64),
            metric=bool(document["metric"]),
            hand=document["hand"],
            joints_cam=np.asarray(document["joints_cam"], dtype=np.float64),
            joints_px=np.asarray(document["joints_px"], dtype=np.float64),
            mesh=mirror_x(mesh) if document["side"] == "left" else mesh,
            parameters=values,
            light={name: np.asarray(value, dtype=np.float64) for name, value in document["light"].items()},
            report=document.get("report", {}),
            licences=document.get("licences", {}),
            mano=document.get("mano"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"a hand's file: {error}; expected one that `hifihr predict` wrote") from error


def hand_dtype(hand: HandModel) -> torch.dtype:
    """Return the dtype that a model computes in."""
    return next(buffer.dtype for buffer in hand.buffers() if buffer.is_floating_point())
