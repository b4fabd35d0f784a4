"""A first MANO hand for a hand of another model: every finger bone turned as the other's armature turns it."""

from jaxtyping import Float
from torch import Tensor

from hifihr_core.geometry.turns import rotmat_to_rotvec
from hifihr_core.hands.armature import Armature
from hifihr_core.hands.contract import HandParameters
from hifihr_core.hands.mano.arrays import PARENTS as MANO_PARENTS
from hifihr_core.hands.mano.model import Mano
from hifihr_core.placed_hands import PlacedHands
from hifihr_core.skeleton import PARENTS, gather_from

#: Our number of each of MANO's sixteen joints.
_OURS = tuple(gather_from("ho3d").index(joint) for joint in range(len(MANO_PARENTS)))


def mano_like(model: Mano, armature: Armature, root_cam: Float[Tensor, "B 3"]) -> PlacedHands:
    """Return MANO hands of mean shape in the pose of `armature` (our 21 joints), joint 9 at `root_cam`.

    Both armatures are bound to a flat hand, so a bone turned by Q against its parent there is turned by Q here, told in
    MANO's own axes.
    """
    batch = len(root_cam)
    zeros = armature.bind_vertices.new_zeros
    flat = HandParameters(zeros(batch, 3), -model.zero_pose.expand(batch, -1), zeros(batch, model.shape_dim))
    own = model.armature(flat)
    turns = _local_turns(armature)
    frames = own.T_root_bone[..., :3, :3]  # of the flat, unturned MANO: its own axes
    vectors = rotmat_to_rotvec(frames @ turns @ frames.mT)[:, list(_OURS[1:])]
    orient = armature.T_root_bone[:, 0, :3, :3] @ own.T_root_bone[:, 0, :3, :3].mT
    pose = vectors.flatten(1) - model.zero_pose
    return PlacedHands(HandParameters(rotmat_to_rotvec(orient), pose, flat.shape), root_cam)


def _local_turns(armature: Armature) -> Float[Tensor, "B N 3 3"]:
    """Return the rotation of every bone against its parent since the bind pose, in the bone's own axes."""
    above = [max(parent, 0) for parent in PARENTS]
    bind, posed = armature.T_bind_bone[..., :3, :3], armature.T_root_bone[..., :3, :3]
    return (bind[:, above].mT @ bind).mT @ (posed[:, above].mT @ posed)
