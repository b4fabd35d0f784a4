"""A result with a hand of the free model, MANO with made-up numbers, and a converter with an arbitrary map."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from hifihr_core.conversion.surface_map import SurfaceMap
from hifihr_core.conversion.to_mano import ManoConverter
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.textured_meshes import mirror_x, posed_mesh
from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.hands.mano.model import Mano
from hifihr_core.placed_hands import PlacedHands

NAMES = ("global_orient", "pose", "shape", "texture")
K = np.array([[400.0, 0, 160], [0, 400, 120], [0, 0, 1]])


@pytest.fixture(scope="module")
def anny() -> HandModel:
    return load_hand("anny", texture_px=32).double()


@pytest.fixture
def mano(mano_path) -> Mano:
    return load_hand("mano", path=mano_path, dtype=torch.float64)


@pytest.fixture(scope="module")
def any_map() -> SurfaceMap:
    draw = np.random.default_rng(0)
    return SurfaceMap(draw.integers(0, 3000, 778), draw.dirichlet(np.ones(3), size=778))


@pytest.fixture
def converter(anny: HandModel, mano: Mano, any_map: SurfaceMap) -> ManoConverter:
    """A converter with an arbitrary map: the fit and the files do not depend on how it was found."""
    return ManoConverter(anny, mano, places=any_map)


@pytest.fixture
def result_of() -> Callable[[HandModel, str], HandResult]:
    """Return ``result_of(anny, side)``: a sampled hand in front of a camera."""
    return _result


def _result(anny: HandModel, side: str) -> HandResult:
    drawn = anny.sample_parameters(1, generator=torch.Generator().manual_seed(8))
    parameters = HandParameters(
        *(getattr(drawn, name).double() for name in ("global_orient", "pose", "shape", "texture"))
    )
    root = torch.tensor([[0.05, -0.02, 0.5]], dtype=torch.float64)
    mesh = posed_mesh(anny, PlacedHands(parameters, root))
    joints = (anny(parameters).joints + root[:, None])[0].numpy() * [-1 if side == "left" else 1, 1, 1]
    values = {name: getattr(parameters, name)[0].numpy() for name in NAMES}
    return HandResult(
        side=side,
        score=1.0,
        box_px=np.array([0, 0, 10, 10.0]),
        K=K,
        metric=True,
        hand="anny",
        joints_cam=joints,
        joints_px=joints[:, :2],
        mesh=mirror_x(mesh) if side == "left" else mesh,
        parameters={**values, "root_cam": root[0].numpy()},
        light={"ambient": np.ones(3), "color": np.ones(3), "direction": np.array([0, 0, -1.0])},
    )
