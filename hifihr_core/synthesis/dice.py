"""Random numbers for the properties of synthetic scenes, all from one torch generator."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Dice:
    """Random numbers for a batch: every call takes the next ones from one CPU generator, and moves them to `device`."""

    def __init__(self, batch: int, seed: int, device: torch.device) -> None:
        self.batch, self.device = batch, device
        self.generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Float[Tensor, "B *S"]:
        """Return uniform numbers between `low` and `high`: one per sample, or an array of `shape` per sample."""
        return (low + (high - low) * torch.rand(self.batch, *shape, generator=self.generator)).to(self.device)

    def log_uniform(self, low: float, high: float, *shape: int) -> Float[Tensor, "B *S"]:
        """Return numbers between `low` and `high` whose logarithm is uniform, in the same shape as `uniform`."""
        bounds = torch.tensor([low, high]).log().tolist()
        return self.uniform(bounds[0], bounds[1], *shape).exp()

    def normal(self, *shape: int) -> Float[Tensor, "B *S"]:
        """Return standard normal numbers: one per sample, or an array of `shape` per sample."""
        return torch.randn(self.batch, *shape, generator=self.generator).to(self.device)

    def chance(self, probability: float) -> Bool[Tensor, " B"]:
        """Return True with the given probability, per sample."""
        return self.uniform(0.0, 1.0) < probability

    def integer(self, count: int) -> Tensor:
        """Return an integer from 0 to ``count - 1`` per sample, on the CPU."""
        return torch.randint(count, (self.batch,), generator=self.generator)

    def direction(self) -> Float[Tensor, "B 3"]:
        """Return one unit vector per sample, uniform on the sphere."""
        return torch.nn.functional.normalize(self.normal(3), dim=-1)
