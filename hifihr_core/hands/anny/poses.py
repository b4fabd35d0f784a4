"""Sample plausible rotations, poses and skins of the free hand from its shipped data."""

import torch
from jaxtyping import Float
from torch import Tensor

#: Standard deviation of the noise on every angle of a sampled pose, radians: too small to make fingers touch.
_JITTER = 0.02


def sample_poses(
    bank: Float[Tensor, "N 2 P"], limits: Float[Tensor, "P 2"], batch: int, generator: torch.Generator
) -> Float[Tensor, "B P"]:
    """Sample poses, radians: a point on one of the bank's paths, plus slight noise, within the limits.

    ``bank[n]`` holds the two ends of a straight path in angle space; on all paths of the bank, no finger enters the
    palm or another finger.
    """
    device = generator.device
    path = bank[torch.randint(len(bank), (batch,), generator=generator, device=device)]
    share = torch.rand(batch, 1, generator=generator, device=device)
    noise = torch.randn(batch, bank.shape[2], generator=generator, device=device)
    pose = torch.lerp(path[:, 0], path[:, 1], share) + _JITTER * noise
    return pose.clamp(limits[:, 0], limits[:, 1])


def sample_rotations(batch: int, generator: torch.Generator) -> Float[Tensor, "B 3"]:
    """Sample rotation vectors, radians, uniformly over all rotations.

    Uses a uniform unit quaternion. Implemented here because importing roma loads torch's compiler, which takes almost a
    second.
    """
    quaternion = torch.randn(batch, 4, generator=generator, device=generator.device)
    scalar, vector = quaternion.split((1, 3), dim=-1)
    length = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    # q and -q are the same rotation; a positive scalar part means less than half a turn.
    angle = 2 * torch.atan2(length, scalar.abs())
    return vector / length * angle * torch.where(scalar < 0, -1.0, 1.0)


def sample_skins(people: Float[Tensor, "M X"], batch: int, generator: torch.Generator) -> Float[Tensor, "B X"]:
    """Sample texture coefficients: a blend of the skins of two `people` of similar tone, plus slight noise.

    `people` are the coefficients of the skins that `tools/skin` painted. They are uncorrelated but not independent (a
    dark hand has a light palm), so samples from a normal distribution would be skins that nobody has.
    """
    device = generator.device
    order = people[:, 0].argsort()
    place = torch.randint(len(people), (batch,), generator=generator, device=device)
    step = torch.randint(1, 1 + len(people) // 20, (batch,), generator=generator, device=device)
    share = torch.rand(batch, 1, generator=generator, device=device)
    pair = people[order[place]], people[order[(place + step).clamp(max=len(people) - 1)]]
    noise = torch.randn(batch, people.shape[1], generator=generator, device=device)
    return torch.lerp(*pair, share) + 0.1 * noise
