"""2D keypoints as rays in the frame of a virtual camera that points straight at them.

A hand at the border of a photo looks rotated although it is not. Rotating a virtual camera towards the hand corrects
this, so that a pattern of rays means the same pose wherever the hand is; the estimated pose is rotated back afterwards.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.geometry import turns
from hifihr_core.geometry.cameras import rays_through
from hifihr_core.skeleton import MIDDLE_JOINTS, WRIST

#: Smallest half extent of a pattern of rays, so that a single keypoint still gives finite numbers.
_MIN_EXTENT = 1e-3


@dataclass(frozen=True)
class RayPattern:
    """Keypoints on the image plane of a virtual camera that points at their centre.

    On the plane z = 1 of the virtual camera, keypoint n is at ``center + extent * points[n]``. `extent` is half the
    longer side of the keypoints' box, the tangent of half the angle that the hand covers; `center` is near the origin.
    Points of confidence 0 are 0. `R_virtual_cam` maps vectors from the camera's frame to that of the virtual camera;
    `roll` is the part of it that rotates the picture about the optical axis, the identity unless the pattern was made
    upright.
    """

    points: Float[Tensor, "B N 2"]
    extent: Float[Tensor, " B"]
    center: Float[Tensor, "B 2"]
    R_virtual_cam: Float[Tensor, "B 3 3"]
    roll: Float[Tensor, "B 2 2"]


def look_at_keypoints(
    keypoints_px: Float[Tensor, "B N 2"],
    confidence: Float[Tensor, "B N"],
    K: Float[Tensor, "B 3 3"],
    *,
    upright: bool = False,
) -> RayPattern:
    """Return the keypoints as seen by a virtual camera that points at the centre of their box.

    Keypoints of confidence 0 are ignored. With `upright`, the camera is also rolled so that the direction from the
    wrist to the mean of the four fingers' PIP joints points up in its picture, unless one of these joints is missing.
    If all keypoints have confidence 0, the camera is not rotated, and all points are 0.
    """
    rays = rays_through(keypoints_px, K)
    seen = confidence > 0
    R_virtual_cam = rotation_to_axis(_middle(rays[..., :2], seen))
    roll = _identity(rays)
    if upright:
        roll = _roll(rays @ R_virtual_cam.mT, seen)
        R_virtual_cam = _about_axis(roll) @ R_virtual_cam
    turned = rays @ R_virtual_cam.mT
    plane = turned[..., :2] / turned[..., 2:].clamp_min(1e-6)
    center = _middle(plane, seen)  # not quite 0: a box is not symmetric under perspective
    offset = torch.where(seen[..., None], plane - center[:, None], 0.0)
    extent = offset.abs().amax(dim=(1, 2)).clamp_min(_MIN_EXTENT)
    return RayPattern(offset / extent[:, None, None], extent, center, R_virtual_cam, roll)


def _identity(rays: Float[Tensor, "B N 3"]) -> Float[Tensor, "B 2 2"]:
    return torch.eye(2, dtype=rays.dtype, device=rays.device).expand(rays.shape[0], 2, 2)


def _roll(rays: Float[Tensor, "B N 3"], seen: Bool[Tensor, "B N"]) -> Float[Tensor, "B 2 2"]:
    """Return the rotation of the picture that makes each hand point up, towards -y; the identity if it is unknown."""
    plane = rays[..., :2] / rays[..., 2:].clamp_min(1e-6)
    up = torch.nn.functional.normalize(plane[:, MIDDLE_JOINTS].mean(dim=1) - plane[:, WRIST], dim=1)
    rows = torch.stack((torch.stack((-up[:, 1], up[:, 0]), dim=1), -up), dim=1)
    known = seen[:, (WRIST, *MIDDLE_JOINTS)].all(dim=1) & (up.norm(dim=1) > 0.5)
    return torch.where(known[:, None, None], rows, _identity(rays))


def _about_axis(roll: Float[Tensor, "B 2 2"]) -> Float[Tensor, "B 3 3"]:
    """Return the rotation about the optical axis that rotates the picture by `roll`."""
    R = torch.zeros(roll.shape[0], 3, 3, dtype=roll.dtype, device=roll.device)
    R[:, :2, :2], R[:, 2, 2] = roll, 1
    return R


def rotation_to_axis(direction: Float[Tensor, "B 2"]) -> Float[Tensor, "B 3 3"]:
    """Return the smallest rotation from the ray (x, y, 1) to the optical axis (0, 0, 1)."""
    ray = torch.nn.functional.normalize(torch.cat((direction, torch.ones_like(direction[:, :1])), dim=1), dim=1)
    axis = torch.zeros_like(ray)
    axis[:, 2] = 1.0
    cross = torch.linalg.cross(ray, axis)
    sine = cross.norm(dim=1, keepdim=True)
    angle = torch.atan2(sine, ray[:, 2:])
    return turns.rotvec_to_rotmat(cross / sine.clamp_min(1e-12) * angle)


def _middle(points: Float[Tensor, "B N 2"], seen: Tensor) -> Float[Tensor, "B 2"]:
    """Return the centre of the box around the points that are `seen`; the origin if none is."""
    far = torch.finfo(points.dtype).max
    low = torch.where(seen[..., None], points, far).amin(dim=1)
    high = torch.where(seen[..., None], points, -far).amax(dim=1)
    return torch.where(seen.any(dim=1, keepdim=True), (low + high) / 2, 0.0)
