"""Pinhole cameras: projection, its inverse, and the position of a hand.

Frame: OpenCV camera (+x right, +y down, +z forward), metres; pixel (row i, column j) is centred on
(u, v) = (j + 0.5, i + 0.5). K always belongs to the image in question.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def project(points_cam: Float[Tensor, "*B N 3"], K: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B N 2"]:
    """Project points to pixels: (u, v) = (K p)[:2] / (K p)[2].

    Points with z <= 0 have no meaningful pixel; the caller must exclude them.
    """
    homogeneous = points_cam @ K.transpose(-1, -2)
    return homogeneous[..., :2] / homogeneous[..., 2:]


def unproject(
    points_px: Float[Tensor, "*B N 2"], depth_m: Float[Tensor, "*B N"], K: Float[Tensor, "*B 3 3"]
) -> Float[Tensor, "*B N 3"]:
    """Return the points at `depth_m` (z, metres) on the rays through pixels: z K^-1 (u, v, 1)."""
    return rays_through(points_px, K) * depth_m[..., None]


def rays_through(points_px: Float[Tensor, "*B N 2"], K: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B N 3"]:
    """Return the rays K^-1 (u, v, 1) through pixels, with z = 1; the last row of K is (0, 0, 1).

    The upper left 2 x 2 part of K, which contains a rotation if the crop is rotated, is inverted in closed form, since
    that can be exported to ONNX.
    """
    u, v = (points_px - K[..., None, :2, 2]).unbind(-1)
    a, b, c, d = (K[..., i, j, None] for i in (0, 1) for j in (0, 1))
    determinant = a * d - b * c
    return torch.stack(((d * u - b * v) / determinant, (a * v - c * u) / determinant, torch.ones_like(u)), dim=-1)


def focal_px(K: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B"]:
    """Return the mean focal length (fx + fy) / 2, pixels, as in FreiHAND's annotations."""
    return (K[..., 0, 0] + K[..., 1, 1]) / 2


def place_root(
    root_px: Float[Tensor, "*B 2"], scale_px_per_m: Float[Tensor, "*B"], K: Float[Tensor, "*B 3 3"]
) -> Float[Tensor, "*B 3"]:
    """Return the root in the camera frame from its pixel and the image scale at its depth.

    A length of one metre at the root's depth covers `scale_px_per_m` pixels, so z = f / scale (FreiHAND's `mano.json`
    stores the root in this form); x and y follow from the ray through `root_px`.
    """
    depth_m = focal_px(K) / scale_px_per_m
    return unproject(root_px[..., None, :], depth_m[..., None], K)[..., 0, :]


def measure_root(
    root_cam: Float[Tensor, "*B 3"], K: Float[Tensor, "*B 3 3"]
) -> tuple[Float[Tensor, "*B 2"], Float[Tensor, "*B"]]:
    """Return (root_px, scale_px_per_m) of a root: the inverse of `place_root`."""
    root_px = project(root_cam[..., None, :], K)[..., 0, :]
    return root_px, focal_px(K) / root_cam[..., 2]


def transform_K(K: Float[Tensor, "*B 3 3"], T_new_old: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 3 3"]:
    """Return K for an image after the affine pixel transform `T_new_old` (crop, resize): K' = T K.

    `T_new_old` maps homogeneous (u, v, 1) of the old image to the new one, in the pixel convention of this module.
    """
    return T_new_old @ K


def K_from_focal(focal: float, *, width: int, height: int) -> Float[Tensor, "3 3"]:
    """Return K for an ideal camera: one focal length in pixels, principal point in the centre of the image."""
    return torch.tensor([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
