"""Read the statistical skin of the free hand: a mean texture map and principal components on its UV chart."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from hifihr_core.outside.array_archives import read_arrays

_KEYS = ("mean", "components", "scale", "inside", "people")


@dataclass(frozen=True)
class SkinBasis:
    """The mean and the basis of skin maps: a map is ``mean + coefficients @ basis``, RGB planes in row-major order.

    The basis is zero far from the chart's triangles. `people` are the coefficients of the skins that `tools/skin`
    painted, from which new skins are sampled. Maps are `size_px` wide and high.
    """

    mean: Float[Tensor, " C_T_T"]
    basis: Float[Tensor, "X C_T_T"]
    people: Float[Tensor, "M X"]
    size_px: int


def load_skin(path: Path, size_px: int) -> SkinBasis:
    """Read the shipped skin, averaged down if `size_px` is smaller than the stored maps.

    The file stores 8-bit components: the decoded basis is ``components * scale``, with one scale per component.
    Raises: AssetError for a missing or broken file, ValueError if `size_px` is below 32 or does not divide the size of
    the stored maps.
    """
    arrays = read_arrays(path, what="a skin file", remedy="reinstall hifihr", needed=_KEYS)
    mean, components, scale, inside, people = (arrays[key] for key in _KEYS)
    full = mean.shape[-1]
    if size_px < 32 or full % size_px:
        raise ValueError(f"texture_px is {size_px}, expected a divisor of {full} that is at least 32")
    planes = torch.from_numpy(mean).float() / 255
    basis = torch.from_numpy(components).float().mul_(torch.from_numpy(scale)[:, None, None, None])
    if size_px < full:
        planes, basis = _shrink(planes, basis, torch.from_numpy(inside).float(), full // size_px)
    return SkinBasis(planes.flatten(), basis.flatten(1), torch.from_numpy(people).float(), size_px)


def _shrink(
    mean: Float[Tensor, "3 T T"], basis: Float[Tensor, "X 3 T T"], inside: Float[Tensor, "T T"], factor: int
) -> tuple[Float[Tensor, "3 t t"], Float[Tensor, "X 3 t t"]]:
    """Return the maps averaged over blocks of `factor` x `factor` texels, of which only those with skin count."""
    share = avg_pool2d(inside[None], factor)
    skin = share > 0
    share = share.clamp(min=1 / factor**2)
    small = torch.where(skin, avg_pool2d(mean * inside, factor) / share, avg_pool2d(mean, factor))
    return small, avg_pool2d(basis, factor) / share
