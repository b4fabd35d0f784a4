"""Affine transforms of a picture: crops, rotations, flips, and the warp that applies them.

A transform `T_new_old` is a 3 x 3 affine that maps homogeneous pixels (u, v, 1) of the old picture to the new one, in
the half-pixel convention of docs/conventions.md; K follows by ``transform_K(K, T_new_old)``. Everything here is numpy
in float64, for one picture, except for `image_scales` and `opencv_matrices`; `hifihr_core.augmentation.moves`
transforms batches of labels.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

#: Below this scale a bilinear warp would skip source pixels, so the picture is first shrunk by area averaging.
ANTIALIAS_BELOW = 0.75

Affine = Float[np.ndarray, "3 3"]


def translation(shift_px: Float[np.ndarray, "2"]) -> Affine:
    """Return the transform that shifts every pixel by `shift_px` (u, v)."""
    transform = np.eye(3)
    transform[:2, 2] = shift_px
    return transform


def scaling(scale: float) -> Affine:
    """Return the transform that scales a picture by `scale` about its top-left corner."""
    return np.diag((scale, scale, 1.0))


def flip_horizontal(width: int) -> Affine:
    """Return the transform that mirrors a picture of `width` columns: u' = width - u."""
    return np.array([[-1.0, 0.0, float(width)], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def square_crop(center_px: Float[np.ndarray, "2"], side_px: float, *, image_px: int) -> Affine:
    """Return the transform from a picture to a square crop of it, `image_px` wide and high.

    The crop covers the square of `side_px` around `center_px`, which may extend outside the picture.
    Raises: ValueError if `side_px` is not positive.
    """
    if not side_px > 0:
        raise ValueError(f"side_px is {side_px}, expected a positive number of pixels")
    scale = image_px / side_px
    transform = np.diag((scale, scale, 1.0))
    transform[:2, 2] = image_px / 2 - scale * np.asarray(center_px)
    return transform


def square_around(box_px: Float[np.ndarray, "4"], *, scale: float = 1.0) -> tuple[Float[np.ndarray, "2"], float]:
    """Return (center_px, side_px) of a square centred on the box x0, y0, x1, y1.

    Its side is `scale` times the longer side of the box.
    """
    corners = np.asarray(box_px, dtype=np.float64).reshape(2, 2)
    return corners.mean(axis=0), float((corners[1] - corners[0]).max() * scale)


def box_around(points_px: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "4"]:
    """Return the bounding box x0, y0, x1, y1 of a set of points."""
    return np.concatenate((points_px.min(axis=0), points_px.max(axis=0)))


def transform_points(points_px: Float[np.ndarray, "N 2"], T_new_old: Affine) -> Float[np.ndarray, "N 2"]:
    """Map points from pixels of the old picture to pixels of the new one."""
    return points_px @ T_new_old[:2, :2].T + T_new_old[:2, 2]


def image_scale(T_new_old: Affine) -> float:
    """Return the factor by which the transform scales lengths: the square root of the factor for areas."""
    (a, b), (c, d) = T_new_old[:2, :2].tolist()
    return abs(a * d - b * c) ** 0.5


def opencv_matrix(T_new_old: Affine) -> Float[np.ndarray, "2 3"]:
    """Return the transform in OpenCV's convention, with the centre of the first pixel at (0, 0), not (0.5, 0.5)."""
    rows = T_new_old[:2].tolist()
    return np.array([(a, b, c + (0.5 * (a + b) - 0.5)) for a, b, c in rows])


def image_scales(T_new_old: Float[np.ndarray, "B 3 3"]) -> Float[np.ndarray, " B"]:
    """Return `image_scale` of each transform."""
    return np.abs(T_new_old[:, 0, 0] * T_new_old[:, 1, 1] - T_new_old[:, 0, 1] * T_new_old[:, 1, 0]) ** 0.5


def opencv_matrices(T_new_old: Float[np.ndarray, "B 3 3"]) -> Float[np.ndarray, "B 2 3"]:
    """Return `opencv_matrix` of each transform."""
    matrices = T_new_old[:, :2].copy()
    matrices[..., 2] += 0.5 * (matrices[..., 0] + matrices[..., 1]) - 0.5
    return matrices


def warp_image(
    image: UInt8[np.ndarray, "H W *C"],
    T_new_old: Affine,
    *,
    width: int,
    height: int,
    out: UInt8[np.ndarray, "h w *C"] | None = None,
    fill: tuple[int, ...] = (0, 0, 0, 0),
) -> UInt8[np.ndarray, "h w *C"]:
    """Warp a picture by `T_new_old`: bilinear, antialiased if it shrinks, with `fill` outside.

    Concretely, ``new[i, j]`` is the old picture at ``inv(T_new_old) @ (j + 0.5, i + 0.5, 1)``. The picture has up to
    four channels, which may be unrelated (for example, a mask as the fourth). `out`, if given, receives the result.
    """
    if image_scale(T_new_old) < ANTIALIAS_BELOW:
        image, T_new_old = _shrink(image, T_new_old, width, height)
    matrix = opencv_matrix(T_new_old)
    return cv2.warpAffine(
        image,
        matrix,
        (width, height),
        dst=out,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=fill,
    )


def _shrink(
    image: UInt8[np.ndarray, "H W *C"], T_new_old: Affine, width: int, height: int
) -> tuple[UInt8[np.ndarray, "h w *C"], Affine]:
    """Return the region that the warp uses, averaged down to about the new scale, and the transform from it to the new
    picture.
    """
    rows, columns = image.shape[:2]
    scale = image_scale(T_new_old)
    frame = np.array([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]])
    seen = transform_points(frame, np.linalg.inv(T_new_old))
    margin = 2.0 / scale  # for the warp's bilinear neighbours
    limit = np.array([columns, rows])
    low = np.clip(np.floor(seen.min(axis=0) - margin), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(seen.max(axis=0) + margin), low + 1, limit).astype(int)
    size = np.maximum(np.rint((high - low) * scale), 1).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    small = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    factor = size / (high - low)
    T_small_old = np.diag((*factor, 1.0)) @ translation(-low.astype(np.float64))
    return small, T_new_old @ np.linalg.inv(T_small_old)
