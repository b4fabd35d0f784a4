"""Read NIMBLE's UV chart from the lines of an OBJ file in a pickle, or from the two tensor files of a fork."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from hifihr_core.errors import AssetError
from hifihr_core.outside.pickles import NUMPY, read_pickle
from hifihr_core.outside.torch_files import read_torch_file


def read_uv_chart(
    folder: Path, skin_faces: Int[np.ndarray, "F 3"], remedy: str
) -> tuple[Int[np.ndarray, "F 3"], Int[np.ndarray, "F 3"], Float[np.ndarray, "U 2"]]:
    """Return the faces, the index of the UV point at each of their corners, and the UV points, origin bottom-left.

    The OBJ lines give every corner as vertex/point, so their faces are used, after a check that they are those of the
    skin. The tensor files follow the order of `skin_faces`.
    Raises: AssetError if the chart is missing, damaged or not that of the skin.
    """
    if text := sorted(folder.rglob("NIMBLE_TEX_FUV.pkl")):
        faces, faces_uvs, uvs = _from_lines(text[0], read_pickle(text[0], allowed=NUMPY), remedy)
        same = len(faces) == len(skin_faces) and np.array_equal(_canonical(faces), _canonical(skin_faces))
        if not same:
            raise AssetError(
                f"{text[0]}: its faces ({len(faces)}) differ from those in skin_f ({len(skin_faces)}); {remedy}"
            )
        return faces, faces_uvs, uvs
    names = ("faces_uvs.pt", "verts_uvs.pt")
    found = [sorted(folder.rglob(name)) for name in names]
    if not all(found):
        raise AssetError(f"{folder}: no texture chart, expected NIMBLE_TEX_FUV.pkl or {' and '.join(names)}; {remedy}")
    faces_uvs, uvs = (_tensor(paths[0], remedy) for paths in found)
    _check(found[0][0], faces_uvs, uvs, len(skin_faces), remedy)
    return skin_faces, faces_uvs.astype(np.int64), uvs.astype(np.float64)


def _from_lines(path: Path, lines: Any, remedy: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points: list[list[float]] = []
    corners: list[list[list[int]]] = []
    try:
        for line in lines:
            kind, *words = str(line).split() or [""]
            if kind == "vt":
                points.append([float(word) for word in words[:2]])
            elif kind == "f":
                corners.append([[int(number) for number in word.split("/")[:2]] for word in words])
        uvs = np.array(points, dtype=np.float64).reshape(-1, 2)
        table = np.array(corners, dtype=np.int64).reshape(-1, 3, 2) - 1
    except (TypeError, ValueError) as error:
        raise AssetError(f"{path}: its lines are not a valid OBJ file ({error}); {remedy}") from error
    faces, faces_uvs = table[..., 0], table[..., 1]
    _check(path, faces_uvs, uvs, len(faces), remedy)
    # The lines repeat each point for every face that uses it.
    uvs, inverse = np.unique(uvs, axis=0, return_inverse=True)
    return faces, inverse.reshape(-1)[faces_uvs], uvs


def _tensor(path: Path, remedy: str) -> np.ndarray:
    value = read_torch_file(path, what="a plain tensor file", remedy=remedy)
    if not isinstance(value, torch.Tensor):
        raise AssetError(f"{path}: its content has type {type(value).__name__}, expected a tensor; {remedy}")
    return value.squeeze().numpy()


def _check(path: Path, faces_uvs: np.ndarray, uvs: np.ndarray, faces: int, remedy: str) -> None:
    """Raise AssetError unless the chart has a UV point in [0, 1] for each corner of the `faces` faces."""
    fault = ""
    if faces_uvs.shape != (faces, 3) or uvs.shape[1:] != (2,):
        shapes = f"{faces_uvs.shape} and its UV points {uvs.shape}"
        fault = f"its corners have shape {shapes}, expected {(faces, 3)} and (U, 2)"
    elif not faces or not len(uvs):
        fault = f"it has {faces} faces and {len(uvs)} UV points, expected at least one of each"
    elif faces_uvs.min() < 0 or faces_uvs.max() >= len(uvs):
        found = f"{faces_uvs.min()} to {faces_uvs.max()}"
        fault = f"its corners refer to UV points {found}, expected 0 to {len(uvs) - 1}"
    elif not ((uvs >= 0) & (uvs <= 1)).all():
        fault = "a UV point is outside [0, 1] or not finite, expected points within [0, 1]"
    if fault:
        raise AssetError(f"{path}: {fault}; {remedy}")


def _canonical(faces: np.ndarray) -> np.ndarray:
    """Return the faces in canonical order, so that equal sets of oriented triangles give equal arrays."""
    first = faces.argmin(1)
    turned = np.take_along_axis(faces, (first[:, None] + np.arange(3)) % 3, 1)
    return turned[np.lexsort(turned.T[::-1])]
