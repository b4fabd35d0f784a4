"""Fit the free hand's armature: weights with which sixteen bones pose the surface like the hand's own 33 bones.

    python tools/bake_armature.py

Every vertex gets at most four bones, with positive weights that sum to 1 and bring it closest to its position in the
model over sampled poses and shapes (least squares). Run it after bake_hand.py; it takes seconds. It prints the error on
poses that were not used for the fit.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import nnls

from hifihr_core.files import write_atomically
from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.hands.anny.bones import save_bone_weights
from hifihr_core.hands.anny.rig import ANGLES

#: The flat hand to bind to: anatomical angles in degrees, slightly bent so that the fingers look relaxed.
_BIND_DEG = {"mcp_flexion": 5.0, "pip_flexion": 8.0, "dip_flexion": 4.0}
_BONES = 4


def main() -> None:
    """Fit, write, and report the error on unseen poses in millimetres."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("hifihr_core/hands/data/anny_bones.npz"))
    parser.add_argument("--poses", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pose = bind_pose(arguments.out.with_name("anny_hand.npz"))
    hand = load_hand("anny", texture_px=32).double()
    with write_atomically(arguments.out) as part:  # a first file, so that the hand has bones to fit
        save_bone_weights(part, pose, np.eye(21)[np.zeros(hand.num_vertices, dtype=int)])
    seen, fresh = (draw(hand, arguments.poses, seed) for seed in (arguments.seed, arguments.seed + 1))
    weights = fit(*seen)
    with write_atomically(arguments.out) as part:
        save_bone_weights(part, pose, weights)
    error_mm = 1e3 * np.linalg.norm(np.einsum("vn,pvnx->pvx", weights, fresh[0]) - fresh[1], axis=-1)
    worst = np.percentile(error_mm, 99)
    print(f"mean {error_mm.mean():.3f} mm, 99 % below {worst:.2f} mm, highest {error_mm.max():.1f} mm")


def bind_pose(hand_file: Path) -> np.ndarray:
    """Return the angles of the flat hand, radians from the rest pose; the thumb keeps its rest pose."""
    with np.load(hand_file) as archive:
        rest = archive["rest_angles"]
    wanted = [np.radians(_BIND_DEG.get(name.partition("_")[2], 0.0)) for name in ANGLES]
    thumb = [name.startswith("thumb") for name in ANGLES]
    return np.where(thumb, 0.0, np.array(wanted) - rest)


def draw(hand: HandModel, poses: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where each bone alone would move every vertex (P, V, 21, 3), and its position in the model (P, V, 3)."""
    drawn = hand.sample_parameters(poses, generator=torch.Generator().manual_seed(seed))
    parameters = HandParameters(torch.zeros(poses, 3).double(), drawn.pose.double(), drawn.shape.double())
    armature = hand.armature(parameters)
    assert armature is not None
    motions = armature.T_root_bone @ torch.linalg.inv(armature.T_bind_bone)
    carried = torch.einsum("pnxy,pvy->pvnx", motions[..., :3, :3], armature.bind_vertices) + motions[:, None, :, :3, 3]
    return carried.numpy(), hand(parameters).vertices.numpy()


def fit(carried: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Return the weights (V, 21); fingertip joints have none."""
    ends = [4, 8, 12, 16, 20]
    misses = np.delete(carried - vertices[:, :, None], ends, axis=2)
    weights = np.stack([_fit_vertex(misses[:, v]) for v in range(misses.shape[1])])
    return np.insert(weights, [end - k for k, end in enumerate(ends)], 0.0, axis=1)


def _fit_vertex(misses: np.ndarray) -> np.ndarray:
    """Return weights w >= 0 with sum 1 and at most four entries that minimise sum_n w_n * misses[:, n]."""
    square = np.einsum("pnx,pmx->nm", misses, misses)
    full = _simplex(square)
    kept = np.sort(np.argsort(-full)[:_BONES])
    weights = np.zeros(len(full))
    weights[kept] = _simplex(square[np.ix_(kept, kept)])
    return weights


def _simplex(square: np.ndarray) -> np.ndarray:
    """Return the w >= 0 with sum 1 and the smallest ``w @ square @ w``."""
    root = np.linalg.cholesky(square + (1e-9 + 1e-9 * np.trace(square)) * np.eye(len(square))).T
    stiff = 1e3 * np.linalg.norm(root)
    found, _ = nnls(np.vstack((root, np.full(len(root), stiff))), np.append(np.zeros(len(root)), stiff))
    return found / found.sum()


if __name__ == "__main__":
    main()
