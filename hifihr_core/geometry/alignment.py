"""Align predicted points with true ones before comparison: Procrustes, and scale with translation.

Both are as in the official evaluators of FreiHAND and HO-3D. Their Procrustes accepts any orthogonal matrix from the
SVD, including reflections, so a mirrored hand aligns without error; `proper=True` forbids reflections.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

#: Added to both Frobenius norms by the official evaluators; it matters only for nearly coincident points.
NORM_OFFSET = 1e-8


@dataclass(frozen=True)
class Similarity:
    """One similarity transform per sample: ``target ~ scale * rotation @ (source - source_center) + target_center``."""

    rotation: Float[Tensor, "B 3 3"]
    scale: Float[Tensor, " B"]
    source_center: Float[Tensor, "B 3"]
    target_center: Float[Tensor, "B 3"]

    def __call__(self, points: Float[Tensor, "B N 3"]) -> Float[Tensor, "B N 3"]:
        """Map any points from the frame of the source to that of the target."""
        centered = (points - self.source_center[:, None]) * self.scale[:, None, None]
        return centered @ self.rotation.transpose(1, 2) + self.target_center[:, None]


def procrustes(source: Float[Tensor, "B N 3"], target: Float[Tensor, "B N 3"], *, proper: bool = False) -> Similarity:
    """Fit the least-squares similarity from `source` to `target`.

    Let A and P be the centred target and source, and UWV' the SVD of (A/|A|)'(P/|P|). Then rotation = UV' and scale =
    trace(W) |A| / |P| (Schoenemann 1966; `align_w_scale` of both official evaluators). `proper` flips the direction of
    the smallest singular value if UV' is a reflection (Umeyama 1991), which the official scores do not do.
    Coincident source points are aligned to the centre of the target. For scoring only: do not differentiate through it.
    """
    source_center, target_center = source.mean(dim=1), target.mean(dim=1)
    source_0, target_0 = source - source_center[:, None], target - target_center[:, None]
    source_norm = torch.linalg.matrix_norm(source_0) + NORM_OFFSET
    target_norm = torch.linalg.matrix_norm(target_0) + NORM_OFFSET
    covariance = (target_0 / target_norm[:, None, None]).transpose(1, 2) @ (source_0 / source_norm[:, None, None])
    u, singular, vt = torch.linalg.svd(covariance)
    if proper:
        signs = torch.ones_like(singular)
        signs[:, 2] = torch.where(torch.linalg.det(u @ vt) < 0, -1.0, 1.0)
        u, singular = u * signs[:, None], singular * signs
    return Similarity(
        rotation=u @ vt,
        scale=singular.sum(dim=1) * target_norm / source_norm,
        source_center=source_center,
        target_center=target_center,
    )


def align_scale_translation(
    source: Float[np.ndarray, "B J 3"], target: Float[np.ndarray, "B J 3"], *, anchor: int, reference: int
) -> Float[np.ndarray, "B J 3"]:
    """Scale `source` to the true length of the bone anchor-reference, and move the anchor to its true position.

    HO-3D's second alignment (`align_sc_tr` of its evaluator), with the wrist as anchor and the middle MCP as
    reference. A predicted bone of length zero counts as one metre. The PCK at threshold 0 counts errors that are
    exactly zero, so the last digit of a perfect prediction matters. Therefore the order and rounding of the operations
    are the official ones, in numpy (torch's square root is not correctly rounded on every machine).
    """
    source_length = distance(source[:, reference], source[:, anchor])[:, None, None]
    target_length = distance(target[:, reference], target[:, anchor])[:, None, None]
    scaled = source / np.where(source_length > 0, source_length, 1.0) * target_length
    return scaled - scaled[:, anchor, None] + target[:, anchor, None]


def distance(a: Float[np.ndarray, "*B 3"], b: Float[np.ndarray, "*B 3"]) -> Float[np.ndarray, "*B"]:
    """Return the Euclidean distances between points, with the rounding of the official evaluators."""
    return np.sqrt(np.square(a - b).sum(axis=-1))
