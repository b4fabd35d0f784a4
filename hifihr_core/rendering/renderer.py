"""The renderer: it turns a mesh, camera, appearance and light per sample into image, silhouette, depth and normals."""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from hifihr_core.geometry.meshes import edge_adjacency, vertex_normals
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering.arguments import check_batches, check_faces, check_geometry, check_size
from hifihr_core.rendering.backends import Backend, BackendName, get_backend
from hifihr_core.rendering.fragments import PAPER, SKIN, Cull, Fragments, Material, Rendered, SelfShade
from hifihr_core.rendering.primitives import NEAR_M, homogeneous_px, pack_light

Background = Float[Tensor, "3"] | Float[Tensor, "B 3"] | Float[Tensor, "B 3 H W"]


class Renderer(nn.Module):
    """Renders meshes with the same faces at a fixed image size.

    Images are rendered `supersample` times larger in both directions, and averaged. With `antialiased=False`, outlines
    have no gradient, as in HiFiHR's original code; `Renderer.paper` imitates that renderer.
    """

    faces: Tensor

    def __init__(
        self,
        faces: Int[Tensor, "F 3"],
        *,
        height: int,
        width: int,
        backend: BackendName = "auto",
        material: Material = SKIN,
        linear_light: bool = False,
        cull: Cull = "none",
        antialiased: bool = True,
        supersample: int = 1,
        near_m: float = NEAR_M,
    ) -> None:
        super().__init__()
        check_size(height, width)
        if supersample < 1:
            raise ValueError(f"supersample is {supersample}, expected at least 1")
        self.height, self.width, self.backend = height, width, backend
        self.material, self.linear_light, self.cull = material, linear_light, cull
        self.antialiased, self.supersample, self.near_m = antialiased, supersample, near_m
        around = edge_adjacency(faces)
        check_faces(faces, int(faces.max()) + 1)
        self._num_vertices = int(faces.max()) + 1
        for name, value in (("faces", faces), ("edges", around.edges), ("opposite", around.opposite)):
            self.register_buffer(name, value.to(torch.int32), persistent=False)

    @classmethod
    def paper(cls, faces: Int[Tensor, "F 3"], *, height: int, width: int, backend: BackendName = "auto") -> "Renderer":
        """Return a renderer like that of HiFiHR's original code: hard Phong, 3 x 3 averaging, no gradient at outlines.

        With a white background and an ambient light of 0.5, it gives the same images.
        """
        return cls(faces, height=height, width=width, backend=backend, material=PAPER, antialiased=False, supersample=3)

    def at_size(self, height: int, width: int) -> "Renderer":
        """Return the same renderer for images of another size; the two share their buffers."""
        check_size(height, width)
        other = copy.copy(self)
        other.height, other.width = height, width
        return other

    def forward(
        self,
        verts_cam: Float[Tensor, "B V 3"],
        K: Float[Tensor, "B 3 3"],
        appearance: Appearance,
        light: Light,
        background: Background | None = None,
        shade: SelfShade | None = None,
    ) -> Rendered:
        """Render `verts_cam` (camera frame, metres); `K` refers to an image of this renderer's size.

        `background` is one colour, a colour per sample, or an image per sample; black if it is None. `shade` is the
        fraction of the light that each vertex receives (see `self_shade`); it has no gradient. Gradients reach
        vertices, K, albedo, light and background; those of moving outlines are included if `antialiased`.
        Raises: ValueError for non-finite values, focal lengths that are not positive, or sizes that do not match.
        """
        check_batches(verts_cam=verts_cam, K=K, albedo=appearance.albedo, ambient=light.ambient)
        if verts_cam.shape[1] < self._num_vertices:
            raise ValueError(f"verts_cam has {verts_cam.shape[1]} vertices, expected at least {self._num_vertices}")
        K = _enlarged(K, self.supersample)
        q = homogeneous_px(verts_cam, K)
        check_geometry(verts_cam, K, q, self.near_m)
        chosen = get_backend(self.backend, q.device)
        height, width = self.height * self.supersample, self.width * self.supersample
        fragments = Fragments(*chosen.rasterize(q, self.faces, height, width, self.near_m, self.cull))
        normals_v = vertex_normals(verts_cam.to(q.dtype), self.faces)
        normals = chosen.interpolate(normals_v, self.faces, fragments.face, fragments.bary, True)
        albedo = self._albedo(chosen, fragments, appearance)
        reach = None if shade is None else self._reach(chosen, fragments, shade)
        packed = pack_light(light).to(q.dtype)
        color = chosen.shade(albedo, normals, fragments.face, K, packed, self.material, self.linear_light, reach)
        values = self._composite(color, fragments, background)
        if self.antialiased:
            values = chosen.antialias(
                values, q, fragments.face, fragments.depth, self.edges, self.opposite, self.near_m
            )
        return self._pooled(values, normals)

    def _reach(self, chosen: Backend, fragments: Fragments, shade: SelfShade) -> Tensor:
        """Return the fractions (B, H, W, 2) of sky and directional light that reach the visible surface."""
        parts = torch.stack((shade.sky, shade.sun), dim=-1).detach().to(fragments.bary.dtype)
        return chosen.interpolate(parts, self.faces, fragments.face, fragments.bary.detach(), False)

    def _albedo(self, chosen: Backend, fragments: Fragments, appearance: Appearance) -> Tensor:
        """Return the albedo (B, H, W, 3) of the visible surface, from a texture map or from vertex colours."""
        dtype, face, bary = fragments.bary.dtype, fragments.face, fragments.bary
        if appearance.uvs is None or appearance.faces_uvs is None:
            if appearance.albedo.ndim != 3 or appearance.albedo.shape[1] < self._num_vertices:
                raise ValueError(
                    f"albedo has shape {tuple(appearance.albedo.shape)}, "
                    f"expected (B, {self._num_vertices}, 3) for an appearance without UVs"
                )
            return chosen.interpolate(appearance.albedo.to(dtype), self.faces, face, bary, False)
        if appearance.faces_uvs.shape != self.faces.shape:
            raise ValueError(
                f"faces_uvs has shape {tuple(appearance.faces_uvs.shape)}, "
                f"expected that of faces, {tuple(self.faces.shape)}"
            )
        check_faces(appearance.faces_uvs, appearance.uvs.shape[0], "faces_uvs")
        uv = chosen.interpolate(appearance.uvs[None].to(dtype), appearance.faces_uvs, face, bary, False)
        return chosen.sample_texture(appearance.albedo.to(dtype), uv, face)

    def _composite(self, color: Tensor, fragments: Fragments, background: Tensor | None) -> Tensor:
        """Return (B, H, W, 5): the colour over the background, the coverage, and the depth (0 without a face)."""
        seen = (fragments.face >= 0)[..., None]
        if background is not None:
            color = torch.where(seen, color, self._behind(background.to(color.dtype), color))
        depth = fragments.depth[..., None].where(seen, torch.zeros((), dtype=color.dtype, device=color.device))
        return torch.cat([color, seen.to(color.dtype), depth], dim=-1)

    def _behind(self, background: Tensor, like: Tensor) -> Tensor:
        """Return the background in a shape that broadcasts against (B, H, W, 3)."""
        expected = ((3,), (like.shape[0], 3), (like.shape[0], 3, self.height, self.width))
        if tuple(background.shape) not in expected:
            shapes = ", ".join(map(str, expected))
            raise ValueError(f"background has shape {tuple(background.shape)}, expected one of {shapes}")
        if background.ndim == 4:
            if self.supersample > 1:
                background = functional.interpolate(background, scale_factor=self.supersample, mode="nearest")
            return background.permute(0, 2, 3, 1)
        return background.reshape(-1, 1, 1, 3)

    def _pooled(self, values: Tensor, normals: Tensor) -> Rendered:
        planes = torch.cat([values, normals], dim=-1) if self.supersample > 1 else values
        planes = planes.permute(0, 3, 1, 2)
        if self.supersample > 1:
            planes = functional.avg_pool2d(planes, self.supersample)
            normals = functional.normalize(planes[:, 5:], dim=1)
        else:
            normals = normals.permute(0, 3, 1, 2)
        return Rendered(planes[:, :3], planes[:, 3], planes[:, 4], normals)


def _enlarged(K: Tensor, factor: int) -> Tensor:
    """Return K for an image that is `factor` times larger."""
    return K if factor == 1 else K * K.new_tensor([factor, factor, 1.0])[:, None]
