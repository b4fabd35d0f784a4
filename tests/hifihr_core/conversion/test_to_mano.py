import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hifihr_core.conversion.surface_map import SurfaceMap, find_surface_map, surface_map
from hifihr_core.conversion.to_mano import ManoConverter
from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.hands.mano.arrays import load_mano_data, mirror_mano
from hifihr_core.hands.mano.model import Mano


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_parameters_give_the_mesh_on_either_side(
    anny: HandModel, mano: Mano, mano_path: Path, converter: ManoConverter, result_of: Callable, side: str
) -> None:
    found = converter.convert(result_of(anny, side))
    numbers = json.loads(json.dumps(found.document()))["mano"]
    data = load_mano_data(mano_path)
    data = mirror_mano(data) if side == "left" else data
    exported = ("global_orient", "hand_pose", "hand_pose_pca", "betas", "transl")
    named = {name: torch.tensor(numbers[name]).double()[None] for name in exported}
    layer = Mano(data, flat_hand=True, centred=False, dtype=torch.float64)
    vertices = layer(HandParameters(named["global_orient"], named["hand_pose"], named["betas"])).vertices
    np.testing.assert_allclose((vertices + named["transl"])[0].numpy(), found.mesh.vertices, atol=1e-9)
    from_pca = named["hand_pose_pca"][0].numpy() @ data.components + data.hands_mean
    np.testing.assert_allclose(from_pca, named["hand_pose"][0].numpy(), atol=1e-6)
    assert (found.hand, numbers["side"], found.licences["mano"]) == ("mano", side, "gated")
    projected = found.joints_cam @ found.K.T
    np.testing.assert_allclose(found.joints_px, projected[:, :2] / projected[:, 2:])
    assert found.mesh.rig is not None


def test_left_is_the_mirror_of_right(anny: HandModel, converter: ManoConverter, result_of: Callable) -> None:
    right, left = (converter.convert(result_of(anny, side)) for side in ("right", "left"))
    np.testing.assert_allclose(left.mesh.vertices, right.mesh.vertices * [-1, 1, 1], atol=1e-9)
    np.testing.assert_allclose(left.joints_cam, right.joints_cam * [-1, 1, 1], atol=1e-9)


def test_the_residual_is_the_distance_to_the_points(
    anny: HandModel, converter: ManoConverter, result_of: Callable
) -> None:
    result = result_of(anny, "right")
    found = converter.convert(result)
    points = converter.places.points(torch.from_numpy(result.mesh.vertices)[None], anny.faces)[0].numpy()
    distance_mm = 1e3 * np.linalg.norm(points - found.mesh.vertices, axis=1)
    assert found.mano["residual_mm"]["vertices_mean"] == pytest.approx(distance_mm.mean(), abs=1e-3)


def test_a_hand_of_another_model_is_refused(anny: HandModel, converter: ManoConverter, result_of: Callable) -> None:
    found = converter.convert(result_of(anny, "right"))
    with pytest.raises(ValueError, match="model 'mano', expected 'anny'"):
        converter.convert(found)


def test_a_map_is_found_once_and_kept(anny: HandModel, mano: Mano, home: Path, monkeypatch) -> None:
    small = find_surface_map(anny, mano, poses=2, rounds=2)
    assert small.face.shape == (778,)
    np.testing.assert_allclose(small.bary.sum(1), 1)
    calls = []
    monkeypatch.setattr("hifihr_core.conversion.surface_map.find_surface_map", lambda *_: calls.append(1) or small)
    first, second = surface_map(anny, mano), surface_map(anny, mano)
    assert calls == [1]
    np.testing.assert_array_equal(first.face, second.face)
    assert [path.name.startswith("anny_") for path in (home / "surface_maps").iterdir()] == [True]


def test_a_map_that_cannot_be_kept_is_found_again(anny: HandModel, mano: Mano, home: Path, monkeypatch) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "surface_maps").write_text("not a folder")
    small, calls = SurfaceMap(np.arange(778), np.full((778, 3), 1 / 3)), []
    monkeypatch.setattr("hifihr_core.conversion.surface_map.find_surface_map", lambda *_: calls.append(1) or small)
    assert surface_map(anny, mano) is surface_map(anny, mano) is small
    assert calls == [1, 1]


def test_a_map_finds_the_places_it_was_made_of(anny: HandModel) -> None:
    places = SurfaceMap(np.arange(778), np.full((778, 3), 1 / 3))
    vertices = torch.randn(2, anny.num_vertices, 3, dtype=torch.float64)
    np.testing.assert_allclose(places.points(vertices, anny.faces), vertices[:, anny.faces[:778]].mean(2))
