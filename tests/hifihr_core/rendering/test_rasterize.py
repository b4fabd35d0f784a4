import math
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifihr_core.rendering import _reference, rasterize
from hifihr_core.rendering._numba import threads
from hifihr_core.rendering.primitives import homogeneous_px

F64 = torch.float64
IDENTITY = torch.eye(3, dtype=F64)[None]


def flat(points, z=1.0):
    """Vertices whose pixels under the identity camera are `points`."""
    points = torch.tensor(points, dtype=F64)
    return torch.cat([points * z, torch.full_like(points[:, :1], z)], dim=1)[None]


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_triangle_by_hand(backend):
    verts = flat([[0, 0], [4, 0], [0, 4]], z=2.0)
    out = rasterize(verts, torch.tensor([[0, 1, 2]]), IDENTITY, height=4, width=5, backend=backend)
    expected = [[0, 0, 0, 0, -1], [0, 0, 0, -1, -1], [0, 0, -1, -1, -1], [0, -1, -1, -1, -1]]
    assert out.face[0].tolist() == expected
    assert torch.allclose(out.bary[0, 0, 1], torch.tensor([0.5, 0.375, 0.125], dtype=F64))
    assert out.bary[0, 3, 3].tolist() == [0, 0, 0]
    assert out.depth[0, 0, 0] == 2
    assert out.depth[0, 3, 3] == math.inf


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_barycentrics_are_perspective_correct(backend):
    verts = torch.tensor([[[0, 0, 1], [8, 0, 2], [0, 8, 4]]], dtype=F64)
    out = rasterize(verts, torch.tensor([[0, 1, 2]]), IDENTITY, height=4, width=4, backend=backend)
    seen = (out.face[0] == 0).nonzero()
    point = torch.einsum("nk,kd->nd", out.bary[0][tuple(seen.T)], verts[0])
    assert torch.allclose(point[:, :2] / point[:, 2:], seen.flip(1).double() + 0.5)
    assert torch.allclose(point[:, 2], out.depth[0][tuple(seen.T)])


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_nearest_face_wins_and_the_first_of_equals(backend):
    verts = torch.cat([flat([[0, 0], [9, 0], [0, 9]], z=z) for z in (2.0, 1.0, 1.0)], dim=1)
    faces = torch.arange(9).reshape(3, 3)
    out = rasterize(verts, faces, IDENTITY, height=3, width=3, backend=backend)
    assert (out.face == 1).all()


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_culling(backend):
    outside = torch.tensor([[0, 2, 1]])  # counter-clockwise for a viewer with v down
    verts = flat([[0, 0], [4, 0], [0, 4]])
    seen = {
        (cull, flip): bool(
            (rasterize(verts, f, IDENTITY, height=4, width=4, cull=cull, backend=backend).face >= 0).any()
        )
        for cull in ("none", "back", "front")
        for flip, f in ((False, outside), (True, outside.flip(1)))
    }
    assert seen == {
        ("none", False): True, ("none", True): True, ("back", False): True,
        ("back", True): False, ("front", False): False, ("front", True): True,
    }  # fmt: skip


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_faces_across_the_near_plane_are_cut(backend):
    # A floor one metre below, from far ahead to behind the camera: seen below the horizon, as near as near_m lets it.
    verts = torch.tensor([[[-50, 1, -9], [50, 1, -9], [0, 1, 90]]], dtype=F64)
    K = torch.tensor([[[8.0, 0, 8], [0, 8, 8], [0, 0, 1]]], dtype=F64)
    out = rasterize(verts, torch.tensor([[0, 1, 2]]), K, height=16, width=16, near_m=1.5, backend=backend)
    depth = 8 / (torch.arange(16) + 0.5 - 8)
    rows = (depth >= 1.5) & (depth < 90)
    assert torch.equal((out.face[0] >= 0).any(dim=1), rows)
    assert torch.allclose(out.depth[0, rows, 8], depth[rows].double())


@pytest.mark.parametrize("width", [7, 8, 9, 24])
def test_a_wide_face_is_whole_and_stays_in_its_picture(width):
    # Columns are tested in vectors: their borders, and what they test beyond a face or the picture, leave no trace.
    verts = torch.cat([flat([[3, 0], [99, 0], [3, 99]]), flat([[0, 2], [4, 2], [0, 5]], z=0.5)], dim=1)
    out = rasterize(verts, torch.arange(6).reshape(2, 3), IDENTITY, height=3, width=width)
    expected = [[-1] * 3 + [0] * (width - 3)] * 2 + [[1] * 3 + [0] * (width - 3)]
    assert out.face[0].tolist() == expected


def test_large_numbers_whose_sum_overflows_are_finite():
    verts, K = flat([[0, 0], [1.2, 0], [0, 1.2]], z=2e38).float(), IDENTITY.float()
    q = homogeneous_px(verts, K)
    assert torch.isfinite(q).all()
    assert torch.isinf(q.sum())
    assert rasterize(verts, torch.tensor([[0, 1, 2]]), K, height=1, width=1).face.item() == 0


def test_no_images_are_a_batch():
    out = rasterize(IDENTITY[:0], torch.tensor([[0, 1, 2]]), IDENTITY[:0], height=4, width=5)
    assert out.bary.shape == (0, 4, 5, 3)


def test_nothing_behind_the_camera_is_seen(make_scene):
    scene = make_scene()
    behind = scene.verts * torch.tensor([1.0, 1.0, -1.0], dtype=F64)
    assert (rasterize(behind, scene.faces, scene.K, height=20, width=20).face == -1).all()


