"""Build a `Rig`, the skeleton that files store, from the motions that pose a hand."""

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.hands.contract import Rig


def make_rig(
    rest_vertices: Float[Tensor, "B 3 V"],
    rest_joints: Float[Tensor, "B N 3"],
    motions: Float[Tensor, "B N 3 4"],
    weights: Float[Tensor, "N V"],
    parents: tuple[int, ...],
    *,
    root: Float[Tensor, "B 3"],
) -> Rig:
    """Return the rig of hands whose bones move by `motions`; joint 9, posed at `root`, is shifted to the origin."""
    shifted = torch.cat((motions[..., :3], (motions[..., 3] - root[:, None])[..., None]), dim=-1)
    last_row = shifted.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*shifted.shape[:2], 1, 4)
    return Rig(
        rest_vertices=rest_vertices.transpose(1, 2),
        rest_joints=rest_joints,
        T_root_rest=torch.cat((shifted, last_row), dim=2),
        weights=weights.T,
        parents=parents,
    )
