"""Cut pictures for shards: masks of surfaces, crops around the hand, and mirroring of left hands.

Pixels as in docs/conventions.md: (row i, column j) is centred on (j + 0.5, i + 0.5), so cutting the first column x0
moves u by -x0, and mirroring a picture of width W moves u to W - u.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.geometry.projection import project_points
from hifihr_core.samples import LABELS, Moves


def fill_faces(vertices_px: np.ndarray, faces: np.ndarray, *, width: int, height: int) -> np.ndarray:
    """Return the Boolean mask of a projected surface, with edges accurate to 1/16 of a pixel."""
    mask = np.zeros((height, width), np.uint8)
    # OpenCV centres the first pixel on (0, 0), and takes fixed-point numbers with `shift` binary places.
    corners = np.round((vertices_px - 0.5) * 16).astype(np.int32)[faces]
    for triangle in corners:
        cv2.fillConvexPoly(mask, triangle, 1, shift=4)
    return mask > 0


def project(points_cam: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Project points in front of the camera to float32 pixels, computing in float64."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # non-finite values are caught later
        return project_points(points_cam.astype(np.float64), K.astype(np.float64)).astype(np.float32)


@dataclass(frozen=True)
class PixelBox:
    """A box in whole pixels, x0 <= x < x1 and y0 <= y < y1, inside a picture."""

    x0: int
    y0: int
    x1: int
    y1: int

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """Return the pixels inside the box."""
        return np.ascontiguousarray(pixels[self.y0 : self.y1, self.x0 : self.x1])

    def shift_K(self, K: np.ndarray) -> np.ndarray:
        """Return the camera matrix of the cut picture."""
        moved = K.astype(np.float64).copy()
        moved[:2] -= np.outer((self.x0, self.y0), moved[2])
        return moved

    def shift_labels(self, labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the labels of the cut picture; undetected keypoints stay (0, 0)."""
        return scale_labels(labels, shift_px=(-float(self.x0), -float(self.y0)))


def scale_labels(
    labels: Mapping[str, np.ndarray],
    *,
    scale: tuple[float, float] = (1.0, 1.0),
    shift_px: tuple[float, float] = (0.0, 0.0),
) -> dict[str, np.ndarray]:
    """Return the labels after every pixel (u, v) of their picture moves to ``scale * (u, v) + shift_px``."""

    def move(points_px: np.ndarray) -> np.ndarray:
        return (points_px * np.asarray(scale) + np.asarray(shift_px)).astype(np.float32)

    return _move(labels, _IN_PIXELS, move)


def crop_around(points_px: np.ndarray, *, width: int, height: int, factor: float = 3.0, least: int = 128) -> PixelBox:
    """Return a square of `factor` times the larger extent of the points, centred on their box, clipped at the border.

    The margin leaves room for augmentation in training, which rotates, scales and moves a smaller crop. The square is
    at least `least` pixels wide before it is clipped; clipped, it may be oblong, but has at least one pixel.
    Raises: DataError if a point is not finite, such as the projection of a joint at depth 0.
    """
    if not np.isfinite(points_px).all():
        raise DataError(
            "some joints project to non-finite pixel coordinates; check that K and the joints belong to this picture"
        )
    low, high = points_px.min(axis=0).astype(np.float64), points_px.max(axis=0).astype(np.float64)
    half = max(factor * float((high - low).max()), least) / 2
    x, y = ((low + high) / 2).tolist()
    x0 = min(max(int(np.floor(x - half)), 0), width - 1)
    y0 = min(max(int(np.floor(y - half)), 0), height - 1)
    x1 = max(min(int(np.ceil(x + half)), width), x0 + 1)
    y1 = max(min(int(np.ceil(y + half)), height), y0 + 1)
    return PixelBox(x0, y0, x1, y1)


def mirror_K(K: np.ndarray, *, width: int) -> np.ndarray:
    """Return K for the mirrored picture: cx' = W - cx, and the skew changes its sign."""
    mirrored = K.astype(np.float64).copy()
    mirrored[0, 1] = -mirrored[0, 1]
    mirrored[0, 2] = width - mirrored[0, 2]
    return mirrored


def mirror_labels(labels: Mapping[str, np.ndarray], *, width: int) -> dict[str, np.ndarray]:
    """Return the labels of the mirrored picture: x to -x in the camera frame, u to W - u in the picture.

    `global_orient` changes from R to M R M with M = diag(-1, 1, 1): the y and z components of its axis-angle vector
    change sign, as do those of every joint in an axis-angle `pose`. Undetected keypoints stay (0, 0).
    """

    def move(points_px: np.ndarray) -> np.ndarray:
        return np.stack((width - points_px[..., 0], points_px[..., 1]), axis=-1).astype(np.float32)

    return _move(labels, {**_IN_PIXELS, **_MIRRORED}, move)


#: The motion of pixel coordinates.
_Move = Callable[[np.ndarray], np.ndarray]


def _move(
    labels: Mapping[str, np.ndarray], rules: Mapping[Moves, Callable[[np.ndarray, _Move], np.ndarray]], move: _Move
) -> dict[str, np.ndarray]:
    """Apply to each label the rule for the way it moves; labels without a rule are unchanged.

    Raises: KeyError for a label that is not in `LABELS`.
    """
    kinds = {name: LABELS[name].moves for name in labels}
    return {name: rules[kinds[name]](value, move) if kinds[name] in rules else value for name, value in labels.items()}


def _found_px(points: np.ndarray, move: _Move) -> np.ndarray:
    return np.where((points == 0).all(axis=-1, keepdims=True), points, move(points))


def _box_px(box: np.ndarray, move: _Move) -> np.ndarray:
    corners = move(box.reshape(2, 2))
    return np.concatenate((corners.min(axis=0), corners.max(axis=0)))


def _cam(points: np.ndarray, _: _Move) -> np.ndarray:
    return points * np.asarray((-1, 1, 1), np.float32)


def _rotations(rotations: np.ndarray, _: _Move) -> np.ndarray:
    return (rotations.reshape(-1, 3) * np.asarray((1, -1, -1), np.float32)).reshape(rotations.shape)


def _light(light: np.ndarray, move: _Move) -> np.ndarray:
    return np.concatenate((light[:6], _cam(light[6:], move)))


def _sky(sky: np.ndarray, _: _Move) -> np.ndarray:
    """Mirror the light of the sky, which is (8, 3): RGB coefficients of eight polynomials of the normal (x, y, z).

    Those of polynomials odd in x change sign. The polynomials are x, y, z, xy, yz, xz, x^2 - y^2, 3 z^2 - 1.
    """
    return sky * np.asarray((-1, 1, 1, -1, 1, -1, 1, 1), np.float32)[:, None]


_IN_PIXELS: Mapping[Moves, Callable[[np.ndarray, _Move], np.ndarray]] = MappingProxyType(
    {"px": lambda points, move: move(points), "found_px": _found_px, "box_px": _box_px}
)
_MIRRORED: Mapping[Moves, Callable[[np.ndarray, _Move], np.ndarray]] = MappingProxyType(
    {"cam": _cam, "global_rotation": _rotations, "joint_rotations": _rotations, "light": _light, "sky": _sky}
)
