"""The bank of gestures: variations of named gestures, adjusted so that pads touch and no parts intersect."""

from dataclasses import dataclass

import numpy as np
import torch
from hand_baking.capsules import Capsules, fit_capsules
from hand_baking.gestures import GESTURES, TARGETS, anatomical
from hand_baking.rig import Rig
from torch import Tensor

from hifihr_core.hands.anny.rig import ANGLES, JOINTS, PARENTS, bone_motions, cross_matrices
from hifihr_core.hands.skinning import move_joints, skin_planar
from hifihr_core.skeleton import FINGERS

PATHS = 2048
PRIOR_SIZE = 12
_ROUNDS, _DRAWN, _STEPS = 4, 700, 110
#: Depth, metres, to which capsules may penetrate each other, since skin yields that much.
_SOFT_M = 0.0025
_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class BakedHand:
    """Everything needed to pose the hand."""

    vertices: np.ndarray
    rig: Rig
    weights: np.ndarray
    faces: np.ndarray
    tips: np.ndarray
    shape_basis: np.ndarray
    joint_basis: np.ndarray

    def motions(self, angles: Tensor) -> Tensor:
        """Return the motions (N, 33, 3, 4) of the mean hand's bones for angles relative to the rest pose."""
        joints = torch.as_tensor(self.rig.joints, dtype=angles.dtype).expand(len(angles), -1, -1)
        generators = cross_matrices(torch.as_tensor(self.rig.axes, dtype=angles.dtype))
        return bone_motions(angles, joints, generators)

    def pose(self, angles: np.ndarray, shape: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return posed vertices (N, V, 3) and joints (N, 18, 3); of the mean shape if `shape` is None."""
        shape = np.zeros((len(angles), len(self.shape_basis))) if shape is None else shape
        rest = torch.as_tensor(self.vertices + np.einsum("nk,kvx->nvx", shape, self.shape_basis))
        joints = torch.as_tensor(self.rig.joints + np.einsum("nk,kjx->njx", shape, self.joint_basis))
        generators = cross_matrices(torch.as_tensor(self.rig.axes))
        motions = bone_motions(torch.as_tensor(angles, dtype=torch.float64), joints, generators)
        vertices = skin_planar(rest.transpose(1, 2), motions, torch.as_tensor(self.weights).T)
        return vertices.transpose(1, 2).numpy(), move_joints(motions[:, : len(JOINTS)], joints).numpy()


def gesture_bank(hand: BakedHand, seed: int) -> np.ndarray:
    """Return (PATHS, 2, 24): pairs of adjusted poses, without intersections on the straight path between them."""
    rng = np.random.default_rng(seed)
    capsules = fit_capsules(hand.vertices, hand.weights, hand.rig.joints, hand.vertices[hand.tips])
    touch = _touch_points(hand)
    pool, names = [], []
    for _ in range(_ROUNDS):
        drawn, chosen = _draw(hand.rig, rng, _DRAWN)
        settled, depth = _settle(hand, capsules, touch, drawn, chosen)
        pool.append(settled[depth < _SOFT_M])
        names += [name for name, d in zip(chosen, depth, strict=True) if d < _SOFT_M]
    poses = np.concatenate(pool)
    kept, total = len(poses), _ROUNDS * _DRAWN
    fewest = sorted((names.count(name), name) for name in GESTURES)[:4]
    print(f"settled poses kept: {kept} of {total}; fewest:", ", ".join(f"{name} {count}" for count, name in fewest))
    bank: list[np.ndarray] = []
    while len(bank) < PATHS:
        ends = poses[rng.integers(kept, size=(1024, 2))]
        # Half of the paths stay near one pose, the others lead to another gesture.
        short = rng.random(1024) < 0.5
        ends[short, 1] = ends[short, 0] + 0.25 * (ends[short, 1] - ends[short, 0])
        walked = np.stack([(1 - s) * ends[:, 0] + s * ends[:, 1] for s in _SHARES], axis=1)
        depth = _depths(hand, capsules, walked.reshape(-1, len(ANGLES))).reshape(len(ends), -1).max(1)
        bank += list(ends[depth < 1.2 * _SOFT_M])
    return np.stack(bank[:PATHS])


def gaussian(bank: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (P,), basis (Z, P) and whiten (P, Z) of the poses on the paths."""
    poses = np.concatenate([(1 - s) * bank[:, 0] + s * bank[:, 1] for s in _SHARES])
    mean = poses.mean(0)
    values, vectors = np.linalg.eigh(np.cov(poses - mean, rowvar=False))
    order = np.argsort(-values)[:PRIOR_SIZE]
    print(f"pose prior: {PRIOR_SIZE} directions hold {values[order].sum() / values.sum():.3f} of the variance")
    std = np.sqrt(values[order])
    return mean, vectors[:, order].T * std[:, None], vectors[:, order] / std


def _draw(rig: Rig, rng: np.random.Generator, count: int) -> tuple[np.ndarray, list[str]]:
    """Sample varied gestures: a common variation, one per finger, one per angle; DIP follows PIP as in real hands."""
    table = list(GESTURES)
    share = np.array([GESTURES[name].weight for name in table])
    chosen = [table[k] for k in rng.choice(len(table), size=count, p=share / share.sum())]
    base = np.stack([anatomical(GESTURES[name]) for name in chosen])
    loose = np.array([GESTURES[name].loose for name in chosen])[:, None]
    flexes = np.array(["flexion" in name for name in ANGLES])
    finger = np.array([FINGERS.index(name.partition("_")[0]) for name in ANGLES])
    common = rng.normal(0, np.radians(6), (count, 1)) * flexes
    own = rng.normal(0, np.radians(7), (count, 5))[:, finger] * flexes
    single = rng.normal(0, 1, (count, len(ANGLES))) * np.radians(np.where(flexes, 4.5, 3.5))
    varied = base + loose * (common + own + single) - rig.rest_angles
    return np.clip(varied, rig.limits[:, 0], rig.limits[:, 1]), chosen


def _settle(
    hand: BakedHand, capsules: Capsules, touch: tuple[list[int], Tensor], drawn: np.ndarray, chosen: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Adjust poses until touching parts meet and none intersect; return them and their penetration depth, metres."""
    start = torch.as_tensor(drawn, dtype=torch.float32)
    angles = start.clone().requires_grad_()
    low, high = torch.as_tensor(hand.rig.limits, dtype=torch.float32).unbind(1)
    wanted = torch.tensor([[t in GESTURES[name].touch for t in TARGETS] for name in chosen], dtype=start.dtype)
    optimizer = torch.optim.Adam([angles], lr=0.025)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        motions = hand.motions(angles)
        entered = (capsules.depth(motions) - 0.4 * _SOFT_M).clamp(min=0)
        gap = _gaps(motions, touch)
        loss = 6e4 * (entered**2).sum() + 4e3 * (wanted * gap**2).sum() + 0.6 * ((angles - start) ** 2).sum()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            angles.copy_(torch.maximum(torch.minimum(angles, high), low))
    settled = angles.detach().double().numpy()
    return settled, _depths(hand, capsules, settled)


def _depths(hand: BakedHand, capsules: Capsules, poses: np.ndarray) -> np.ndarray:
    return capsules.depth(hand.motions(torch.as_tensor(poses, dtype=torch.float32))).amax(1).numpy()


def _touch_points(hand: BakedHand) -> tuple[list[int], Tensor]:
    """Return the bones and rest points of the thumb's pad and then of everything in `TARGETS`."""
    bones, points = [], []
    for name, (joint, direction) in {"thumb": ("thumb_ip", "pad"), **TARGETS}.items():
        k = FINGERS.index(joint.partition("_")[0])
        j = JOINTS.index(joint)
        start = hand.rig.joints[j]
        end = hand.vertices[hand.tips[k]] if j not in PARENTS else hand.rig.joints[PARENTS.index(j)]
        along = (end - start) / np.linalg.norm(end - start)
        back = hand.rig.backs[k] - along * (hand.rig.backs[k] @ along)
        away = {"pad": -back, "back": back, "side": np.cross(back, along)}[direction]
        offset = hand.vertices - (0.45 * start + 0.55 * end)
        side = offset - (offset @ along)[:, None] * along
        near = (np.abs(offset @ along) < 0.004) & (np.linalg.norm(side, axis=1) < 0.014)
        if not near.any():
            raise ValueError(f"no skin around the middle of {joint}, so {name} has no touch point")
        bones.append(j)
        points.append(hand.vertices[np.argmax(np.where(near, side @ away, -1.0))])
    return bones, torch.as_tensor(np.stack(points), dtype=torch.float32)


def _gaps(motions: Tensor, touch: tuple[list[int], Tensor]) -> Tensor:
    """Return (N, targets) distances, metres, from the thumb's pad."""
    bones, points = touch
    placed = (motions[:, bones, :, :3] @ points[..., None])[..., 0] + motions[:, bones, :, 3]
    return ((placed[:, 1:] - placed[:, :1]) ** 2).sum(-1).add(1e-8).sqrt()