def test_neighbours_leave_no_gap_and_no_overlap():
    # A fan of slivers around a pixel's centre covers every pixel exactly once: depth is everywhere that of the plane.
    angle = torch.linspace(0, 2 * math.pi, 98, dtype=F64)[:-1]
    ring = torch.stack([5.5 + 40 * angle.cos(), 5.5 + 40 * angle.sin(), torch.ones_like(angle)], dim=1)
    verts = torch.cat([torch.tensor([[5.5, 5.5, 1.0]], dtype=F64), ring])[None]
    index = torch.arange(97)
    faces = torch.stack([torch.zeros(97, dtype=torch.int64), index + 1, (index + 1) % 97 + 1], dim=1)
    out = rasterize(verts, faces, IDENTITY, height=11, width=11)
    assert (out.face >= 0).all()
    assert torch.allclose(out.depth, torch.ones((), dtype=F64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cull", ["none", "back", "front"])
def test_twins(make_scene, native, assert_twins, dtype, cull):
    scene = make_scene(dtype=dtype)
    faces, size = scene.faces, scene.size
    ours, theirs = (b.rasterize(scene.q, faces, size, size + 3, 0.01, cull)[0] for b in (native, _reference))
    assert torch.equal(ours, theirs)
    assert 0.1 < (ours >= 0).double().mean() < 0.9
    assert_twins(
        lambda backend, verts, K: backend.rasterize(
            homogeneous_px(verts, K), faces, size, size + 3, 0.01, cull
        )[1:],
        native, scene.verts, scene.K, tolerance=1e-9 if dtype == F64 else 2e-4,
    )  # fmt: skip


def test_twins_near_the_camera(make_scene, native):
    scene = make_scene()
    verts = scene.verts - torch.tensor([0.0, 0.0, 0.45], dtype=F64)
    q = homogeneous_px(verts, scene.K)
    assert (verts[..., 2] < 0.02).any()
    ours, theirs = (b.rasterize(q, scene.faces, 30, 30, 0.02, "none")[0] for b in (native, _reference))
    assert torch.equal(ours, theirs)
    assert (ours >= 0).any()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.integers(1, 12), width=st.integers(1, 12))
def test_twins_on_triangle_soup(native_backend, seed, height, width):
    generator = torch.Generator().manual_seed(seed)
    q = torch.rand((1, 12, 3), generator=generator, dtype=F64) * torch.tensor([14.0, 14, 2]) - 1
    faces = torch.randint(0, 12, (9, 3), generator=generator)
    ours, theirs = (b.rasterize(q, faces, height, width, 0.1, "none") for b in (native_backend, _reference))
    assert torch.equal(ours[0], theirs[0])
    seen = ours[0] >= 0
    torch.testing.assert_close(ours[1][seen], theirs[1][seen], rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def native_backend():
    from hifihr_core.rendering.backends import get_backend

    return get_backend("native", torch.device("cpu"))


def test_one_row_of_many_is_a_batch_of_one(make_scene):
    scene = make_scene(batch=3)
    many = rasterize(scene.verts, scene.faces, scene.K, height=30, width=30)
    one = rasterize(scene.verts[1:2], scene.faces, scene.K[1:2], height=30, width=30)
    assert torch.equal(many.face[1:2], one.face)
    assert torch.equal(many.bary[1:2], one.bary)


def test_gradcheck(make_scene):
    scene = make_scene(subdivisions=1, batch=1, size=12)

    def bary_and_depth(verts, K):
        out = rasterize(verts, scene.faces, K, height=12, width=12)
        return out.bary, out.depth.where(out.face >= 0, torch.zeros((), dtype=F64))

    inputs = (scene.verts.requires_grad_(), scene.K.requires_grad_())
    assert torch.autograd.gradcheck(bary_and_depth, inputs, eps=1e-9, atol=1e-4, rtol=1e-4)


def test_same_bits_whatever_the_number_of_threads(make_scene):
    scene = make_scene(dtype=torch.float32, batch=1, size=64)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 1):
            torch.set_num_threads(threads)
            verts = scene.verts.clone().requires_grad_()
            out = rasterize(verts, scene.faces, scene.K, height=64, width=64)
            (out.bary.sin().sum() + out.depth[out.face >= 0].sin().sum()).backward()
            results.append((out.face, out.bary.detach(), verts.grad))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(result, results[0], strict=True))


def test_work_is_shared_and_errors_come_through():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert threads.run(lambda x: x * x, [(i,) for i in range(20)]) == [i * i for i in range(20)]
        with pytest.raises(ZeroDivisionError):
            threads.run(lambda x: 1 / x, [(i,) for i in range(-5, 5)])
    finally:
        torch.set_num_threads(before)


def test_kernels_can_have_more_threads_than_torch():
    before, names = torch.get_num_threads(), set()
    meet = threading.Barrier(2, timeout=30)

    def work(number):
        names.add(threading.current_thread().name)
        return meet.wait() >= 0 and number

    try:
        torch.set_num_threads(1)
        with threads.kernels_on(2):
            assert threads.run(work, [(1,), (2,)]) == [1, 2]
        assert len(names) == 2
        assert threads.run(lambda x: threading.current_thread(), [(1,), (2,)]) == [threading.current_thread()] * 2
    finally:
        torch.set_num_threads(before)
