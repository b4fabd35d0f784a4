"""Check, sample and mirror the named parameters of a hand."""

from dataclasses import fields

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.errors import DataError
from hifihr_core.geometry import turns
from hifihr_core.hands.contract import HandModel, HandParameters, PosePrior


def check_sizes(model: HandModel, parameters: HandParameters) -> None:
    """Check that `parameters` have the sizes of `model`, without reading values. Raises: ValueError if they do not."""
    expected = {"pose": model.pose_dim, "shape": model.shape_dim, "texture": model.texture_dim}
    for name, size in expected.items():
        tensor = getattr(parameters, name)
        if tensor is not None and tensor.shape[-1] != size:
            raise ValueError(f"{name} has {tensor.shape[-1]} coefficients, expected {size} for {model.name}")


def check_finite(parameters: HandParameters) -> None:
    """Reject NaN and infinity. Raises: DataError that names the first such entry.

    This reads the values, which makes the CPU wait for a GPU. So call it for input (labels, files) and output
    (exports), but not in `forward`, which propagates NaN.
    """
    for field in fields(parameters):
        tensor = getattr(parameters, field.name)
        if tensor is None or bool(torch.isfinite(tensor).all()):
            continue
        place = (~torch.isfinite(tensor)).nonzero()[0].tolist()
        raise DataError(
            f"{field.name}{place} is {tensor[tuple(place)].item()}, expected a finite number; "
            "check where these parameters come from"
        )


def mirror_rotations(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Return rotation vectors mirrored in the plane x = 0: (x, -y, -z). The function is its own inverse."""
    return vectors * vectors.new_tensor([1.0, -1.0, -1.0])


def mirror_points(points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Return points mirrored in the plane x = 0; the function is its own inverse.

    The faces of a mirrored mesh must be re-wound.
    """
    return points * points.new_tensor([-1.0, 1.0, 1.0])


def draw_parameters(
    prior: PosePrior, *, shape_dim: int, texture_dim: int, batch: int, generator: torch.Generator
) -> HandParameters:
    """Sample hands: uniform rotation, pose from `prior` within its limits, standard normal shape and texture.

    The result is float32, on the generator's device.
    """
    device = generator.device

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, device=device)

    mean, basis, limits = (tensor.to(device, torch.float32) for tensor in (prior.mean, prior.basis, prior.limits))
    quaternions = torch.nn.functional.normalize(normal(batch, 4), dim=-1)
    pose = mean + normal(batch, len(basis)) @ basis
    return HandParameters(
        global_orient=turns.unitquat_to_rotvec(quaternions),
        pose=pose.clamp(limits[:, 0], limits[:, 1]),
        shape=normal(batch, shape_dim),
        texture=normal(batch, texture_dim),
    )
