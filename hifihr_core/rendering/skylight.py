"""Environment light as second-order spherical harmonics of the surface normal.

For a matte surface, nine numbers per channel describe distant light to within about one per cent (Ramamoorthi and
Hanrahan, "An efficient representation for irradiance environment maps", SIGGRAPH 2001). Here they are one constant
(`Light.ambient`) and eight coefficients (`Light.sky`) of polynomials in the unit normal n, each with a mean square of
one over the sphere. They already include the cosine between surface and light: the colour of a surface is its albedo
times the sum of the constant and the weighted polynomials.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.lookup import needed
from hifihr_core.records import Light

#: Factors of the polynomials of first order, of the mixed ones of second order, and of x^2 - y^2 and 3 z^2 - 1.
FIRST, MIXED, SADDLE, AXIAL = math.sqrt(3), math.sqrt(15), math.sqrt(15) / 2, math.sqrt(5) / 2

#: The fraction of each order of the surrounding radiance that a matte surface keeps: the cosine lobe over its mean.
_LOBE = (1.0, 2 / 3, 1 / 4)


def sky_basis(normals: Float[Tensor, "*N 3"]) -> Float[Tensor, "*N 8"]:
    """Return the eight polynomials at unit normals: x, y, z, xy, yz, xz, x^2 - y^2, 3 z^2 - 1, scaled."""
    x, y, z = normals.unbind(-1)
    first = (FIRST * x, FIRST * y, FIRST * z, MIXED * x * y, MIXED * y * z, MIXED * x * z)
    return torch.stack((*first, SADDLE * (x * x - y * y), AXIAL * (3 * z * z - 1)), dim=-1)


def light_at(normals: Float[Tensor, "B N 3"], light: Light) -> Float[Tensor, "B N 3"]:
    """Return the light on surfaces with these unit normals (camera frame): their colour is their albedo times this.

    Shadows and highlights are not included.
    """
    facing = (normals * light.direction[:, None]).sum(dim=-1, keepdim=True).clamp_min(0)
    level = light.ambient[:, None] + light.color[:, None] * facing
    return level if light.sky is None else level + sky_basis(normals) @ light.sky


def as_sky(light: Light) -> Light:
    """Return nearly the same light, with its directional part converted to ambient light and sky.

    The effect max(n.l, 0) of this part on a surface with normal n becomes 1/4 + sum_k w_k Y_k(n) Y_k(l), with Y from
    `sky_basis`, w 1/6 for the first order and 1/16 for the second. The error is at most a tenth of the light's colour.
    The highlight and the cast shadow of the directional part are lost.
    """
    weights = torch.cat([light.color.new_full((n,), _LOBE[order] / 4) for order, n in ((1, 3), (2, 5))])
    sky = (weights * sky_basis(light.direction))[:, :, None] * light.color[:, None]
    return Light(
        ambient=light.ambient + light.color / 4,
        color=torch.zeros_like(light.color),
        direction=light.direction,
        sky=sky if light.sky is None else sky + light.sky,
    )


def with_sky(light: Light) -> Light:
    """Return the same light with a sky; if it has none, with one whose coefficients are 0."""
    if light.sky is not None:
        return light
    return Light(light.ambient, light.color, light.direction, light.ambient.new_zeros(len(light.ambient), 8, 3))


def as_lamp_and_sky(light: Light, *, share: float = 0.7) -> Light:
    """Return nearly the same light with a lamp: directional light that replaces a fraction `share` of the sky's slope.

    The slope is the sky's first order, which makes one side of a surface brighter. Highlights, cast shadows and exports
    need directional light. The light on a matte surface changes only by the lamp's harmonics above the second order.
    The lamp is at most three times as bright as the ambient light. A light without a sky is returned unchanged.
    """
    if light.sky is None:
        return light
    slope = light.sky[:, :3]
    direction = torch.nn.functional.normalize(slope.mean(dim=2) + slope.new_tensor([0.0, -1e-6, 0.0]), dim=1)
    along = torch.einsum("bkc,bk->bc", slope, direction) / (FIRST * _LOBE[1] / 4)
    color = torch.minimum(share * along.clamp_min(0), 3 * light.ambient.clamp_min(0))
    lamp = as_sky(Light(torch.zeros_like(color), color, direction))
    sky = light.sky - needed(lamp.sky, "the sky of a lamp")
    return Light(light.ambient - lamp.ambient, light.color + color, direction, sky)


def turn_light(light: Light, R_new_old: Float[Tensor, "B 3 3"]) -> Light:
    """Return the light in a rotated frame: `R_new_old` maps directions in the old frame to the new one.

    It may be a reflection (determinant -1).
    """
    direction = (R_new_old @ light.direction[..., None])[..., 0]
    return Light(light.ambient, light.color, direction, None if light.sky is None else turn_sky(light.sky, R_new_old))


def turn_sky(sky: Float[Tensor, "B 8 3"], R_new_old: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B 8 3"]:
    """Return a sky in a rotated or mirrored frame; its values in 32 directions determine it exactly."""
    points = even_directions(32).to(sky)
    values = sky_basis(points @ R_new_old) @ sky  # the new points in the old frame
    return torch.linalg.lstsq(sky_basis(points).expand(len(values), -1, -1), values).solution


def even_directions(count: int) -> Float[Tensor, "N 3"]:
    """Return unit vectors spread evenly over the sphere, along a Fibonacci spiral."""
    step = torch.arange(count, dtype=torch.float64) + 0.5
    height, around = 1 - 2 * step / count, step * math.pi * (1 + math.sqrt(5))
    ring = (1 - height * height).sqrt()
    return torch.stack((ring * around.cos(), ring * around.sin(), height), dim=-1)


def sky_from_radiance(
    radiance: Float[Tensor, "B N 3"],
    directions: Float[Tensor, "B N 3"] | Float[Tensor, "N 3"],
    solid_angles: Float[Tensor, " N"],
) -> Light:
    """Return the light, without a directional part, of surroundings given by samples of their radiance.

    Sample n is seen along the unit vector ``directions[..., n, :]`` and covers ``solid_angles[n]`` steradians. A white
    surface under a uniform radiance of 1 has the colour 1.
    """
    share = solid_angles / (4 * math.pi)
    basis = sky_basis(directions) * directions.new_tensor([_LOBE[1]] * 3 + [_LOBE[2]] * 5)
    ambient = torch.einsum("bnc,n->bc", radiance, share)
    sky = torch.einsum("bnc,n,bnk->bkc", radiance, share, basis.expand(*radiance.shape[:2], 8))
    up = torch.zeros_like(ambient) + ambient.new_tensor([0.0, -1.0, 0.0])
    return Light(ambient, torch.zeros_like(ambient), up, sky)
