"""Stand-ins for the licensed hand models: files of the same schema, made of our own numbers.

``fake_mano`` gives the entries of a `MANO_RIGHT.pkl`; ``write_mano`` writes them in the official form (chumpy and SciPy
objects); ``mano_pickle`` and ``mano_path`` are such a file and its converted `.npz`.
"""

import pickle
import sys
import types
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import scipy.sparse

RINGS, AROUND, INNER = 48, 16, 9
PARENTS = (2**32 - 1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
#: Wrist, then index, middle, pinky, ring and thumb from base to last joint, metres, in MANO's axes.
JOINTS = np.array(
    [
        (0.095, 0.006, 0.006),
        *((0.008 - 0.026 * k, 0.004, 0.026) for k in range(3)),
        *((0.001 - 0.026 * k, 0.006, 0.003) for k in range(3)),
        *((0.027 - 0.020 * k, 0.001, -0.037) for k in range(3)),
        *((0.014 - 0.024 * k, 0.004, -0.020) for k in range(3)),
        *((0.072 - 0.024 * k, -0.009, 0.032 + 0.014 * k) for k in range(3)),
    ]
)


def mitten_faces():
    """Triangles of a tube of 48 rings of 16 with a rounded end: 778 vertices, 1538 faces, open at the wrist."""
    faces = []
    for ring in range(RINGS - 1):
        for k in range(AROUND):
            a, b = ring * AROUND + k, ring * AROUND + (k + 1) % AROUND
            faces += [(a, b, a + AROUND), (b, b + AROUND, a + AROUND)]
    last, inner = (RINGS - 1) * AROUND, RINGS * AROUND
    outer_step = inner_step = 0
    while outer_step < AROUND or inner_step < INNER:
        a, c = last + outer_step % AROUND, inner + inner_step % INNER
        if outer_step / AROUND <= inner_step / INNER and outer_step < AROUND:
            faces.append((a, last + (outer_step + 1) % AROUND, c))
            outer_step += 1
        else:
            faces.append((a, inner + (inner_step + 1) % INNER, c))
            inner_step += 1
    faces += [(inner + k, inner + (k + 1) % INNER, inner + INNER) for k in range(INNER)]
    return np.array(faces)


def mitten_vertices():
    """A flat tube along -x, from the wrist at x = 0.1 to the finger tips at x = -0.08."""
    along = np.linspace(0, 1, RINGS)
    angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    width = 0.03 + 0.02 * np.sin(np.pi * np.minimum(along * 1.2, 1))
    rings = np.stack(
        [
            np.repeat(0.1 - 0.175 * along[:, None], AROUND, 1),
            0.3 * width[:, None] * np.sin(angle),
            width[:, None] * np.cos(angle),
        ],
        -1,
    ).reshape(-1, 3)
    angle = np.linspace(0, 2 * np.pi, INNER, endpoint=False)
    inner = np.stack([np.full(INNER, -0.079), 0.15 * width[-1] * np.sin(angle), 0.5 * width[-1] * np.cos(angle)], 1)
    return np.concatenate((rings, inner, [(-0.08, 0, 0)]))


def joint_weights(vertices, sharpness_m):
    distance = np.linalg.norm(vertices[:, None] - JOINTS, axis=2)
    weights = np.exp(-((distance / sharpness_m) ** 2) + (distance.min(1, keepdims=True) / sharpness_m) ** 2)
    weights[weights < np.sort(weights, 1)[:, -4:-3]] = 0
    return weights / weights.sum(1, keepdims=True)


def smooth_offsets(vertices, count, rng, size_m):
    """Random smooth displacements of every vertex."""
    waves = np.sin(vertices @ rng.normal(size=(3, 24)) * 30 + rng.uniform(0, 6, 24))
    return (waves @ rng.normal(size=(24, 3 * count))).reshape(-1, 3, count) * size_m / 5


def make_mano(seed=0):
    rng = np.random.default_rng(seed)
    vertices = mitten_vertices()
    regressor = joint_weights(vertices, 0.02).T
    regressor = np.where(regressor > 1e-3, regressor, 0)
    regressor /= regressor.sum(1, keepdims=True)
    shapedirs = smooth_offsets(vertices, 20, rng, 0.002)
    shapedirs[:, :, 0] = -0.05 * (vertices - vertices.mean(0)) + 0.1 * shapedirs[:, :, 0]
    coefficients = rng.normal(size=(1554, 45))
    coefficients = (coefficients - coefficients.mean(0)) / coefficients.std(0)
    return {
        "v_template": vertices,
        "f": mitten_faces().astype(np.uint32),
        "shapedirs": shapedirs,
        "posedirs": smooth_offsets(vertices, 135, rng, 0.001),
        "J_regressor": scipy.sparse.csc_matrix(regressor),
        "J": regressor @ vertices,
        "weights": joint_weights(vertices, 0.02),
        "kintree_table": np.array([PARENTS, range(16)], dtype=np.int64),
        "hands_mean": np.tile([0.1, 0.05, 0.4], 15) + 0.05 * rng.normal(size=45),
        "hands_components": np.linalg.qr(rng.normal(size=(45, 45)))[0] * np.geomspace(1.3, 0.04, 45)[:, None],
        "hands_coeffs": coefficients,
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def foreign_class(module, name):
    """Return a class that pickles as ``module.name``, with the instance's dict as its state."""
    return type(name, (), {"__module__": module})


def write_official(arrays, path):
    """Write a MANO pickle as its authors did: protocol 2, a chumpy selection, a SciPy matrix."""
    names = [("chumpy.ch", "Ch"), ("chumpy.reordering", "Select"), ("scipy.sparse.csc", "csc_matrix")]
    ch, select, csc = classes = [foreign_class(*name) for name in names]
    array, selection, matrix = ch(), select(), csc()
    full = np.asarray(arrays["shapedirs"])
    array.__dict__.update(x=full, _dirty_vars=set(), _itr=None, _depends_on_deps={})
    chosen = np.arange(full.size).reshape(full.shape)[:, :, :10]
    selection.__dict__.update(a=array, idxs=chosen.ravel(), preferred_shape=chosen.shape, _dirty_vars=set(), _itr=None)
    sparse = scipy.sparse.csc_matrix(arrays["J_regressor"])
    matrix.__dict__.update(
        data=sparse.data, indices=sparse.indices, indptr=sparse.indptr, _shape=sparse.shape, maxprint=50
    )
    modules = {"chumpy": types.ModuleType("chumpy")}
    for (module, name), kind in zip(names, classes, strict=True):
        modules[module] = types.ModuleType(module)
        setattr(modules[module], name, kind)
    with mock.patch.dict(sys.modules, modules):
        path.write_bytes(pickle.dumps({**arrays, "shapedirs": selection, "J_regressor": matrix}, 2))
    return path


@pytest.fixture(scope="session")
def make_fake_mano():
    """Return ``make(seed=0) -> dict``: the entries of a MANO pickle, SciPy matrix and 20 shape components included."""
    return make_mano


@pytest.fixture(scope="session")
def write_mano():
    """Return ``write(arrays, path) -> path``: the arrays as an official pickle."""
    return write_official


@pytest.fixture(scope="session")
def mano_pickle(tmp_path_factory) -> Path:
    """Return a `MANO_RIGHT.pkl` of our own numbers."""
    return write_official(make_mano(), tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl")


@pytest.fixture(scope="session")
def mano_path(mano_pickle) -> Path:
    """Return that file, converted."""
    from hifihr_core.hands.mano_files import convert_mano

    target = mano_pickle.with_name("mano_right.npz")
    convert_mano(mano_pickle, target)
    return target
