"""Self-shading of a mesh: ambient occlusion per vertex, and cast shadows of directional light.

Gradients treat both as constants: how shadows move says little about how a hand should move, and takes time to compute.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from hifihr_core.geometry.cameras import project
from hifihr_core.geometry.meshes import face_areas, vertex_normals
from hifihr_core.rendering.backends import BackendName, get_backend
from hifihr_core.rendering.fragments import SelfShade
from hifihr_core.rendering.primitives import rasterize

#: Rows and columns of the shadow map.
MAP_PX = 128
#: Distance of the shadow map's camera in radii of the mesh: far enough for nearly parallel rays.
_FAR = 40.0
#: The fraction of light that skin reflects onto skin, which brightens folds.
_PASSED_ON = 0.5
#: Distances behind the surface nearest to the light at which shadow begins and is complete, relative to the radius.
_BEHIND = (0.02, 0.06)


@torch.no_grad()
def self_shade(
    verts_cam: Float[Tensor, "B V 3"],
    faces: Int[Tensor, "F 3"],
    direction: Float[Tensor, "B 3"],
    *,
    backend: BackendName = "auto",
) -> SelfShade:
    """Return the fractions of the sky and of the light from `direction` (towards the light) that reach every vertex."""
    normals, areas = vertex_normals(verts_cam, faces), vertex_areas(verts_cam, faces)
    return SelfShade(sky_shade(verts_cam, normals, areas, backend=backend), _lit(verts_cam, faces, direction, backend))


@torch.no_grad()
def sky_shade(
    verts_cam: Float[Tensor, "B V 3"],
    normals: Float[Tensor, "B V 3"],
    areas: Float[Tensor, "B V"],
    *,
    backend: BackendName = "auto",
) -> Float[Tensor, "B V"]:
    """Return the fraction of the sky's light that reaches every vertex; `areas` are the result of `vertex_areas`.

    If a vertex sees the fraction s of the sky, the rest of the mesh, which hides the fraction 1 - s, reflects light to
    it with a reflectance r = 0.5, so s / (1 - r (1 - s)) arrives.
    """
    sky = get_backend(backend, verts_cam.device).open_sky(verts_cam, normals, areas)
    return sky / (1 - _PASSED_ON * (1 - sky))


def vertex_areas(verts_cam: Float[Tensor, "B V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "B V"]:
    """Return the area that belongs to each vertex, a third of that of the faces around it, square metres."""
    third = face_areas(verts_cam, faces)[..., None].expand(-1, -1, 3) / 3
    return torch.zeros_like(verts_cam[..., 0]).index_add(1, faces.reshape(-1), third.flatten(1))


def _lit(verts_cam: Tensor, faces: Tensor, direction: Tensor, backend: BackendName) -> Float[Tensor, "B V"]:
    """Return the fraction of the directional light that reaches each vertex, from a shadow map.

    It is 1 for the surface nearest to the light, and 0 for vertices behind it by the larger distance in `_BEHIND` or
    more. Depth is interpolated bilinearly between the pixels of the shadow map.
    """
    middle = (verts_cam.amin(dim=1) + verts_cam.amax(dim=1)) / 2
    centred = verts_cam - middle[:, None]
    radius = centred.norm(dim=-1).amax(dim=1).clamp_min(1e-6)
    seen = (centred / radius[:, None, None]) @ _turn(direction).mT + centred.new_tensor([0, 0, _FAR])
    K = _map_camera(len(seen), like=seen)
    seen_map = rasterize(seen, faces, K, height=MAP_PX, width=MAP_PX, backend=backend)
    nearest = seen_map.depth.where(seen_map.face >= 0, seen_map.depth.new_tensor(_FAR + 2))
    grid = project(seen, K)[:, :, None] / (MAP_PX / 2) - 1
    depth = functional.grid_sample(nearest[:, None], grid, padding_mode="border", align_corners=False)[:, 0, :, 0]
    behind = ((seen[..., 2] - depth - _BEHIND[0]) / (_BEHIND[1] - _BEHIND[0])).clamp(0, 1)
    return 1 - behind


def _turn(direction: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3 3"]:
    """Return rotations from the camera frame to a frame whose z axis points away from the light."""
    away = -functional.normalize(direction, dim=1)
    helper = torch.where(away[:, :1].abs() < 0.9, away.new_tensor([1.0, 0, 0]), away.new_tensor([0, 1.0, 0]))
    across = functional.normalize(torch.linalg.cross(away, helper, dim=1), dim=1)
    return torch.stack((across, torch.linalg.cross(away, across, dim=1), away), dim=1)


def _map_camera(batch: int, *, like: Tensor) -> Float[Tensor, "B 3 3"]:
    focal = 0.47 * MAP_PX * (_FAR - 1)
    K = like.new_tensor([[focal, 0, MAP_PX / 2], [0, focal, MAP_PX / 2], [0, 0, 1]])
    return K.expand(batch, 3, 3)
