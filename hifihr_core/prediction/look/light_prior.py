"""A prior on the light that falls on a hand, given the colour of its surroundings: a Gaussian learnt from environment
maps.

A photo only shows albedo times light; this prior and the one on skins separate the two. Scale convention
(docs/conventions.md): albedo is on the scale of the hand model's skins, and a light of 1 leaves it unchanged.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.outside.array_archives import read_arrays


@dataclass(frozen=True)
class LightPrior:
    """A Gaussian of the light's nine spherical harmonics per channel, relative to an expected brightness.

    The expected brightness is ``exp(exposure @ (1, s))``, where s is the log of the mean colour around the hand. `mean`
    and `covariance` are those of the relative coefficients, channel by channel (9 red, 9 green, 9 blue).
    """

    exposure: Float[Tensor, "3 4"]
    mean: Float[Tensor, "27"]
    covariance: Float[Tensor, "27 27"]

    def to(self, device: torch.device) -> "LightPrior":
        """Return the same prior on another device."""
        return LightPrior(*(getattr(self, field.name).to(device) for field in fields(self)))

    @cached_property
    def precision(self) -> Float[Tensor, "27 27"]:
        """The inverse of `covariance`."""
        return torch.linalg.inv(self.covariance)

    def brightness(self, surroundings: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3"]:
        """Return the expected mean light per channel; `surroundings` are log colours, NaN if unknown."""
        known = torch.where(surroundings.isfinite(), surroundings, surroundings.new_tensor(0.35).log())
        ones = torch.ones_like(known[:, :1])
        return (torch.cat((ones, known), dim=1) @ self.exposure.mT).exp()


def load_light_prior(path: Path | None = None) -> LightPrior:
    """Read the shipped prior, or another file written by `tools/learn_light.py`. Raises: AssetError if it is broken."""
    file = Path(str(files("hifihr_core.prediction.look") / "data" / "light_prior.npz")) if path is None else path
    names = ("exposure", "mean", "covariance")
    arrays = read_arrays(file, what="a prior on light", remedy="reinstall hifihr", needed=names)
    return LightPrior(*(torch.from_numpy(arrays[name]).float() for name in names))


def fit_light_prior(coefficients: Float[Tensor, "N 9 3"], surroundings: Float[Tensor, "N 3"]) -> LightPrior:
    """Return the prior fitted to N pairs: `coefficients` of the light, and log of the mean colour around the hand."""
    ones = torch.ones_like(surroundings[:, :1])
    design = torch.cat((ones, surroundings), dim=1)
    exposure = torch.linalg.lstsq(design, coefficients[:, 0].log()).solution.mT
    relative = coefficients / (design @ exposure.mT).exp()[:, None]
    rows = relative.mT.flatten(1)
    spread = torch.cov(rows.mT) + 1e-4 * torch.eye(27).to(rows)
    return LightPrior(exposure, rows.mean(dim=0), spread)
