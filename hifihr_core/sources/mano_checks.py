"""Check whether a dataset's joints are MANO's: this confirms how joints are defined, and detects outdated downloads.

Users install MANO themselves. Without it, and for data whose vertices are not MANO's, these checks are reported as
skipped. Torch is imported only when a check runs.
"""

import numpy as np

from hifihr_core.assets.store import is_installed
from hifihr_core.shards.schema import CheckFacts
from hifihr_core.skeleton import ROOT
from hifihr_core.sources.checks import skipped, verdict

NAME = "MANO joints"
_MISSING = "MANO is not installed (`hifihr assets import mano-right PATH`)"


def reason_to_skip(*, stand_in: bool) -> str | None:
    """Return why MANO cannot be used, or None."""
    if stand_in:
        return "the vertices of this synthetic dataset are not MANO's"
    return None if is_installed("mano-right") else _MISSING


def regressed_joints(vertices: np.ndarray, joints_cam: np.ndarray, *, stand_in: bool) -> CheckFacts:
    """Check that MANO's regressor, with FreiHAND's tip vertices, gives `joints_cam` within 0.5 mm on average.

    `vertices` are (B, 778, 3) in the camera frame, metres. FreiHAND downloads from before October 2019 use a different
    MANO and fail here.
    """
    if reason := reason_to_skip(stand_in=stand_in):
        return skipped(NAME, reason)
    import torch

    from hifihr_core.hands.mano.model import Mano

    hand = _load(Mano, joints="freihand")
    found = torch.einsum("bvc,vj->bjc", torch.from_numpy(np.asarray(vertices, np.float32)), hand.joint_weights)
    return _compare(
        found.numpy(),
        joints_cam,
        limit_mm=0.5,
        cause="the download may be from before October 2019, with another version of MANO; download it again",
    )


def posed_joints(pose: np.ndarray, shape: np.ndarray, joints_cam: np.ndarray, *, stand_in: bool) -> CheckFacts:
    """Check that MANO, posed with `pose` and `shape`, gives HO-3D's joints within 1 mm on average, root-aligned.

    `pose` is (B, 48) axis-angle, zero for the flat hand, the global rotation first and in our camera's axes; `shape` is
    (B, 10).
    """
    if reason := reason_to_skip(stand_in=stand_in):
        return skipped(NAME, reason)
    _, found = pose_mano(pose, shape)
    rooted = joints_cam - joints_cam[:, ROOT : ROOT + 1]
    return _compare(found, rooted, limit_mm=1.0, cause="the joint order, the axes or the mean pose may not be HO-3D's")


def pose_mano(pose: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (vertices, joints) of HO-3D's hands in the root frame, metres; `pose` and `shape` as in `posed_joints`."""
    import torch

    from hifihr_core.hands import HandParameters
    from hifihr_core.hands.mano.model import Mano

    hand = _load(Mano, joints="ho3d", flat_hand=True)
    turned, bent, betas = (torch.from_numpy(np.asarray(v, np.float32)) for v in (pose[:, :3], pose[:, 3:], shape))
    with torch.no_grad():
        posed = hand(HandParameters(turned, bent, betas))
    return posed.vertices.numpy(), posed.joints.numpy()


def mano_faces() -> np.ndarray:
    """Return the triangles of MANO's surface as vertex indices."""
    from hifihr_core.hands.mano.model import Mano

    return _load(Mano).faces.numpy()


def _load(kind: type, **options: object):
    from hifihr_core.hands import load_hand

    hand = load_hand("mano", **options)  # type: ignore[arg-type]
    assert isinstance(hand, kind)
    return hand


def _compare(found: np.ndarray, joints: np.ndarray, *, limit_mm: float, cause: str) -> CheckFacts:
    whole = np.isfinite(found).all(axis=(1, 2)) & np.isfinite(joints).all(axis=(1, 2))
    distances = np.linalg.norm(found[whole] - joints[whole], axis=-1) * 1000
    mean = float(distances.mean()) if distances.size else 0.0
    detail = f"mean distance {mean:.3f} mm, limit {limit_mm} mm"
    return verdict(NAME, mean < limit_mm, detail if mean < limit_mm else f"{detail}; {cause}")
