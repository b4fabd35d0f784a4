"""Convert the user's `MANO_RIGHT.pkl` or `MANO_LEFT.pkl` to plain arrays, without chumpy and without running the file.

The official pickles contain chumpy and SciPy objects, of which only the state is read. Files that were
re-pickled with plain arrays are accepted too. In either case the numbers are checked before anything is written.
"""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy.sparse

from hifihr_core.errors import AssetError
from hifihr_core.hands.mano.arrays import NUM_VERTICES, PARENTS, ManoData, save_mano, with_statistics
from hifihr_core.outside.pickles import NUMPY, Stub, read_pickle
from hifihr_core.outside.whole_files import read_whole
from hifihr_core.records import Side

#: MANO's files have 4 MB.
_MOST_BYTES = 64 << 20
#: The official files, version 1.2.
KNOWN_MD5: Mapping[str, Side] = MappingProxyType(
    {"fd5a9d35f914987cf1cc04ffe338caa1": "right", "11aeaca8631aa20db964d4eba491e885": "left"}
)

_FINGER_TIPS = (320, 443, 555, 672)
_SHAPES = MappingProxyType(
    {
        "v_template": (NUM_VERTICES, 3),
        "posedirs": (NUM_VERTICES, 3, 135),
        "weights": (NUM_VERTICES, 16),
        "kintree_table": (2, 16),
        "hands_mean": (45,),
        "hands_components": (45, 45),
    }
)
_FETCH = "get it from https://mano.is.tue.mpg.de"


class _Chumpy(Stub):
    """The state of a chumpy array: its values `x`, or a selection of entries of another array."""


class _Sparse(Stub):
    """The state of a SciPy matrix with compressed columns or rows."""


class _SparseRows(_Sparse):
    """The state of a SciPy matrix with compressed rows."""


_ALLOWED = MappingProxyType(
    {
        **NUMPY,
        ("__builtin__", "set"): set,
        ("builtins", "set"): set,
        ("chumpy.ch", "Ch"): _Chumpy,
        ("chumpy.reordering", "Select"): _Chumpy,
        **{(f"scipy.sparse.{module}", "csc_matrix"): _Sparse for module in ("csc", "_csc")},
        **{(f"scipy.sparse.{module}", "csr_matrix"): _SparseRows for module in ("csr", "_csr")},
    }
)


def convert_mano(source: Path, target: Path) -> None:
    """Read `MANO_RIGHT.pkl` and write it as a plain `.npz`.

    Raises: the same as `read_mano`; nothing is written then.
    """
    save_mano(read_mano(source, "right"), target)


def convert_mano_left(source: Path, target: Path) -> None:
    """Read `MANO_LEFT.pkl` and write it as a plain `.npz`.

    Raises: the same as `read_mano`; nothing is written then.
    """
    save_mano(read_mano(source, "left"), target)


def read_mano(source: Path, side: Side) -> ManoData:
    """Read and check a MANO pickle of the given side; the wrong sign in the left shape basis is corrected.

    Raises: AssetError if the file is missing, damaged, of the other side or not a MANO hand; UnsafePickleError if it
    refers to anything that a MANO file does not need.
    """
    if not source.exists():
        raise AssetError(f"{source}: no such file, expected MANO_{side.upper()}.pkl; {_FETCH}")
    raw = read_whole(source, most_bytes=_MOST_BYTES, error=AssetError)
    md5 = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if KNOWN_MD5.get(md5, side) != side:
        raise _other_side(source, side)
    content = read_pickle(io.BytesIO(raw), allowed=_ALLOWED, name=str(source))
    if not isinstance(content, dict):
        raise AssetError(
            f"{source}: its content has type {type(content).__name__}, expected the dict of a MANO model; {_FETCH}"
        )
    arrays = _arrays(source, content)
    _check(source, arrays, side)
    return with_statistics(
        arrays["hands_coeffs"],
        template=arrays["v_template"],
        faces=arrays["f"],
        shape_basis=_shape_basis(arrays),
        pose_basis=arrays["posedirs"],
        joint_regressor=arrays["J_regressor"],
        weights=arrays["weights"],
        hands_mean=arrays["hands_mean"],
        components=arrays["hands_components"],
        side=side,
        md5=md5,
    )


