"""The Laplace-Beltrami operator: a triangle by hand, the sphere's spectrum, and the properties of eigenfunctions."""

import numpy as np
import trimesh

from hifihr_core.hands.harmonics import cotangent_laplacian, mesh_harmonics


def test_a_right_triangle():
    """Half cotangents of 90, 45 and 45 degrees are 0, 0.5 and 0.5; each vertex has a third of the area."""
    stiffness, areas = cotangent_laplacian(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))
    np.testing.assert_allclose(stiffness.toarray(), [[1, -0.5, -0.5], [-0.5, 0.5, 0], [-0.5, 0, 0.5]], atol=1e-12)
    np.testing.assert_allclose(areas, 1 / 6)


def test_linear_functions_are_harmonic_inside_a_flat_patch():
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0) ** 1.2), -1).reshape(-1, 2)
    vertices = np.column_stack((grid, np.zeros(25)))
    corners = np.array([k for k in range(20) if k % 5 < 4])
    faces = np.concatenate(
        [np.stack(c, 1) for c in ((corners, corners + 1, corners + 6), (corners, corners + 6, corners + 5))]
    )
    inside = [6, 7, 8, 11, 12, 13, 16, 17, 18]
    np.testing.assert_allclose((cotangent_laplacian(vertices, faces)[0] @ grid)[inside], 0, atol=1e-12)


def test_the_spectrum_of_a_sphere():
    """l (l + 1) / r^2, each 2 l + 1 times."""
    ball = trimesh.creation.icosphere(subdivisions=3, radius=2.0)
    found = mesh_harmonics(np.array(ball.vertices), np.array(ball.faces), 9).eigenvalues
    np.testing.assert_allclose(found, np.array([0, 2, 2, 2, 6, 6, 6, 6, 6]) / 4, rtol=0.02, atol=1e-9)


def test_orthonormal_ordered_and_signed(make_fake_mano):
    arrays = make_fake_mano()
    faces = arrays["f"].astype(np.int64)
    functions, eigenvalues = mesh_harmonics(arrays["v_template"], faces, 8)
    areas = cotangent_laplacian(arrays["v_template"], faces)[1]
    np.testing.assert_allclose(functions.T @ (areas[:, None] * functions), np.eye(8), atol=1e-9)
    np.testing.assert_allclose(functions[:, 0], functions[0, 0])
    assert (np.diff(eigenvalues) > 0).all()
    assert (functions[np.abs(functions).argmax(0), np.arange(8)] > 0).all()
