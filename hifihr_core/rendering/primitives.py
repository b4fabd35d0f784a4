"""The five primitives: rasterise, interpolate, sample a texture, shade, antialias.

Frame: OpenCV camera (+x right, +y down, +z forward), metres; pixel (i, j) is centred on (u, v) = (j + .5, i + .5).
Per-pixel values are (B, H, W, C). Which face a pixel shows has no gradient; everything else is differentiable, and
`antialias` provides the gradient of outlines. On the CPU, results and gradients are the same to the last bit in every
run.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hifihr_core.geometry.meshes import EdgeAdjacency, edge_adjacency
from hifihr_core.records import Light
from hifihr_core.rendering.arguments import check_batches, check_faces, check_geometry, check_size
from hifihr_core.rendering.backends import BackendName, get_backend
from hifihr_core.rendering.fragments import Cull, Fragments, Material

NEAR_M = 0.01


def rasterize(
    verts_cam: Float[Tensor, "B V 3"],
    faces: Int[Tensor, "F 3"],
    K: Float[Tensor, "B 3 3"],
    *,
    height: int,
    width: int,
    near_m: float = NEAR_M,
    cull: Cull = "none",
    backend: BackendName = "auto",
) -> Fragments:
    """Find the nearest face on the ray through every pixel centre, and where the ray meets it.

    Faces are cut exactly at the plane z = `near_m`; corners may be behind the camera. Faces without area, or seen
    edge-on, cover nothing. Of faces at the same depth the one with the lowest index is kept. `cull` omits the faces
    that are seen from the inside of the mesh ("back") or from the outside ("front"). Gradients reach `verts_cam` and
    `K` through bary and depth; the choice of the face has no gradient (see `antialias`).
    Raises: ValueError for non-finite values, indices out of range, or sizes that do not match.
    """
    check_size(height, width)
    check_batches(verts_cam=verts_cam, K=K)
    check_faces(faces, verts_cam.shape[1])
    q = homogeneous_px(verts_cam, K)
    check_geometry(verts_cam, K, q, near_m)
    face, bary, depth = get_backend(backend, q.device).rasterize(q, faces, height, width, near_m, cull)
    return Fragments(face, bary, depth)


def interpolate(
    values: Float[Tensor, "B V C"] | Float[Tensor, "V C"],
    fragments: Fragments,
    faces: Int[Tensor, "F 3"],
    *,
    unit: bool = False,
    backend: BackendName = "auto",
) -> Float[Tensor, "B H W C"]:
    """Interpolate vertex values over the visible faces, perspective-correct; 0 where there is no face.

    `faces` has one row per face of the mesh, but may index another set of vertices, such as those of a UV chart.
    Values without a batch dimension are shared by all samples. With `unit` the result is normalised (for normals).
    Gradients reach `values` and `fragments.bary`.
    Raises: ValueError for indices out of range or a batch size that does not match.
    """
    batched = values if values.ndim == 3 else values[None]
    if batched.shape[0] not in (1, fragments.face.shape[0]):
        raise ValueError(
            f"values have batch size {batched.shape[0]}, expected 1 or that of fragments, {fragments.face.shape[0]}"
        )
    check_faces(faces, batched.shape[1])
    chosen = get_backend(backend, batched.device)
    return chosen.interpolate(batched.to(fragments.bary.dtype), faces, fragments.face, fragments.bary, unit)


def sample_texture(
    texture: Float[Tensor, "B C T1 T2"],
    uv: Float[Tensor, "B H W 2"],
    fragments: Fragments | None = None,
    *,
    backend: BackendName = "auto",
) -> Float[Tensor, "B H W C"]:
    """Sample texture maps bilinearly at `uv`, which are clamped to [0, 1].

    The origin of `uv` is the bottom left corner of a map, whose row 0 is at the top. With `fragments`, pixels without a
    face are 0. Gradients reach `texture` and `uv`. Raises: ValueError if batch sizes or devices differ.
    """
    check_batches(texture=texture, uv=uv)
    face = torch.zeros(uv.shape[:3], dtype=torch.int32, device=uv.device) if fragments is None else fragments.face
    return get_backend(backend, uv.device).sample_texture(texture.to(uv.dtype), uv, face)


def shade(
    albedo: Float[Tensor, "B H W 3"],
    normals: Float[Tensor, "B H W 3"],
    fragments: Fragments,
    K: Float[Tensor, "B 3 3"],
    light: Light,
    *,
    material: Material | None = None,
    linear_light: bool = False,
    reach: Float[Tensor, "B H W 2"] | None = None,
    backend: BackendName = "auto",
) -> Float[Tensor, "B H W 3"]:
    """Light a surface: Lambert under ambient, sky and directional light, and a Blinn-Phong or Phong highlight.

    With the material's factors k and shininess p, albedo a, ambient light A, directional light of colour L, unit normal
    n, unit vectors l towards the light and v towards the camera, and h = (l + v) / |l + v|, the colour is
    a (k_a A + k_d L max(n.l, 0)) + k_s L max(n.h, 0)^p; the last term only where n.l > 0. For Phong, max(r.v, 0)
    replaces max(n.h, 0), r = 2 (n.l) n - l. The result is not clamped. A light with a sky adds its harmonics to A.
    `reach` holds the fractions of the light that arrive, of ambient and sky light and of directional light; 1 if None.
    With `linear_light`, albedo and result are sRGB, and the sum is computed in linear light.
    Gradients reach albedo, normals and the light (its direction is used as given, not normalised), but neither `reach`
    nor `K`, which only affects v. Raises: ValueError if batch sizes or devices differ.
    """
    check_batches(albedo=albedo, normals=normals, K=K, ambient=light.ambient)
    packed = pack_light(light).to(albedo.dtype)
    chosen = get_backend(backend, albedo.device)
    hidden = None if reach is None else reach.detach().to(albedo.dtype)
    return chosen.shade(albedo, normals, fragments.face, K, packed, material or Material(), linear_light, hidden)


def antialias(
    values: Float[Tensor, "B H W C"],
    fragments: Fragments,
    verts_cam: Float[Tensor, "B V 3"],
    faces: Int[Tensor, "F 3"],
    K: Float[Tensor, "B 3 3"],
    *,
    adjacency: EdgeAdjacency | None = None,
    near_m: float = NEAR_M,
    backend: BackendName = "auto",
) -> Float[Tensor, "B H W C"]:
    """Blend pixels across the outlines that pass between their centres, by the area beyond the outline.

    Outlines are the edges whose faces are on the same side of the plane through the edge and the camera: the border of
    the silhouette, and of every part that hides something behind it. For a straight outline the sum of the values along
    a line of pixels is exact, and so is its derivative. Gradients reach `values` and, through the moving outlines,
    `verts_cam` and `K`. `adjacency` is the result of `edge_adjacency(faces)`, if the caller has it.
    Raises: ValueError for non-finite values, indices out of range, or sizes that do not match.
    """
    check_batches(values=values, verts_cam=verts_cam, K=K)
    check_faces(faces, verts_cam.shape[1])
    around = edge_adjacency(faces) if adjacency is None else adjacency
    q = homogeneous_px(verts_cam, K)
    check_geometry(verts_cam, K, q, near_m)
    chosen = get_backend(backend, values.device)
    return chosen.antialias(values, q, fragments.face, fragments.depth, around.edges, around.opposite, near_m)


def pack_light(light: Light) -> Float[Tensor, "B R 3"]:
    """Return a light as rows: ambient, colour, direction and, if it has a sky, the sky's eight; R is 3 or 11."""
    rows = torch.stack([light.ambient, light.color, light.direction], dim=1)
    return rows if light.sky is None else torch.cat([rows, light.sky], dim=1)


def homogeneous_px(verts_cam: Float[Tensor, "B V 3"], K: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B V 3"]:
    """Return K p = (u z, v z, z), in float32 or float64 even under autocast.

    A matrix product would run in half precision under autocast, but a hundredth of a pixel matters here.
    """
    dtype = torch.promote_types(torch.promote_types(verts_cam.dtype, K.dtype), torch.float32)
    x, y, z = verts_cam.to(dtype).split(1, dim=2)
    across, down, along = K.to(dtype).mT.split(1, dim=1)  # the columns of K, as rows
    return x * across + y * down + z * along
