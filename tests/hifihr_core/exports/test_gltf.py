import json
from pathlib import Path

import numpy as np
import pygltflib as gltf

from hifihr_core.exports.gltf import Document, strongest_influences


def test_strongest_influences_sum_to_one() -> None:
    weights = np.random.default_rng(1).dirichlet(np.full(6, 0.5), size=20)
    bones, kept = strongest_influences(weights)
    np.testing.assert_allclose(kept.sum(axis=1), 1)
    np.testing.assert_array_equal(bones[:, 0], weights.argmax(axis=1))
    bones, kept = strongest_influences(np.eye(2))
    np.testing.assert_array_equal(kept, [[1, 0, 0, 0], [1, 0, 0, 0]])
    assert bones.max() <= 1


def test_the_strongest_influences_are_those_that_sorting_finds() -> None:
    weights = np.random.default_rng(2).integers(0, 4, size=(200, 21)).astype(float)  # many alike
    weights[:, 0] += 1
    bones, kept = strongest_influences(weights)
    order = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    expected = np.take_along_axis(weights, order, axis=1)
    np.testing.assert_array_equal(bones, np.where(expected > 0, order, 0))
    np.testing.assert_allclose(kept, expected / expected.sum(axis=1, keepdims=True))


def test_a_document_becomes_the_text_that_pygltflib_makes_of_it(tmp_path: Path) -> None:
    document = Document()
    document.use("KHR_materials_unlit")
    points = document.accessor(np.zeros((3, 3), np.float32), gltf.VEC3, bounds=True)
    material = document.material("photo", b"\x89PNG", unlit=True)
    mesh = document.mesh("one", {"POSITION": points}, np.array([[0, 1, 2]]), material)
    document.node("top", parent=document.node("root"), mesh=mesh, extras={"side": "left", "empty": {}})
    document.save(tmp_path / "one.glb")
    data = (tmp_path / "one.glb").read_bytes()
    text = data[20 : 20 + int.from_bytes(data[12:16], "little")].decode()
    assert json.loads(text) == json.loads(document.file.gltf_to_json())
    assert '"KHR_materials_unlit":{}' in text
