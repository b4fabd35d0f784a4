"""Consistency checks of a dataset's numbers; each check reports what it measured.

A failed check stops `prepare`: with wrong frames, units or joint orders, training would silently learn nonsense.
"""

from collections.abc import Sequence

import numpy as np

from hifihr_core.shards.schema import CheckFacts
from hifihr_core.skeleton import ROOT, SCALE_BONE
from hifihr_core.sources import cutting

_BLOCK = 2048
_NOTHING = "no annotation could be read"


def probe(count: int, wanted: int) -> np.ndarray:
    """Return at most `wanted` positions, evenly spaced over 0..count-1."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))


def verdict(name: str, good: bool, detail: str) -> CheckFacts:
    """Return the result of a check: passed if `good`, else failed."""
    return CheckFacts(name=name, status="passed" if good else "failed", detail=detail)


def skipped(name: str, reason: str) -> CheckFacts:
    """Return the result of a check that was skipped, with the reason."""
    return CheckFacts(name=name, status="skipped", detail=reason)


def reprojection(joints_cam: np.ndarray, K: np.ndarray, *, width: int, height: int, least: float = 0.99) -> CheckFacts:
    """Check that at least the fraction `least` of the joints is in front of the camera and projects into the picture.

    Poses with a non-finite joint are left out.
    """
    inside = total = 0
    for start in range(0, len(joints_cam), _BLOCK):
        joints = np.asarray(joints_cam[start : start + _BLOCK], np.float64)
        whole = np.isfinite(joints).all(axis=(1, 2))
        joints, camera = joints[whole], np.asarray(K[start : start + _BLOCK], np.float64)[whole]
        front = joints[..., 2] > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            homogeneous = np.einsum("bij,bnj->bni", camera, joints)
            points = homogeneous[..., :2] / homogeneous[..., 2:]
        inside += int((front & (points >= 0).all(-1) & (points[..., 0] <= width) & (points[..., 1] <= height)).sum())
        total += front.size
    if not total:
        return verdict("reprojection", False, _NOTHING)
    share = inside / total
    detail = f"{share:.2%} of the joints project into the picture, expected at least {least:.0%}"
    return verdict("reprojection", share >= least, detail)


def projected_labels(joints_cam: np.ndarray, K: np.ndarray, joints_px: np.ndarray, *, limit_px: float) -> CheckFacts:
    """Check that the camera projects the annotated 3D joints onto the annotated 2D joints."""
    if not len(joints_cam):
        return skipped("projection", _NOTHING)
    found = np.stack([cutting.project(joints, camera) for joints, camera in zip(joints_cam, K, strict=True)])
    error = float(np.median(np.linalg.norm(found - joints_px, axis=-1)))
    detail = f"2D joints and projected 3D joints are {error:.3f} px apart (median), limit {limit_px} px"
    return verdict("projection", error < limit_px, detail)


def bone_lengths(joints_cam: np.ndarray, scale: np.ndarray) -> CheckFacts:
    """Check that `scale`, in metres, is the length of the middle finger's proximal phalanx, to within a micrometre."""
    ends = np.asarray(joints_cam[:, SCALE_BONE, :], np.float64)
    errors = np.abs(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1) - scale)
    worst = float(np.nanmax(errors, initial=0.0))
    detail = f"`scale` and the length of bone 9-10 differ by up to {worst:.1e} m, limit 1e-06 m"
    return verdict("scale", worst < 1e-6, detail)


def principal_points(K: np.ndarray, image_px: int) -> CheckFacts:
    """Check that principal points are less than a quarter of the picture's side from its centre, in u and in v.

    How many of them are exactly at the centre is reported but not checked.
    """
    centre = np.asarray(K[:, :2, 2], np.float64)
    centred = float((np.abs(centre - image_px / 2) < 1e-3).all(axis=1).mean()) if len(centre) else 1.0
    furthest = float(np.nanmax(np.abs(centre - image_px / 2), initial=0.0))
    detail = f"{centred:.1%} at the centre of the picture, largest offset {furthest:.2f} px, limit {image_px / 4:g} px"
    return verdict("principal points", furthest < image_px / 4, detail)


def right_handed(joints_cam: np.ndarray) -> CheckFacts:
    """Check that most hands bend like right hands: a wrong sign of one axis would turn them all into left ones.

    With wrist w, index and pinky MCP i and p, a right hand's palm faces (i - w) x (p - w), and the fingertips bend
    to that side of the knuckles.
    """
    joints = np.asarray(joints_cam[probe(len(joints_cam), 2000)], np.float64)
    joints = joints[np.isfinite(joints).all(axis=(1, 2))]
    if not len(joints):
        return skipped("handedness", _NOTHING)
    palm = np.cross(joints[:, 5] - joints[:, 0], joints[:, 17] - joints[:, 0])
    bend = joints[:, (8, 12, 16, 20)].mean(axis=1) - joints[:, (5, 9, 13, 17)].mean(axis=1)
    side = np.einsum("bi,bi->b", palm, bend)
    share = float((side > 0).mean())
    return verdict("handedness", share > 0.5, f"{share:.1%} of the hands bend like right hands, expected over 50%")


def in_front(joints_cam: np.ndarray) -> CheckFacts:
    """Check that at least 99% of the hands are in front of the camera, 0.05 to 5 m away."""
    depth = np.asarray(joints_cam[:, ROOT, 2], np.float64)
    if not len(depth):
        return skipped("depth", _NOTHING)
    good = float(((depth > 0.05) & (depth < 5)).mean())
    detail = f"{good:.1%} of the hands are 0.05 to 5 m in front of the camera, expected at least 99%"
    return verdict("depth", good >= 0.99, detail)


def count(name: str, found: int, expected: Sequence[int], *, why_not: str | None = None) -> CheckFacts:
    """Check that the number of entries is one of the official numbers `expected`.

    `why_not` is the reason to skip the check, None to run it.
    """
    if why_not:
        return skipped(name, why_not)
    return verdict(name, found in expected, f"{found:,}, expected {' or '.join(f'{n:,}' for n in expected)}")
