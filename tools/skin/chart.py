"""The texels of the free hand's chart: their positions on the hand, and the padding of the borders."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

#: How far, texels, the skin extends beyond the borders of the chart, so that filtering never reads the background.
PADDING_PX = 10


@dataclass(frozen=True)
class Chart:
    """Texels with skin. Row 0 of the map is v = 1; texels are numbered row after row."""

    size_px: int
    texels: np.ndarray  # (N,) numbers of the texels inside the chart
    faces: np.ndarray  # (N,) the face of each
    barycentric: np.ndarray  # (N, 3)
    padded: np.ndarray  # (M,) numbers of all texels to fill, inside and around
    nearest: np.ndarray  # (M,) the one of the N that each of them repeats

    def carry(self, corner_values: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Interpolate per-vertex values to the N texels."""
        return np.einsum("nc,nc...->n...", self.barycentric, corner_values[faces[self.faces]])


def rasterize(uvs: np.ndarray, faces_uvs: np.ndarray, size_px: int) -> Chart:
    """Find the face under the centre of every texel."""
    corners = np.stack((uvs[:, 0] * size_px - 0.5, (1 - uvs[:, 1]) * size_px - 0.5), axis=1)[faces_uvs]
    owner = np.full((size_px, size_px), -1)
    weights = np.zeros((size_px, size_px, 3))
    for face, (a, b, c) in enumerate(corners):
        low = np.maximum(np.floor(np.minimum(np.minimum(a, b), c)).astype(int), 0)
        high = np.minimum(np.ceil(np.maximum(np.maximum(a, b), c)).astype(int), size_px - 1)
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-12:
            continue
        second = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
        third = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
        first = 1 - second - third
        inside = (first >= -1e-9) & (second >= -1e-9) & (third >= -1e-9)
        owner[y[inside], x[inside]] = face
        weights[y[inside], x[inside]] = np.stack((first, second, third), axis=-1)[inside]
    return _with_padding(owner, weights, size_px)


def _with_padding(owner: np.ndarray, weights: np.ndarray, size_px: int) -> Chart:
    texels = np.flatnonzero(owner.ravel() >= 0)
    number = np.full(size_px * size_px, -1)
    number[texels] = np.arange(len(texels))
    distance, (rows, columns) = distance_transform_edt(owner < 0, return_indices=True)
    padded = np.flatnonzero(distance.ravel() <= PADDING_PX)
    source = (rows * size_px + columns).ravel()[padded]
    return Chart(
        size_px=size_px,
        texels=texels,
        faces=owner.ravel()[texels],
        barycentric=weights.reshape(-1, 3)[texels],
        padded=padded,
        nearest=number[source],
    )