def _arrays(source: Path, content: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return every entry that is needed, as a plain array of the right shape and dtype. Raises: AssetError."""
    names = (*_SHAPES, "shapedirs", "J_regressor", "f", "hands_coeffs")
    missing = [name for name in names if name not in content]
    if missing:
        entries = f"{'entry' if len(missing) == 1 else 'entries'} {', '.join(missing)}"
        raise AssetError(f"{source}: lacks the {entries}, expected a MANO model; {_FETCH}")
    arrays = {name: _entry(source, content, name) for name in names}
    arrays["shapedirs"] = np.atleast_1d(arrays["shapedirs"])[..., :10]
    shapes = {
        **_SHAPES,
        "shapedirs": (NUM_VERTICES, 3, 10),
        "J_regressor": (16, NUM_VERTICES),
        "f": (None, 3),
        "hands_coeffs": (None, 45),
    }
    for name, shape in shapes.items():
        array = arrays[name]
        fits = array.ndim == len(shape) and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits or array.size == 0:
            wanted = str(shape).replace("None", "N") + ("" if None not in shape else " with N at least 1")
            raise AssetError(f"{source}: {name} has shape {array.shape}, expected {wanted}; {_FETCH}")
        dtype = np.int64 if name in ("f", "kintree_table") else np.float64
        arrays[name] = arrays[name].astype(dtype)
    return arrays


def _entry(source: Path, content: Mapping[str, Any], name: str) -> np.ndarray:
    try:
        return _plain(content[name])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise AssetError(f"{source}: {name} cannot be read as an array ({reason}); {_FETCH}") from error


def _plain(value: object) -> np.ndarray:
    """Return the numbers of a plain array, a chumpy array or selection, or a sparse matrix."""
    if isinstance(value, _Chumpy):
        state = value.state
        if "idxs" not in state:
            return _plain(state["x"])
        chosen = _plain(state["a"]).ravel()[_plain(state["idxs"])]
        return chosen.reshape(tuple(int(size) for size in state["preferred_shape"]))
    if isinstance(value, _Sparse):
        state = value.state
        kind = scipy.sparse.csr_matrix if isinstance(value, _SparseRows) else scipy.sparse.csc_matrix
        shape = tuple(int(size) for size in state["_shape"])
        matrix = kind(tuple(np.asarray(state[name]) for name in ("data", "indices", "indptr")), shape=shape)
        matrix.check_format(full_check=True)
        return matrix.toarray()
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"its dtype is {array.dtype}, expected numbers")
    return array


def _check(source: Path, arrays: Mapping[str, np.ndarray], side: Side) -> None:
    """Raise AssetError if numbers, indices, sums, units or side are wrong, any of which would give a wrong hand."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise AssetError(f"{source}: {name} contains NaN or infinity, expected finite numbers; {_FETCH}")
    template, faces = arrays["v_template"], arrays["f"]
    extent_m = float(np.ptp(template, axis=0).max())
    checks = {
        f"face indices from 0 to {NUM_VERTICES - 1}": bool(faces.min() >= 0 and faces.max() < NUM_VERTICES),
        "MANO's parent of every joint": tuple(arrays["kintree_table"][0, 1:] % 2**32) == PARENTS[1:],
        "skin weights that sum to 1": bool(np.allclose(arrays["weights"].sum(1), 1, atol=1e-5)),
        "joint regressor rows that sum to 1": bool(np.allclose(arrays["J_regressor"].sum(1), 1, atol=1e-5)),
        f"a hand 0.1 to 0.3 m long (found {extent_m:.3f} m)": 0.1 < extent_m < 0.3,
    }
    if broken := [name for name, good in checks.items() if not good]:
        raise AssetError(f"{source}: not a valid MANO model, expected {', '.join(broken)}; {_FETCH}")
    # In MANO's axes the fingers of a right hand point to -x, those of a left hand to +x.
    wrist = arrays["J_regressor"][0] @ template
    reach = float(template[list(_FINGER_TIPS), 0].mean() - wrist[0])
    if (reach < 0) != (side == "right"):
        raise _other_side(source, side)


def _other_side(source: Path, side: Side) -> AssetError:
    other = "left" if side == "right" else "right"
    return AssetError(
        f"{source}: this is MANO's {other} hand, expected the {side} one; import MANO_{side.upper()}.pkl from the "
        "same download"
    )


def _shape_basis(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the shape basis; its x offsets are negated if their sign is wrong, as in the official left hand.

    The first component is the size of the hand: it stretches all axes, or shrinks all. In `MANO_LEFT.pkl` the x offsets
    are those of the right hand, so it shortens the hand, whose fingers point along x, while widening it (smplx issue
    48). This is detected by comparing the signs of x and z.
    """
    basis, template = arrays["shapedirs"], arrays["v_template"]
    centred = template - template.mean(0)
    stretch = (basis[..., 0] * centred).sum(0) / (centred**2).sum(0)
    if stretch[0] * stretch[2] >= 0:
        return basis
    return basis * np.array([-1.0, 1.0, 1.0])[:, None]
