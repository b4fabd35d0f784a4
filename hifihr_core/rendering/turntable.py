"""Pictures to look at: a mesh over a photo, a turntable, and contact sheets; no OpenGL is needed."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hifihr_core.geometry.cameras import K_from_focal
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering.fragments import Rendered
from hifihr_core.rendering.renderer import Renderer


def overlay(
    rendered: Rendered, photo: Float[Tensor, "B 3 H W"], *, opacity: float = 1.0
) -> UInt8[np.ndarray, "B H W 3"]:
    """Return the rendered surface over a photo, as 8-bit RGB; `rendered` needs a black background."""
    cover = rendered.silhouette.detach()[:, None] * opacity
    return to_uint8(rendered.image.detach() * opacity + photo * (1 - cover))


def to_uint8(image: Float[Tensor, "B 3 H W"]) -> UInt8[np.ndarray, "B H W 3"]:
    """Convert RGB in [0, 1] to 8 bits; values outside are clipped."""
    return (image.detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def studio_light(batch: int, *, like: Tensor) -> Light:
    """Return a neutral light from above the viewer's left shoulder, with the device and dtype of `like`."""
    direction = torch.nn.functional.normalize(torch.tensor([[-0.4, -0.6, -0.7]]), dim=-1)
    parts = (torch.full((1, 3), 0.45), torch.full((1, 3), 0.6), direction)
    return Light(*(part.repeat(batch, 1).to(like) for part in parts))


def turntable(
    verts: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    appearance: Appearance,
    *,
    views: int = 8,
    image_px: int = 256,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> UInt8[np.ndarray, "B H W 3"]:
    """Return 8-bit RGB pictures of a mesh from `views` directions around the vertical axis.

    The mesh's bounding sphere fills each picture. `appearance` has batch size 1. `verts` are in metres, with x right, y
    down and z forward; their position does not matter. Raises: ValueError if `views` is below 1.
    """
    if views < 1:
        raise ValueError(f"views is {views}, expected at least 1")
    points = verts.detach()
    points = points - (points.amin(dim=0) + points.amax(dim=0)) / 2
    radius = float(points.norm(dim=-1).max().clamp_min(1e-6))
    angles = torch.arange(views).to(points) * (2 * math.pi / views)
    zero, one = torch.zeros_like(angles), torch.ones_like(angles)
    rows = (angles.cos(), zero, angles.sin(), zero, one, zero, -angles.sin(), zero, angles.cos())
    turned = points @ torch.stack(rows, dim=-1).reshape(views, 3, 3).mT
    distance = 5 * radius
    placed = turned + torch.tensor([0, 0, distance]).to(points)
    # At this distance the bounding sphere of the mesh fills 96 % of the picture.
    focal = 0.48 * image_px * math.sqrt(distance**2 - radius**2) / radius
    K = K_from_focal(focal, width=image_px, height=image_px).to(points).repeat(views, 1, 1)
    albedo = appearance.albedo.detach().expand(views, *appearance.albedo.shape[1:])
    spread = Appearance(albedo, appearance.uvs, appearance.faces_uvs)
    renderer = Renderer(faces, height=image_px, width=image_px, supersample=2, near_m=distance / 100)
    with torch.no_grad():
        out = renderer(placed, K, spread, studio_light(views, like=points), torch.tensor(background).to(points))
    return to_uint8(out.image)


def sheet(pictures: list[UInt8[np.ndarray, "H W 3"]], *, columns: int) -> UInt8[np.ndarray, "H2 W2 3"]:
    """Arrange pictures of the same size in rows of `columns`; the rest of the last row is white.

    Raises: ValueError if there are no pictures or no columns.
    """
    if not pictures or columns < 1:
        raise ValueError(f"found {len(pictures)} pictures and {columns} columns, expected at least one of each")
    blank = np.full_like(pictures[0], 255)
    filled = pictures + [blank] * (-len(pictures) % columns)
    rows = [np.concatenate(filled[start : start + columns], axis=1) for start in range(0, len(filled), columns)]
    return np.concatenate(rows, axis=0)
