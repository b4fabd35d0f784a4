from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hifihr_core.exports.bvh import write_bvh
from hifihr_core.exports.clips import Clip
from hifihr_core.exports.textured_meshes import Rig
from hifihr_core.skeleton import JOINT_NAMES, PARENTS


@pytest.fixture
def rig() -> Rig:
    """Return 21 randomly rotated bones; every bone keeps its length."""
    draw = np.random.default_rng(3)
    local = np.tile(np.eye(4), (2, 21, 1, 1))
    local[0, :, :3, :3], local[1, :, :3, :3] = (Rotation.random(21, rng=draw).as_matrix() for _ in range(2))
    local[:, :, :3, 3] = draw.normal(size=(21, 3)) * 0.03
    world = local.copy()
    for bone, parent in enumerate(PARENTS):
        if parent >= 0:
            world[:, bone] = world[:, parent] @ local[:, bone]
    bind = np.linalg.inv(world[0, 0]) @ world[0]
    return Rig(JOINT_NAMES, PARENTS, np.zeros((1, 3)), bind, world[1], np.eye(21)[:1])


def heads_from_file(path: Path) -> list[np.ndarray]:
    """Return the joints of every frame as a reader of BVH computes them: root, then offsets turned by the channels."""
    words = path.read_text().split()
    offsets, parents, moving, stack = [], [], [], []
    for k, word in enumerate(words[: words.index("MOTION")]):
        if word in ("ROOT", "JOINT", "End"):
            parents.append(stack[-1] if stack else -1)
            stack.append(len(parents) - 1)
        elif word == "OFFSET":
            offsets.append([float(value) for value in words[k + 1 : k + 4]])
        elif word == "CHANNELS":
            moving.append(stack[-1])
        elif word == "}":
            stack.pop()
    start = words.index("MOTION")
    count = int(words[start + 2])
    rows = np.array(words[start + 6 :], dtype=float).reshape(count, -1)
    frames = []
    for row in rows:
        turns, places = {}, {}
        angles = iter(row[3:].reshape(-1, 3))
        for bone, parent in enumerate(parents):
            local = Rotation.from_euler("ZXY", next(angles), degrees=True) if bone in moving else Rotation.identity()
            turns[bone] = local if parent < 0 else turns[parent] * local
            places[bone] = row[:3] if parent < 0 else places[parent] + turns[parent].apply(offsets[bone])
        frames.append(np.array([places[bone] for bone in range(len(parents))]))
    return frames


def test_a_reader_of_bvh_finds_the_joints(tmp_path: Path, rig: Rig) -> None:
    write_bvh(tmp_path / "a.bvh", rig)
    [heads] = heads_from_file(tmp_path / "a.bvh")
    np.testing.assert_allclose(heads, rig.T_cam_bone[:, :3, 3] * [1, -1, -1], atol=2e-5)


def test_a_clip_becomes_frames(tmp_path: Path, rig: Rig) -> None:
    shifted = rig.T_cam_bone.copy()
    shifted[:, 0, 3] += 0.1
    clip = Clip("wave", np.array([0.0, 0.04, 0.08]), np.stack((rig.T_cam_bone, shifted, rig.T_cam_bone)))
    write_bvh(tmp_path / "a.bvh", rig, clip, side="left", bones="unreal")
    frames = heads_from_file(tmp_path / "a.bvh")
    np.testing.assert_allclose(frames[1] - frames[0], np.tile([0.1, 0, 0], (21, 1)), atol=2e-5)
    text = (tmp_path / "a.bvh").read_text()
    assert "Frames: 3\nFrame Time: 0.04000000" in text
    assert "ROOT hand_l" in text
    with pytest.raises(ValueError, match="constant frame rate"):
        write_bvh(tmp_path / "a.bvh", rig, replace(clip, times_s=np.array([0.0, 0.04, 0.2])))
