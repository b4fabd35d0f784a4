"""Drawing plausible poses of the free hand from its bank of gestures."""

import torch
from jaxtyping import Float
from torch import Tensor

#: Standard deviation of what is added to every angle of a drawn pose, radians: too little to close a gap of skin.
_JITTER = 0.02


def sample_poses(
    bank: Float[Tensor, "N 2 P"], limits: Float[Tensor, "P 2"], batch: int, generator: torch.Generator
) -> Float[Tensor, "B P"]:
    """Draw poses, radians: a point on one of the bank's paths, plus a little noise, within the limits.

    ``bank[n]`` are the two ends of a straight path in angle space; the maker of the bank walked every path and kept
    those on which no finger enters the palm or another finger.
    """
    device = generator.device
    path = bank[torch.randint(len(bank), (batch,), generator=generator, device=device)]
    share = torch.rand(batch, 1, generator=generator, device=device)
    noise = torch.randn(batch, bank.shape[2], generator=generator, device=device)
    pose = torch.lerp(path[:, 0], path[:, 1], share) + _JITTER * noise
    return pose.clamp(limits[:, 0], limits[:, 1])
