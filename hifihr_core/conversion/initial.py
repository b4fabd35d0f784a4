"""The initial hand of a conversion: its bones are rotated like those of the other model's armature."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.geometry.turns import rotmat_to_rotvec
from hifihr_core.hands.armature import Armature
from hifihr_core.hands.contract import HandParameters
from hifihr_core.hands.mano.model import Mano
from hifihr_core.hands.nimble.model import Nimble
from hifihr_core.placed_hands import PlacedHands

#: Hand models whose pose consists of rotation vectors, one per bone, in the axes of their rest hand.
Fittable = Mano | Nimble


@dataclass(frozen=True)
class _OwnBones:
    """The bones that a model's pose rotates: their names, and their axes (`frames`) in the model's rest frame.

    `wrist` has the axes of the wrist bone, in the same frame.
    """

    names: tuple[str, ...]
    frames: Float[Tensor, "B N 3 3"]
    wrist: Float[Tensor, "B 3 3"]


def pose_like(model: Fittable, armature: Armature, root_cam: Float[Tensor, "B 3"]) -> PlacedHands:
    """Return hands of `model` with mean shape in the pose of `armature`, joint 9 at `root_cam`.

    Both armatures are bound to a flat hand, so a bone's rotation relative to its parent, in the bone's own axes, is the
    same in both; it is converted to the axes of the model's rest frame. Bones are matched by name; a bone that
    `armature` lacks keeps its flat pose.
    """
    own = _own_bones(model, root_cam)
    turns = _local_turns(armature)
    identity = torch.eye(3, dtype=turns.dtype).expand(len(root_cam), 3, 3)
    found = [turns[:, armature.names.index(name)] if name in armature.names else identity for name in own.names]
    vectors = rotmat_to_rotvec(own.frames @ torch.stack(found, dim=1) @ own.frames.mT)
    orient = rotmat_to_rotvec(armature.T_root_bone[:, 0, :3, :3] @ own.wrist.mT)
    shape = root_cam.new_zeros(len(root_cam), model.shape_dim)
    return PlacedHands(HandParameters(orient, model.pose_of(vectors.flatten(1)), shape), root_cam)


def _own_bones(model: Fittable, like: Float[Tensor, "B 3"]) -> _OwnBones:
    bones = list(model.posing_bones)
    still = like.new_zeros(len(like), 3 * len(bones))
    flat = HandParameters(still[:, :3], model.pose_of(still), like.new_zeros(len(like), model.shape_dim))
    armature = model.armature(flat)
    wrist = armature.T_root_bone[:, 0, :3, :3]
    frames = wrist[:, None] @ armature.T_bind_bone[:, bones, :3, :3]
    return _OwnBones(tuple(armature.names[bone] for bone in bones), frames, wrist)


def _local_turns(armature: Armature) -> Float[Tensor, "B N 3 3"]:
    """Return the rotation of every bone relative to its parent, from the bind pose, in the bone's own axes."""
    above = [max(parent, 0) for parent in armature.parents]
    bind, posed = armature.T_bind_bone[..., :3, :3], armature.T_root_bone[..., :3, :3]
    return (bind[:, above].mT @ bind).mT @ (posed[:, above].mT @ posed)
