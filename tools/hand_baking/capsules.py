"""A coarse hand of 16 capsules on its bones, to measure how deeply parts penetrate each other."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hifihr_core.hands.anny.rig import HALVED, JOINTS, PARENTS


@dataclass(frozen=True)
class Capsules:
    """Capsules attached to bones, and the pairs that can touch."""

    bones: Tensor  # (C,)
    starts: Tensor  # (C, 3) rest pose
    ends: Tensor  # (C, 3)
    radii: Tensor  # (C,)
    pairs: Tensor  # (2, M)

    def depth(self, motions: Tensor) -> Tensor:
        """Return (N, M): the penetration depth of every pair of capsules, metres; negative if they are apart."""
        turn, shift = motions[:, self.bones].split((3, 1), dim=-1)
        start = (turn @ self.starts[..., None] + shift)[..., 0]
        end = (turn @ self.ends[..., None] + shift)[..., 0]
        a, b = self.pairs
        gap = _segment_distance(start[:, a], end[:, a], start[:, b], end[:, b])
        return self.radii[a] + self.radii[b] - gap


def fit_capsules(vertices: np.ndarray, weights: np.ndarray, joints: np.ndarray, tips: np.ndarray) -> Capsules:
    """Fit one capsule to the skin of every finger bone, and four to the palm."""
    owner = _owners(weights)
    ends = {
        JOINTS.index(n): tips[k] for k, n in enumerate(("thumb_ip", "index_dip", "middle_dip", "ring_dip", "pinky_dip"))
    }
    rows, chains = [], []
    for j, name in enumerate(JOINTS):
        if name == "palm" or (name.endswith("_cmc") and name != "thumb_cmc"):
            continue
        end = ends[j] if j in ends else joints[PARENTS.index(j)]
        rows.append((j, *_fit(vertices[owner == j], joints[j], end, at_tip=j in ends)))
        chains.append(name.partition("_")[0])
    for finger, bone in (("index", "palm"), ("middle", "palm"), ("ring", "ring_cmc"), ("pinky", "pinky_cmc")):
        rows.append((JOINTS.index(bone), *_palm(vertices, owner, joints, finger)))
        chains.append("palm")
    bones, starts, stops, radii = zip(*rows, strict=True)
    names = [JOINTS[b] for b in bones]
    return Capsules(
        bones=torch.tensor(bones),
        starts=torch.as_tensor(np.stack(starts), dtype=torch.float32),
        ends=torch.as_tensor(np.stack(stops), dtype=torch.float32),
        radii=torch.tensor(radii, dtype=torch.float32),
        pairs=torch.tensor(_pairs(names, chains)).T,
    )


def _pairs(names: list[str], chains: list[str]) -> list[tuple[int, int]]:
    """Return the pairs that can touch: not two bones of one finger, nor a finger's first bone and its palm bone."""
    pairs = []
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            if chains[a] == chains[b]:
                continue
            rooted = "palm" in (chains[a], chains[b]) and (names[a].endswith(("mcp", "thumb_cmc")))
            pairs += [] if rooted else [(a, b)]
    return pairs


def _fit(skin: np.ndarray, start: np.ndarray, end: np.ndarray, *, at_tip: bool) -> tuple[np.ndarray, np.ndarray, float]:
    length = np.linalg.norm(end - start)
    along = (end - start) / length
    height = (skin - start) @ along
    middle = (height > 0.2 * length) & (height < 0.85 * length)
    side = skin[middle] - start - height[middle, None] * along
    centre = (side.max(0) + side.min(0)) / 2
    radius = 0.95 * float(np.median(np.linalg.norm(side - centre, axis=1)))
    stop = end - along * radius if at_tip else end
    return start + centre, stop + centre * (0.6 if at_tip else 1.0), radius


def _palm(
    vertices: np.ndarray, owner: np.ndarray, joints: np.ndarray, finger: str
) -> tuple[np.ndarray, np.ndarray, float]:
    knuckle = joints[JOINTS.index(f"{finger}_mcp")]
    skin = vertices[
        np.isin(owner, [j for j, n in enumerate(JOINTS) if n == "palm" or n.endswith("g_cmc") or n == "pinky_cmc"])
    ]
    near = skin[(np.abs(skin[:, 0] - 0.85 * knuckle[0]) < 0.008) & (np.abs(skin[:, 1] - 0.75 * knuckle[1]) < 0.02)]
    low, high = np.quantile(near[:, 2], (0.08, 0.92))
    radius = 0.47 * float(high - low)
    middle = float(high + low) / 2
    start = np.array([0.55 * knuckle[0], 0.45 * knuckle[1], middle])
    return start, np.array([knuckle[0], 0.93 * knuckle[1], middle]), radius


def _owners(weights: np.ndarray) -> np.ndarray:
    """Return the bone (of 18) to which every vertex belongs; half-way bones count for their joint."""
    full = weights[:, : len(JOINTS)].copy()
    for k, j in enumerate(HALVED):
        full[:, j] += weights[:, len(JOINTS) + k] / 2
        full[:, PARENTS[j]] += weights[:, len(JOINTS) + k] / 2
    return full.argmax(1)


def _segment_distance(p: Tensor, q: Tensor, r: Tensor, s: Tensor) -> Tensor:
    """Return the distance between segments pq and rs (Ericson, Real-Time Collision Detection, 5.1.9)."""
    u, v, w = q - p, s - r, p - r
    a, e, f = (u * u).sum(-1), (v * v).sum(-1), (v * w).sum(-1)
    b, c = (u * v).sum(-1), (u * w).sum(-1)
    x = ((b * f - c * e) / (a * e - b * b).clamp(min=1e-12)).clamp(0, 1)
    y = ((b * x + f) / e).clamp(0, 1)
    x = ((b * y - c) / a).clamp(0, 1)
    between = w + x[..., None] * u - y[..., None] * v
    return (between**2).sum(-1).add(1e-12).sqrt()
