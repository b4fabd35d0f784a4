"""Convert the authors' four NIMBLE pickles to plain arrays, without running the files.

The pickles contain torch tensors, possibly saved on a GPU. They are read on the CPU, with replacements for torch's own
loading functions. Units become metres, colours RGB, and only the data needed to pose the skin are kept.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy.sparse
import torch

from hifihr_core.errors import AssetError, UnsafePickleError
from hifihr_core.hands.nimble.arrays import (
    BONE_JOINTS,
    JOINT_BONES,
    NUM_BONES,
    NUM_JOINTS,
    NUM_MANO_VERTICES,
    NUM_SHAPE,
    NUM_TEXTURE,
    NimbleData,
    save_nimble,
)
from hifihr_core.hands.nimble.chart import read_uv_chart
from hifihr_core.outside.pickles import NUMPY, read_pickle

NUM_SKIN = 5990
_M_PER_MM = 0.001
_FETCH = "get the assets again from the links of https://github.com/reyuwei/NIMBLE_model"


def _storage(raw: Any) -> torch.Tensor:
    """Read a nested storage on the CPU with torch's restricted unpickler, in place of torch's own reader."""
    try:
        storage = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafePickleError(
            f"a tensor in a NIMBLE file is damaged or refers to more than plain data; {_FETCH}"
        ) from error
    # The private class, as in torch's own reader: the public ones warn that typed storages are deprecated.
    data = storage._untyped_storage
    return torch.empty(0, dtype=storage.dtype).set_(data, 0, (data.nbytes() // storage.dtype.itemsize,), (1,))


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: object) -> torch.Tensor:
    """Build a tensor, in place of torch's own function; `as_strided` rejects anything outside the storage."""
    return torch.as_strided(storage, size, stride, offset)


_ALLOWED = MappingProxyType(
    {
        **NUMPY,
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch.storage", "_load_from_bytes"): _storage,
    }
)


def convert_nimble(folder: Path, target: Path) -> None:
    """Read NIMBLE's files below `folder` and write them as one plain `.npz`.

    Needs `NIMBLE_DICT_9137.pkl`, `NIMBLE_TEX_DICT.pkl`, `NIMBLE_MANO_VREG.pkl`, and the chart, either
    `NIMBLE_TEX_FUV.pkl` or both `faces_uvs.pt` and `verts_uvs.pt`.
    Raises: AssetError if a file is missing, damaged or not NIMBLE's, UnsafePickleError if one refers to more than plain
    data; nothing is written then.
    """
    save_nimble(read_nimble(folder), target)


def read_nimble(folder: Path) -> NimbleData:
    """Read and check NIMBLE's files. Raises: AssetError if a file is missing, damaged or not NIMBLE's."""
    model = _Entries(*_open(folder, "NIMBLE_DICT_9137.pkl"))
    skin_faces = model.array("skin_f", (-1, 3), np.int64)
    if skin_faces.min() < 0 or skin_faces.max() >= NUM_SKIN:
        found = f"{skin_faces.min()} to {skin_faces.max()}"
        raise model.error(f"skin_f has vertices {found}, expected 0 to {NUM_SKIN - 1}")
    rows, columns, values = _mano_map(_Entries(*_open(folder, "NIMBLE_MANO_VREG.pkl")), skin_faces)
    faces, faces_uvs, uvs = read_uv_chart(folder, skin_faces, _FETCH)
    texture_mean, texture_basis = _diffuse(*_open(folder, "NIMBLE_TEX_DICT.pkl"))
    data = NimbleData(
        **_geometry(model),
        **_pose(model),
        mano_rows=rows,
        mano_columns=columns,
        mano_values=values,
        faces=faces,
        uvs=uvs,
        faces_uvs=faces_uvs,
        texture_mean=texture_mean,
        texture_basis=texture_basis,
    )
    _check_scale(model, data)
    return data


