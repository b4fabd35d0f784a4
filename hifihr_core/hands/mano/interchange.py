"""Read FreiHAND's MANO labels, and write the MANO parameters of a left or right hand for other programs.

`ManoParameters` are for any implementation of MANO with a flat mean hand and without PCA:
``MANO(global_orient, hand_pose, betas) + transl`` is the exported mesh, for left and right hands.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hifihr_core.hands.contract import HandParameters
from hifihr_core.hands.mano.model import Mano
from hifihr_core.hands.parameters import check_finite, mirror_points, mirror_rotations
from hifihr_core.records import Side


@dataclass(frozen=True)
class ManoParameters:
    """Parameters of MANO's right or left model with ``flat_hand_mean=True`` and ``use_pca=False``.

    ``MANO(global_orient, hand_pose, betas) + transl`` are the vertices in the camera frame, metres. For a left hand,
    the sign of the x offsets in MANO's shape basis must have been corrected (for the official file, by
    ``shapedirs[:, 0, :] *= -1``).
    """

    global_orient: Float[Tensor, "B 3"]
    hand_pose: Float[Tensor, "B 45"]
    betas: Float[Tensor, "B 10"]
    transl: Float[Tensor, "B 3"]
    side: Side


def export_mano(
    model: Mano, parameters: HandParameters, root_cam: Float[Tensor, "B 3"], *, side: Side
) -> ManoParameters:
    """Return the parameters of the person's hand, given those of its internal right-hand representation.

    `root_cam` is the position of joint 9 in the camera frame, which is mirrored for a left hand. A left hand is
    mirrored back in the plane x = 0. Raises: DataError for NaN or infinity.
    """
    check_finite(parameters)
    hand_pose = model.axis_angles(parameters.pose)
    transl = root_cam - model.root_native(parameters)
    if side == "right":
        return ManoParameters(parameters.global_orient, hand_pose, parameters.shape, transl, side)
    return ManoParameters(
        global_orient=mirror_rotations(parameters.global_orient),
        hand_pose=mirror_rotations(hand_pose.unflatten(1, (15, 3))).flatten(1),
        betas=parameters.shape,
        transl=mirror_points(transl),
        side=side,
    )


def mirror_mesh(
    vertices: Float[Tensor, "B V 3"], faces: Int[Tensor, "F 3"]
) -> tuple[Float[Tensor, "B V 3"], Int[Tensor, "F 3"]]:
    """Return the mesh of the other side: mirrored in the plane x = 0, with faces re-wound to point outwards."""
    return mirror_points(vertices), faces.flip(1)


def parameters_from_freihand(
    labels: Float[Tensor, "B 61"], K: Float[Tensor, "B 3 3"]
) -> tuple[HandParameters, Float[Tensor, "B 3"]]:
    """Split FreiHAND's `mano` labels into parameters and the position of joint 9 in the camera frame, metres.

    The parameters are for ``load_hand("mano")``, whose default pose basis (rotation vectors about the mean hand) and
    joints are FreiHAND's; its vertices plus the root are the dataset's vertices, up to the dataset's rounding. `K` is
    the camera of the image. Layout of a label: rotation 3, pose 45, betas 10, root in pixels 2, pixels per metre 1.
    Source: FreiHAND's toolbox, `model.py`.
    """
    orient, pose, shape, root_px, scale = torch.split(labels, [3, 45, 10, 2, 1], dim=1)
    # The toolbox divides x and y by the same scale, so this is not exactly the ray through the pixel if fx != fy.
    focal = K[:, [0, 1], [0, 1]].mean(1, keepdim=True)
    return HandParameters(orient, pose, shape), torch.cat((root_px - K[:, :2, 2], focal), 1) / scale
