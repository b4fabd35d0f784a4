import pytest
import torch
import trimesh
from torch.nn import functional

from hifihr_core.geometry.meshes import face_areas, vertex_normals
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import Material, Renderer, SelfShade, self_shade
from hifihr_core.rendering._reference import open_sky as plain
from hifihr_core.rendering.backends import get_backend
from hifihr_core.rendering.self_shade import sky_shade, vertex_areas

TOWARDS_CAMERA = torch.tensor([[0.0, 0.0, -1.0]])


def sphere(subdivisions=3, radius=0.05, middle=(0.0, 0.0, 0.5)):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return torch.tensor(mesh.vertices, dtype=torch.float32)[None] + torch.tensor(middle), torch.tensor(mesh.faces)


def two_spheres(gap=0.02):
    (one, faces), (other, _) = sphere(), sphere(middle=(0.0, 0.0, 0.5 - 0.1 - gap))
    return torch.cat((one, other), dim=1), torch.cat((faces, faces + one.shape[1])), one.shape[1]


def disks(verts, faces):
    areas = torch.zeros_like(verts[..., 0])
    areas = areas.index_add(1, faces.reshape(-1), face_areas(verts, faces).repeat_interleave(3, dim=1) / 3)
    return verts, vertex_normals(verts, faces), areas


def test_twins(make_scene):
    scene = make_scene(dtype=torch.float32)
    inputs = disks(scene.verts, scene.faces)
    native = get_backend("native", torch.device("cpu"))
    assert torch.allclose(native.open_sky(*inputs), plain(*inputs), atol=1e-4)


def test_the_sky_alone_is_that_of_the_whole_shade():
    verts, faces, _ = two_spheres()
    alone = sky_shade(verts, vertex_normals(verts, faces), vertex_areas(verts, faces))
    assert torch.equal(alone, self_shade(verts, faces, TOWARDS_CAMERA).sky)


def test_a_sphere_hides_nothing_from_itself():
    verts, faces = sphere()
    assert self_shade(verts, faces, TOWARDS_CAMERA).sky.min() > 0.97


def test_a_small_sphere_over_a_point_hides_its_form_factor():
    verts, faces = sphere(radius=0.01, middle=(0.0, 0.0, 0.45))
    verts = torch.cat((verts, torch.tensor([[[0.0, 0.0, 0.5]]])), dim=1)
    points, normals, areas = disks(verts, faces)
    normals[0, -1] = torch.tensor([0.0, 0.0, -1.0])
    expected = 1 - (0.01 / 0.05) ** 2  # a sphere of radius r seen at distance d along the normal hides (r / d)^2
    assert float(plain(points, normals, areas)[0, -1]) == pytest.approx(expected, abs=0.004)


def test_the_shadow_falls_on_the_sphere_behind():
    verts, faces, count = two_spheres()
    sun = self_shade(verts, faces, TOWARDS_CAMERA).sun[0]
    facing = vertex_normals(verts, faces)[0, :, 2] < -0.3
    assert sun[:count][facing[:count]].max() < 0.2  # the one behind is in shadow
    assert sun[count:][facing[count:]].min() > 0.9  # the one in front is lit


def test_light_from_the_side_casts_no_shadow_on_a_sphere_beside_the_ray():
    verts, faces, _ = two_spheres()
    sun = self_shade(verts, faces, torch.tensor([[1.0, 0.0, 0.0]])).sun[0]
    assert sun[vertex_normals(verts, faces)[0, :, 0] > 0.3].min() > 0.9


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_a_renderer_darkens_what_is_hidden(backend):
    verts, faces = sphere(2)
    K = torch.tensor([[[200.0, 0, 16], [0, 200, 16], [0, 0, 1]]])
    renderer = Renderer(faces, height=32, width=32, material=Material(), antialiased=False, backend=backend)
    light = Light(torch.full((1, 3), 0.4), torch.full((1, 3), 0.5), functional.normalize(TOWARDS_CAMERA, dim=1))
    white, ones = Appearance(torch.ones_like(verts)), torch.ones(1, verts.shape[1])
    lit = renderer(verts, K, white, light, shade=SelfShade(ones, ones)).image[0, :, 16, 16]
    plain_ = renderer(verts, K, white, light).image[0, :, 16, 16]
    dark = renderer(verts, K, white, light, shade=SelfShade(0.5 * ones, 0 * ones)).image[0, :, 16, 16]
    assert torch.allclose(lit, plain_, atol=1e-6)
    assert torch.allclose(dark, torch.full((3,), 0.2), atol=1e-5)
