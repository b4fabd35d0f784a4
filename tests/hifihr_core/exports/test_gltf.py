import numpy as np

from hifihr_core.exports.gltf import strongest_influences


def test_strongest_influences_sum_to_one() -> None:
    weights = np.random.default_rng(1).dirichlet(np.full(6, 0.5), size=20)
    bones, kept = strongest_influences(weights)
    np.testing.assert_allclose(kept.sum(axis=1), 1)
    np.testing.assert_array_equal(bones[:, 0], weights.argmax(axis=1))
    bones, kept = strongest_influences(np.eye(2))
    np.testing.assert_array_equal(kept, [[1, 0, 0, 0], [1, 0, 0, 0]])
    assert bones.max() <= 1
