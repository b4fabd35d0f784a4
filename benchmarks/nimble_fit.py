"""How well NIMBLE fits hands of the free model: with a substitute of NIMBLE's structure, or with NIMBLE itself.

    python benchmarks/nimble_fit.py --hands 50            # a stand-in: the free hand's surface on NIMBLE's bones
    python benchmarks/nimble_fit.py --hands 50 --real     # the imported NIMBLE

The substitute has NIMBLE's chain of 25 joints and 20 bones, 30 components of a pose basis for 57 angles, and 20 shapes;
its surface is the free hand's, so the residual of the fit is due to bones, basis and map.
"""

import argparse
import time

import numpy as np
import torch

from hifihr_core.conversion.to_nimble import NimbleConverter
from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.hands.nimble.arrays import BONE_JOINTS, JOINT_NAMES, NUM_MANO_VERTICES, NUM_SHAPE, NimbleData
from hifihr_core.hands.nimble.model import Nimble


def main() -> None:
    """Fit, and print millimetres."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hands", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--components", type=int, default=30)
    parser.add_argument("--real", action="store_true")
    arguments = parser.parse_args()
    hand = load_hand("anny", texture_px=32).double()
    began = time.perf_counter()
    nimble = None if arguments.real else stand_in(hand, arguments.components)
    converter = NimbleConverter(hand, nimble, joints="ho3d")
    print(f"map ready after {time.perf_counter() - began:.1f} s")
    drawn = hand.sample_parameters(arguments.hands, generator=torch.Generator().manual_seed(arguments.seed))
    parameters = HandParameters(drawn.global_orient.double(), drawn.pose.double(), drawn.shape.double())
    root = torch.tensor([[0.02, -0.03, 0.6]], dtype=torch.float64).expand(arguments.hands, 3)
    began = time.process_time()
    _, errors = converter.fit(parameters, root)
    print(f"{(time.process_time() - began) / arguments.hands:.2f} s of processor time per hand")
    errors = 1e3 * errors
    print(
        f"vertices: mean {errors.mean():.2f} mm, 95 % {errors.flatten().quantile(0.95):.2f}, "
        f"worst hand {errors.mean(1).max():.2f}"
    )


def stand_in(hand: HandModel, components: int) -> Nimble:
    """Return a model with NIMBLE's structure and the surface, weights and joints of the free hand."""
    armature = hand.armature(hand.mean_parameters())
    assert armature is not None
    heads = armature.T_bind_bone[0, :, :3, 3].numpy()
    joints = np.stack([_head(name, heads, armature.names) for name in JOINT_NAMES])
    weights = np.zeros((len(armature.weights), len(JOINT_NAMES)))
    for bone, name in enumerate(armature.names):
        weights[:, JOINT_NAMES.index(name)] += armature.weights[:, bone].numpy()
    template = armature.bind_vertices[0].numpy()
    shapes, joint_shapes = _shapes(hand, template, joints)
    rng = np.random.default_rng(0)
    pose_basis = np.linalg.qr(rng.normal(size=(57, 57)))[0]
    vertices = np.arange(NUM_MANO_VERTICES)
    data = NimbleData(
        template=template,
        shape_basis=shapes,
        pose_blend=np.zeros((len(template), 3, 171)),
        weights=weights[:, list(BONE_JOINTS)] / weights[:, list(BONE_JOINTS)].sum(1, keepdims=True),
        joints=joints,
        joints_basis=joint_shapes,
        pose_basis=pose_basis if components == 57 else _poses(hand),
        pose_mean=np.zeros(57),
        pose_std=np.full(57, 0.5),
        pose_offset=np.zeros(57),
        mano_rows=vertices,
        mano_columns=vertices,
        mano_values=np.ones(len(vertices)),
        faces=hand.faces.numpy(),
        uvs=hand.uvs.numpy(),
        faces_uvs=hand.faces_uvs.numpy(),
        texture_mean=np.full((3, 8, 8), 0.5),
        texture_basis=np.zeros((10, 3, 8, 8)),
    )
    return Nimble(data, None, joints="ho3d", num_components=components, dtype=torch.float64)


def _head(name: str, heads: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Return a joint of NIMBLE's chain; the metacarpals of the fingers start a quarter of the way from the wrist."""
    if name in names:
        return heads[names.index(name)]
    return 0.75 * heads[0] + 0.25 * heads[names.index(name.replace("cmc", "mcp"))]


def _shapes(hand: HandModel, template: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the effect of the free hand's shapes on the surface and the joints of the flat hand."""
    vertex_moves, joint_moves = np.zeros((NUM_SHAPE, *template.shape)), np.zeros((NUM_SHAPE, *joints.shape))
    for number in range(min(NUM_SHAPE, hand.shape_dim)):
        mean = hand.mean_parameters()
        shape = torch.zeros_like(mean.shape)
        shape[0, number] = 1.0
        armature = hand.armature(HandParameters(mean.global_orient, mean.pose, shape))
        assert armature is not None
        heads = armature.T_bind_bone[0, :, :3, 3].numpy()
        vertex_moves[number] = armature.bind_vertices[0].numpy() - template
        joint_moves[number] = np.stack([_head(name, heads, armature.names) for name in JOINT_NAMES]) - joints
    return vertex_moves, joint_moves


def _poses(hand: HandModel) -> np.ndarray:
    """Return the principal directions of the free hand's poses, as rotation vectors of NIMBLE's bones; 57 rows."""
    from hifihr_core.conversion.initial import pose_like

    free = stand_in(hand, 57)
    drawn = hand.sample_parameters(400, generator=torch.Generator().manual_seed(9))
    still = HandParameters(torch.zeros(400, 3).double(), drawn.pose.double(), torch.zeros(400, hand.shape_dim).double())
    started = pose_like(free, hand.armature(still), torch.zeros(400, 3).double())
    vectors = free.axis_angles(started.parameters.pose).numpy()
    return np.linalg.svd(vectors, full_matrices=True)[2]


if __name__ == "__main__":
    main()
