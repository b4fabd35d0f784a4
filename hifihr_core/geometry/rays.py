"""2D keypoints as rays, seen by a virtual camera that looks straight at them.

A hand at the border of a photo looks turned although it is not. Turning the camera towards the hand takes that away, so
that one pattern of rays means one pose wherever the hand stands; the turn is undone on the result.
"""

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.geometry.cameras import rays_through

#: Smallest half extent of a pattern of rays, so that one keypoint alone still gives finite numbers.
_MIN_EXTENT = 1e-3


@dataclass(frozen=True)
class RayPattern:
    """Keypoints on the image plane of a virtual camera that looks at their middle.

    On the plane z = 1 of the virtual camera, keypoint n stands at ``center + extent * points[n]``; `extent` is the half
    size of the pattern's box, the tangent of half the angle the hand covers, and `center` is near the origin. Points
    without confidence are 0. `R_virtual_cam` turns camera-frame vectors into the virtual camera's frame.
    """

    points: Float[Tensor, "B N 2"]
    extent: Float[Tensor, " B"]
    center: Float[Tensor, "B 2"]
    R_virtual_cam: Float[Tensor, "B 3 3"]


def look_at_keypoints(
    keypoints_px: Float[Tensor, "B N 2"], confidence: Float[Tensor, "B N"], K: Float[Tensor, "B 3 3"]
) -> RayPattern:
    """Turn a virtual camera to the middle of the box of the keypoints that have confidence.

    A sample without any confident keypoint looks straight ahead, with all points 0.
    """
    rays = rays_through(keypoints_px, K)
    seen = confidence > 0
    R_virtual_cam = rotation_to_axis(_middle(rays[..., :2], seen))
    turned = rays @ R_virtual_cam.mT
    plane = turned[..., :2] / turned[..., 2:].clamp_min(1e-6)
    center = _middle(plane, seen)  # not quite 0: a box is not symmetric under perspective
    offset = torch.where(seen[..., None], plane - center[:, None], 0.0)
    extent = offset.abs().amax(dim=(1, 2)).clamp_min(_MIN_EXTENT)
    return RayPattern(offset / extent[:, None, None], extent, center, R_virtual_cam)


def rotation_to_axis(direction: Float[Tensor, "B 2"]) -> Float[Tensor, "B 3 3"]:
    """Return the smallest rotation that takes the ray (x, y, 1) to the optical axis (0, 0, 1)."""
    ray = torch.nn.functional.normalize(torch.cat((direction, torch.ones_like(direction[:, :1])), dim=1), dim=1)
    axis = torch.zeros_like(ray)
    axis[:, 2] = 1.0
    cross = torch.linalg.cross(ray, axis)
    sine = cross.norm(dim=1, keepdim=True)
    angle = torch.atan2(sine, ray[:, 2:])
    return roma.rotvec_to_rotmat(cross / sine.clamp_min(1e-12) * angle)


def _middle(points: Float[Tensor, "B N 2"], seen: Tensor) -> Float[Tensor, "B 2"]:
    """Return the middle of the box round the seen points; the origin where none is seen."""
    far = torch.finfo(points.dtype).max
    low = torch.where(seen[..., None], points, far).amin(dim=1)
    high = torch.where(seen[..., None], points, -far).amax(dim=1)
    return torch.where(seen.any(dim=1, keepdim=True), (low + high) / 2, 0.0)
