"""Reading the statistical skin of the free hand: a mean map and principal components on its UV chart."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hifihr_core.errors import AssetError


_KEYS = ("mean", "components", "scale", "texels", "people")


@dataclass(frozen=True)
class SkinBasis:
    """A skin map is ``mean`` plus, at ``texels``, ``coefficients @ basis``; RGB, row after row of the map.

    `people` are the coefficients of painted people, to draw skins from.
    """

    mean: Float[Tensor, "3 TT"]
    basis: Float[Tensor, "X 3 N"]
    texels: Int[Tensor, " N"]
    people: Float[Tensor, "M X"]
    size_px: int


def load_skin(path: Path, size_px: int) -> SkinBasis:
    """Read the shipped skin; a smaller `size_px` is averaged from it.

    The file keeps 8-bit components: the decoded basis is ``components * scale``, with one scale per component.
    Raises: AssetError for a missing or broken file, ValueError if `size_px` does not divide the size of the file.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            mean, components, scale, texels, people = (archive[key] for key in _KEYS)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise AssetError(f"{path}: not a readable skin file ({error}); install hifihr again") from error
    full = mean.shape[-1]
    if size_px < 32 or full % size_px:
        raise ValueError(f"texture_px is {size_px}; expected {full} or a half, quarter or eighth of it")
    skin = SkinBasis(
        mean=torch.from_numpy(mean.astype(np.float32) / 255).flatten(1),
        basis=torch.from_numpy(components.astype(np.float32) * scale[:, None, None].astype(np.float32)),
        texels=torch.from_numpy(texels.astype(np.int64)),
        people=torch.from_numpy(people.astype(np.float32)),
        size_px=full,
    )
    return skin if size_px == full else _shrink(skin, full // size_px)


def _shrink(skin: SkinBasis, factor: int) -> SkinBasis:
    """Average blocks of texels, counting only those that carry skin."""
    size = skin.size_px // factor
    rows, columns = skin.texels // skin.size_px, skin.texels % skin.size_px
    blocks, place = torch.unique((rows // factor) * size + columns // factor, return_inverse=True)
    count = torch.zeros(len(blocks)).index_add_(0, place, torch.ones(len(place)))

    def average(values: Tensor) -> Tensor:
        return values.new_zeros(*values.shape[:-1], len(blocks)).index_add_(-1, place, values) / count

    far = torch.nn.functional.avg_pool2d(skin.mean.reshape(3, skin.size_px, skin.size_px), factor).flatten(1)
    mean = far.index_copy(1, blocks, average(skin.mean.index_select(1, skin.texels)))
    return SkinBasis(mean, average(skin.basis), blocks, skin.people, size)
