"""Terms on joints, bones, vertices and root placement.

Lengths are metres in the root frame. Image distances are converted to pixels of a crop of 224 px, so that the paper's
weights have the same effect at every size. Labels are treated as exact. In parentheses after a term: "paper" and the
term's name in HiFiHR's code, or another source.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.geometry.alignment import procrustes
from hifihr_core.geometry.cameras import measure_root
from hifihr_core.lookup import needed
from hifihr_core.losses.terms import LossInputs, Ratio, mean_over_present, term
from hifihr_core.skeleton import BONES, ROOT, SCALE_BONE, TIPS, WRIST

PARENTS_OF_BONES, CHILDREN_OF_BONES = (list(column) for column in zip(*BONES, strict=True))

#: Crop size to which image distances refer.
REFERENCE_PX = 224

#: Distance at which the robust keypoint loss changes from quadratic to linear, pixels (S2HAND).
ROBUST_PX = 5.0

#: Mean length of the middle finger's proximal phalanx, metres (S2HAND).
MEAN_BONE_M = 0.0282


def bone_directions(joints: Float[Tensor, "B 21 D"], *, eps: float = 1e-4) -> Float[Tensor, "B 20 D"]:
    """Return the unit vectors of the 20 bones, from parent joint to child joint; `eps` is added to their lengths."""
    bones = joints[:, CHILDREN_OF_BONES] - joints[:, PARENTS_OF_BONES]
    return bones / (torch.linalg.vector_norm(bones, dim=-1, keepdim=True) + eps)


def bone_length(joints: Float[Tensor, "B 21 3"]) -> Float[Tensor, " B"]:
    """Return the length of FreiHAND's reference bone (the middle finger's proximal phalanx), metres."""
    return torch.linalg.vector_norm(joints[:, SCALE_BONE[0]] - joints[:, SCALE_BONE[1]], dim=-1)


def robust(distance_px: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    """Return d^2 / 10 below 5 pixels and d - 2.5 above; both are 2.5 where they meet (S2HAND's 2D loss)."""
    return torch.where(distance_px < ROBUST_PX, distance_px.square() / (2 * ROBUST_PX), distance_px - ROBUST_PX / 2)


def edge_lengths(vertices: Float[Tensor, "B V 3"], edges: Tensor) -> Float[Tensor, "B E"]:
    """Return the length of every edge, metres."""
    return torch.linalg.vector_norm(vertices[:, edges[:, 0]] - vertices[:, edges[:, 1]], dim=-1)


def _true_joints_root(inputs: LossInputs) -> Float[Tensor, "B 21 3"]:
    joints = inputs.labels["joints_cam"]
    return joints - joints[:, ROOT : ROOT + 1]


def _per_reference_px(inputs: LossInputs) -> float:
    return REFERENCE_PX / inputs.image.shape[-1]


@term("joints_3d", labels=("joints_cam",))
def joints_3d(inputs: LossInputs) -> Ratio:
    """Mean absolute joint error in the root frame, metres (paper: joint_3d)."""
    return mean_over_present(inputs, (inputs.prediction.hand.joints - _true_joints_root(inputs)).abs(), "joints_cam")


@term("joints_aligned", labels=("joints_cam",))
def joints_aligned(inputs: LossInputs) -> Ratio:
    """Mean joint distance after Procrustes alignment, metres: the metric PA-MPJPE.

    If the global rotation of a hand is uncertain, `joints_3d` is lowest for an average over its possible rotations, in
    which fingers are wrong, too; this term does not depend on the rotation. The alignment has no gradient.
    """
    joints, truth = inputs.prediction.hand.joints, inputs.labels["joints_cam"]
    present = inputs.present["joints_cam"] & inputs.present["image"]
    truth = torch.where(present[:, None, None], truth, joints.detach())
    with torch.no_grad():
        align = procrustes(joints, truth)
    # The gradient of a norm at zero is undefined; here it is zero.
    distance = (align(joints) - truth).square().sum(dim=-1).clamp(min=1e-12).sqrt()
    return mean_over_present(inputs, distance, "joints_cam")


@term("vertices_3d", labels=("mano_vertices_cam", "joints_cam"), requires=("mano_vertices",))
def vertices_3d(inputs: LossInputs) -> Ratio:
    """Mean absolute error of the 778 MANO vertices in the root frame, metres (paper: vert_3d)."""
    vertices = inputs.mano_vertices
    truth = inputs.labels["mano_vertices_cam"] - inputs.labels["joints_cam"][:, ROOT : ROOT + 1]
    return mean_over_present(inputs, (vertices - truth).abs(), "mano_vertices_cam", "joints_cam")


@term("edge_length", labels=("mano_vertices_cam",), requires=("mano_vertices", "mano_edges"))
def edge_length(inputs: LossInputs) -> Ratio:
    """Mean absolute difference in the lengths of MANO's edges, metres (paper: edge_length)."""
    edges = needed(inputs.hand.mano_edges, "the edges of MANO's mesh")
    difference = edge_lengths(inputs.mano_vertices, edges) - edge_lengths(inputs.labels["mano_vertices_cam"], edges)
    return mean_over_present(inputs, difference.abs(), "mano_vertices_cam")


@term("bone_direction_3d", labels=("joints_cam",))
def bone_direction_3d(inputs: LossInputs) -> Ratio:
    """Squared difference of the 20 unit bone vectors, summed over axes (paper: bone_direc_3d)."""
    difference = bone_directions(inputs.prediction.hand.joints) - bone_directions(inputs.labels["joints_cam"])
    return mean_over_present(inputs, difference.square().sum(dim=-1), "joints_cam")


@term("scale", labels=("bone_m",))
def scale(inputs: LossInputs) -> Ratio:
    """Squared error of the reference bone's length, square metres (paper: scale)."""
    return mean_over_present(
        inputs, (bone_length(inputs.prediction.hand.joints) - inputs.labels["bone_m"]).square(), "bone_m"
    )


@term("bone_length_prior")
def bone_length_prior(inputs: LossInputs) -> Ratio:
    """Absolute difference of the reference bone's length from its mean, metres (S2HAND).

    It determines the scale if there are no 3D labels.
    """
    return mean_over_present(inputs, (bone_length(inputs.prediction.hand.joints) - MEAN_BONE_M).abs())


@term("joints_2d", labels=("joints_px",))
def joints_2d(inputs: LossInputs) -> Ratio:
    """Mean absolute error of the projected joints, pixels (paper: joint_2d)."""
    error_px = (inputs.prediction.joints_px - inputs.labels["joints_px"]).abs() * _per_reference_px(inputs)
    return mean_over_present(inputs, error_px, "joints_px")


@term("bone_direction_2d", labels=("joints_px",))
def bone_direction_2d(inputs: LossInputs) -> Ratio:
    """Squared difference of the 20 unit bone vectors in the image (paper: bone_direc)."""
    difference = bone_directions(inputs.prediction.joints_px) - bone_directions(inputs.labels["joints_px"])
    return mean_over_present(inputs, difference.square().sum(dim=-1), "joints_px")


@term("keypoints_2d", labels=("keypoints_px", "keypoints_confidence"))
def keypoints_2d(inputs: LossInputs) -> Ratio:
    """Robust distance to detected keypoints in pixels, weighted by confidence (paper: open_2dj; S2HAND).

    The weight of a keypoint is (m c)^2 with its confidence c, and m = 2 for the wrist, 1.5 for the fingertips, else 1.
    """
    offset_px = (inputs.prediction.joints_px - inputs.labels["keypoints_px"]) * _per_reference_px(inputs)
    # The gradient of a norm at zero is undefined; here it is zero.
    distance_px = offset_px.square().sum(dim=-1).clamp(min=1e-12).sqrt()
    importance = torch.ones(21, dtype=distance_px.dtype, device=distance_px.device)
    importance[WRIST] = 2.0
    importance[list(TIPS)] = 1.5
    weight = (_confidence(inputs) * importance).square()
    return Ratio((robust(distance_px) * weight).sum(dim=1), weight.sum(dim=1))


@term("keypoint_bone_direction", labels=("keypoints_px", "keypoints_confidence"))
def keypoint_bone_direction(inputs: LossInputs) -> Ratio:
    """Squared difference of the unit bone vectors from those between detected keypoints (paper: open_bone_direc).

    Each bone is weighted by the product of its ends' confidences.
    """
    confidence = _confidence(inputs)
    difference = bone_directions(inputs.prediction.joints_px) - bone_directions(inputs.labels["keypoints_px"])
    weight = confidence[:, PARENTS_OF_BONES] * confidence[:, CHILDREN_OF_BONES]
    return mean_over_present(inputs, difference.square().sum(dim=-1) * weight, "keypoints_px", "keypoints_confidence")


@term("root_px", labels=("joints_cam",))
def root_px(inputs: LossInputs) -> Ratio:
    """Mean absolute error of the root's position in the image, pixels."""
    truth_px, _ = _true_root(inputs)
    return mean_over_present(
        inputs, (inputs.prediction.estimate.root_px - truth_px).abs() * _per_reference_px(inputs), "joints_cam"
    )


@term("root_scale", labels=("joints_cam",))
def root_scale(inputs: LossInputs) -> Ratio:
    """Absolute error of the logarithm of the image scale at the root: about the relative error of the root's depth."""
    _, truth = _true_root(inputs)
    return mean_over_present(
        inputs, (inputs.prediction.estimate.scale_px_per_m.log() - truth.log()).abs(), "joints_cam"
    )


def _true_root(inputs: LossInputs) -> tuple[Float[Tensor, "B 2"], Float[Tensor, " B"]]:
    """Return (root_px, scale_px_per_m) of the annotated root; finite placeholders for samples without the label."""
    root_cam = inputs.labels["joints_cam"][:, ROOT]
    in_view = torch.where(inputs.present["joints_cam"][:, None], root_cam, root_cam.new_tensor([0.0, 0.0, 1.0]))
    return measure_root(in_view, inputs.K)


def _confidence(inputs: LossInputs) -> Float[Tensor, "B 21"]:
    """Return the detector's confidence in each keypoint, 0 for samples without keypoints."""
    present = inputs.present["keypoints_px"] & inputs.present["keypoints_confidence"]
    return inputs.labels["keypoints_confidence"] * (present & inputs.present["image"])[:, None]