def _open(folder: Path, name: str) -> tuple[Path, Any]:
    found = sorted(folder.rglob(name)) if folder.is_dir() else []
    if not found:
        raise AssetError(f"{folder}: {name} is missing, expected NIMBLE's asset folder; {_FETCH}")
    return found[0], read_pickle(found[0], allowed=_ALLOWED)


class _Entries:
    """The entries of one pickle, accessed by name and shape."""

    def __init__(self, path: Path, content: Any, *, what: str = "its content") -> None:
        self._path = path
        if not isinstance(content, Mapping):
            raise self.error(f"{what} has type {type(content).__name__}, expected a dict")
        self._content, self._what = content, what

    def error(self, reason: str) -> AssetError:
        return AssetError(f"{self._path}: {reason}; {_FETCH}")

    def part(self, name: str) -> "_Entries":
        """Return the dict that is entry `name`. Raises: AssetError if it is missing or not a dict."""
        return _Entries(self._path, self._value(name), what=f"the entry {name}")

    def array(self, name: str, shape: tuple[int, ...], dtype: type = np.float64) -> np.ndarray:
        """Return entry `name` without its axes of length 1. Raises: AssetError if it is not finite numbers of `shape`.

        In `shape`, -1 means any length.
        """
        value = self._value(name)
        array = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise self.error(f"{name} has dtype {array.dtype}, expected numbers")
        array = array.squeeze()
        fits = array.ndim == len(shape) and all(
            want in (-1, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits or not array.size:
            wanted = str(shape).replace("-1", "N") + (" with N at least 1" if -1 in shape else "")
            raise self.error(f"{name} has shape {array.shape}, expected {wanted if shape else 'a single number'}")
        if not np.isfinite(array).all():
            raise self.error(f"{name} contains NaN or infinity, expected finite numbers")
        return array.astype(dtype)

    def integer(self, name: str) -> int:
        """Return entry `name`, a single integer. Raises: AssetError if it is not a single number."""
        return int(self.array(name, (), np.int64))

    def _value(self, name: str) -> Any:
        if name not in self._content:
            raise self.error(f"{self._what} has no entry {name}")
        return self._content[name]


def _geometry(model: _Entries) -> dict[str, np.ndarray]:
    """Return the skin's arrays and the rest joints: metres, shape basis times standard deviations, weights per bone."""
    vertices = model.array("vert", (-1, 3))
    total = len(vertices)
    skin = slice(model.integer("skin_v_sep") % total, None)
    bone = slice(0, model.integer("bone_v_sep") % total)
    if total - skin.start != NUM_SKIN:
        raise model.error(f"skin_v_sep gives {total - skin.start} skin vertices out of {total}, expected {NUM_SKIN}")
    std, mean = model.array("shape_pm_std", (-1,)), model.array("shape_pm_mean", (-1,))
    basis = model.array("shape_basis", (-1, 3 * total)).reshape(-1, total, 3)
    if min(len(std), len(mean), len(basis)) < NUM_SHAPE:
        counts = f"{len(basis)}, {len(std)} and {len(mean)}"
        raise model.error(f"shape_basis, its std and its mean have {counts} components, expected {NUM_SHAPE} or more")
    basis, std, mean = basis[:NUM_SHAPE], std[:NUM_SHAPE], mean[:NUM_SHAPE]
    shaped = (vertices + np.tensordot(mean, basis, 1)) * _M_PER_MM
    basis = basis * std[:, None, None] * _M_PER_MM
    regressor = model.array("jreg_bone", (NUM_JOINTS, bone.stop))
    weights = model.array("all_sw", (total, NUM_JOINTS))[skin]
    if not np.allclose(weights.sum(1), 1, atol=1e-3):
        raise model.error("all_sw has rows that do not sum to 1, expected skinning weights")
    return {
        "template": shaped[skin],
        "shape_basis": basis[:, skin],
        "pose_blend": model.array("all_pbs", (total, 3, 9 * (NUM_BONES - 1)))[skin] * _M_PER_MM,
        "weights": weights @ np.eye(NUM_BONES)[list(JOINT_BONES)],
        "joints": regressor @ shaped[bone],
        "joints_basis": np.einsum("jv,kvc->kjc", regressor, basis[:, bone]),
    }


def _pose(model: _Entries) -> dict[str, np.ndarray]:
    basis = model.array("pose_basis", (-1, 3 * (len(BONE_JOINTS) - 1)))
    return {
        "pose_basis": basis,
        "pose_mean": model.array("pose_mean", (basis.shape[1],)),
        "pose_std": model.array("pose_pm_std", (len(basis),)),
        "pose_offset": model.array("pose_pm_mean", (len(basis),)),
    }


def _mano_map(entries: _Entries, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows, columns and values of the sparse matrix from skin vertices to MANO-like vertices.

    Each MANO-like vertex is the mean of several barycentric samples of the skin.
    """
    chosen = entries.array("lmk_faces_idx", (-1, NUM_MANO_VERTICES), np.int64)
    bary = entries.array("lmk_bary_coords", (-1, NUM_MANO_VERTICES, 3))
    if chosen.min() < 0 or chosen.max() >= len(faces) or len(chosen) != len(bary):
        found = f"{len(chosen)} samples of faces {chosen.min()} to {chosen.max()}"
        raise entries.error(f"lmk_faces_idx has {found}, expected {len(bary)} of faces 0 to {len(faces) - 1}")
    if not np.allclose(bary.sum(2), 1, atol=1e-3):
        raise entries.error("lmk_bary_coords do not sum to 1, expected barycentric coordinates")
    rows = np.broadcast_to(np.arange(NUM_MANO_VERTICES)[:, None], bary.shape)
    entry = (bary.ravel() / len(bary), (rows.ravel(), faces[chosen].ravel()))
    matrix = scipy.sparse.csr_matrix(entry, shape=(NUM_MANO_VERTICES, NUM_SKIN)).tocoo()
    return matrix.row.astype(np.int64), matrix.col.astype(np.int64), matrix.data


def _diffuse(path: Path, content: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the diffuse mean, and the basis times its standard deviations, as float32 RGB maps; the file has BGR."""
    diffuse = _Entries(path, content).part("diffuse")
    mean = diffuse.array("mean", (-1,), np.float32)
    side = round((len(mean) / 3) ** 0.5)
    if 3 * side * side != len(mean):
        raise diffuse.error(f"the diffuse mean has {len(mean)} values, expected 3 per texel of a square map")
    std = diffuse.array("std", (-1,), np.float32)
    basis = diffuse.array("basis", (len(mean), -1), np.float32)
    if min(len(std), basis.shape[1]) < NUM_TEXTURE:
        counts = f"{basis.shape[1]} and {len(std)}"
        raise diffuse.error(f"the diffuse basis and std have {counts} components, expected {NUM_TEXTURE} or more")

    def maps(columns: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(columns.T.reshape(-1, side, side, 3)[..., ::-1].transpose(0, 3, 1, 2))

    return maps(mean[:, None])[0], maps(basis[:, :NUM_TEXTURE] * std[:NUM_TEXTURE])


def _check_scale(model: _Entries, data: NimbleData) -> None:
    """Raise AssetError unless the MANO-like vertices of the mean hand have the size of a hand in metres."""
    matrix = scipy.sparse.coo_matrix(
        (data.mano_values, (data.mano_rows, data.mano_columns)), (NUM_MANO_VERTICES, NUM_SKIN)
    )
    extent_m = float(np.ptp(matrix.tocsr() @ data.template, axis=0).max())
    if not 0.1 < extent_m < 0.3:
        raise model.error(f"the mean hand is {extent_m:.3f} m long, expected 0.1 to 0.3 m from a file in millimetres")
