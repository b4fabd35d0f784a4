"""NIMBLE's skin from its plain arrays: from named parameters to a posed, textured right hand in metres.

Source: Li et al., "NIMBLE: a non-rigid hand model with bones and muscles", 2022, and the authors' implementation, which
scales millimetres to metres about joint 0 but leaves joint 0 in millimetres; here everything is in metres. As in
HiFiHR, collisions of skin and muscle are not handled.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.assets.store import asset_path, is_installed
from hifihr_core.errors import AssetError
from hifihr_core.hands.armature import Armature, build_armature
from hifihr_core.hands.articulation import articulate
from hifihr_core.hands.contract import Hand, HandModel, HandParameters, JointDefinition, PosePrior, Rig
from hifihr_core.hands.mano.arrays import load_mano_data
from hifihr_core.hands.mano.model import TIP_VERTICES, freihand_joint_weights
from hifihr_core.hands.nimble.arrays import (
    BONE_JOINTS,
    JOINT_BONES,
    JOINT_NAMES,
    JOINT_PARENTS,
    NUM_MANO_VERTICES,
    NUM_SHAPE,
    NUM_TEXTURE,
    PARENTS,
    NimbleData,
    load_nimble_data,
)
from hifihr_core.hands.parameters import check_sizes, draw_parameters
from hifihr_core.hands.rigs import make_rig
from hifihr_core.hands.skinning import move_joints, skin_planar
from hifihr_core.records import Appearance
from hifihr_core.skeleton import ROOT, TIPS, gather_from

#: Coefficients within this many standard deviations count as possible, since NIMBLE does not publish limits.
_LIMIT = 3.0


class Nimble(HandModel):
    """NIMBLE: 5,990 skin vertices, of which 4,994 are on the surface, and a diffuse texture.

    Pose: `num_components` coefficients in standard deviations with "pca", or the 57 rotation values of bones 1 to 19
    with "axis_angle". The authors' checkpoints predict 30 numbers: 3 for `global_orient` and 27 for a "pca" pose with
    ``num_components=27``. With the joints "ho3d", the joints are those of NIMBLE's kinematic chain, with tips on the
    MANO-like surface; "freihand" needs MANO's joint regressor. `surface` lists the vertices that faces use; bounding
    boxes, normals and distances ignore the others, which are inside the hand.
    """

    name = "nimble"
    licence = "unknown"
    has_mano_vertices = True
    shape_dim = NUM_SHAPE
    texture_dim = NUM_TEXTURE

    template: Tensor
    blend_basis: Tensor
    joints_mean: Tensor
    joints_basis: Tensor
    skin_weights: Tensor
    bone_joints: Tensor
    joint_bones: Tensor
    zero_pose: Tensor
    components: Tensor
    mano_index: Tensor
    mano_values: Tensor
    joint_weights: Tensor
    chain_order: Tensor
    tips: Tensor
    surface: Tensor
    texture_mean: Tensor
    texture_basis: Tensor

    def __init__(
        self,
        data: NimbleData,
        joint_regressor: Float[np.ndarray, "16 778"] | None,
        *,
        pose_basis: str = "pca",
        joints: JointDefinition = "freihand",
        num_components: int = 30,
        texture_px: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if not 1 <= num_components <= len(data.pose_basis):
            raise ValueError(f"num_components is {num_components}, expected 1 to {len(data.pose_basis)}")
        self.pose_basis = pose_basis
        self.joint_definition = joints
        self.pose_dim = num_components if pose_basis == "pca" else data.pose_basis.shape[1]
        buffers = {
            **_geometry_buffers(data),
            **_pose_buffers(data, num_components),
            **_joint_buffers(joints, joint_regressor),
            **_texture_buffers(data, texture_px),
        }
        for name, tensor in buffers.items():
            # Not saved in checkpoints: the numbers come from the user's copy of a file that we may not distribute.
            self.register_buffer(name, tensor.to(dtype) if tensor.is_floating_point() else tensor, persistent=False)

    @property
    def num_vertices(self) -> int:
        """Return V, the number of vertices: 5,990; the last ones may not belong to any face."""
        return self.template.shape[0] // 3

    def forward(self, parameters: HandParameters) -> Hand:
        """Pose a batch of hands in the root frame. Raises: ValueError if a size does not match."""
        rest, rest_joints, motions = self._bend(parameters)
        posed = skin_planar(rest, motions, self.skin_weights)
        mano = self._mano_vertices(posed)
        joints = self._joints(mano, motions, rest_joints)
        root = joints[:, ROOT : ROOT + 1]
        return Hand(
            vertices=posed.transpose(1, 2) - root,
            joints=joints - root,
            mano_vertices=mano.transpose(1, 2) - root,
            appearance=self._appearance(parameters.texture),
        )

    def rig(self, parameters: HandParameters) -> Rig:
        """Return the 20 bones that pose these hands, in the root frame."""
        rest, rest_joints, motions = self._bend(parameters)
        mano = self._mano_vertices(skin_planar(rest, motions, self.skin_weights))
        root = self._joints(mano, motions, rest_joints)[:, ROOT]
        bones = rest_joints.index_select(1, self.bone_joints)
        return make_rig(rest, bones, motions, self.skin_weights, PARENTS, root=root)

    def armature(self, parameters: HandParameters) -> Armature:
        """Return NIMBLE's 20 bones and five fingertips, bound to its rest hand including the pose's blend shapes."""
        rig = self.rig(parameters)
        _, heads, _ = self._bend(parameters)
        weights = rig.weights.new_zeros(len(rig.weights), len(JOINT_NAMES))
        weights[:, list(BONE_JOINTS)] = rig.weights
        return build_armature(
            rig.rest_vertices,
            heads,
            rig.T_root_rest.index_select(1, self.joint_bones),
            weights,
            names=JOINT_NAMES,
            parents=JOINT_PARENTS,
        )

    def _bend(
        self, parameters: HandParameters
    ) -> tuple[Float[Tensor, "B 3 V"], Float[Tensor, "B 25 3"], Float[Tensor, "B 20 3 4"]]:
        """Return the rest vertices including blend shapes, the rest joints, and the bones' motions to the pose."""
        check_sizes(self, parameters)
        shape = parameters.shape
        vectors = torch.cat((parameters.global_orient, self.axis_angles(parameters.pose)), 1)
        rest_joints = torch.addmm(self.joints_mean, shape, self.joints_basis).unflatten(1, (-1, 3))
        bends, motions = articulate(
            vectors.unflatten(1, (-1, 3)), rest_joints.index_select(1, self.bone_joints), PARENTS
        )
        blend = torch.cat((shape, bends[:, 1:].flatten(1)), 1)
        rest = torch.addmm(self.template, blend, self.blend_basis).unflatten(1, (3, -1))
        return rest, rest_joints, motions

    def axis_angles(self, pose: Float[Tensor, "B P"]) -> Float[Tensor, "B 57"]:
        """Return the rotation vectors of bones 1 to 19, radians."""
        return pose if self.pose_basis == "axis_angle" else torch.addmm(self.zero_pose, pose, self.components)

    @property
    def posing_bones(self) -> tuple[int, ...]:
        """The indices in the armature of the bones that the pose rotates, in the order of its rotation vectors."""
        return BONE_JOINTS[1:]

    def pose_of(self, vectors: Float[Tensor, "B 57"]) -> Float[Tensor, "B P"]:
        """Return the pose whose `axis_angles` are `vectors`, or the nearest one if there are fewer components."""
        if self.pose_basis == "axis_angle":
            return vectors
        return (vectors - self.zero_pose) @ torch.linalg.pinv(self.components)

    def albedo(self, texture: Float[Tensor, "B X"], rows: slice = slice(None)) -> Float[Tensor, "B 3 R T"]:
        """Return the given rows of the diffuse maps, RGB in [0, 1], row 0 at the top; a map of 1024 px takes 12 MB."""
        mean, basis = self.texture_mean[:, rows], self.texture_basis[:, :, rows]
        return torch.addmm(mean.flatten(), texture, basis.flatten(1)).unflatten(1, mean.shape).clamp(0, 1)

    def _appearance(self, texture: Float[Tensor, "B X"] | None) -> Appearance | None:
        return None if texture is None else Appearance(self.albedo(texture), self.uvs, self.faces_uvs)

    def _mano_vertices(self, posed: Float[Tensor, "B 3 V"]) -> Float[Tensor, "B 3 778"]:
        size = (NUM_MANO_VERTICES, posed.shape[2])
        # Built here from plain buffers: a sparse buffer would keep data-parallel training from copying the module.
        matrix = torch.sparse_coo_tensor(
            self.mano_index, self.mano_values, size, is_coalesced=True, check_invariants=False
        )
        return torch.sparse.mm(matrix, posed.flatten(0, 1).transpose(0, 1)).transpose(0, 1).unflatten(0, (-1, 3))

    def _joints(
        self, mano: Float[Tensor, "B 3 778"], motions: Float[Tensor, "B 20 3 4"], rest_joints: Float[Tensor, "B 25 3"]
    ) -> Float[Tensor, "B 21 3"]:
        if self.joint_definition == "freihand":
            return (mano @ self.joint_weights).transpose(1, 2)
        chain = move_joints(motions.index_select(1, self.joint_bones), rest_joints)
        tips = mano.index_select(2, self.tips).transpose(1, 2)
        return torch.cat((chain, tips), 1).index_select(1, self.chain_order)

    def pose_prior(self) -> PosePrior:
        """Return NIMBLE's Gaussian over poses, with limits at three standard deviations, since none are published."""
        if self.pose_basis == "pca":
            identity = torch.eye(self.pose_dim, dtype=self.template.dtype, device=self.template.device)
            bound = identity.new_tensor([-_LIMIT, _LIMIT]).repeat(self.pose_dim, 1)
            return PosePrior(bound.new_zeros(self.pose_dim), identity, identity, bound)
        spread = _LIMIT * self.components.square().sum(0).sqrt()
        limits = torch.stack((self.zero_pose - spread, self.zero_pose + spread), 1)
        return PosePrior(self.zero_pose, self.components, torch.linalg.pinv(self.components), limits)

    def sample_parameters(self, batch: int, *, generator: torch.Generator) -> HandParameters:
        """Sample hands, float32 on the generator's device: pose from the prior within its limits, uniform rotation."""
        sizes = {"shape_dim": self.shape_dim, "texture_dim": self.texture_dim}
        return draw_parameters(self.pose_prior(), batch=batch, generator=generator, **sizes)


def build_nimble(
    path: Path, *, joints: JointDefinition = "freihand", mano_path: Path | None = None, **options: object
) -> Nimble:
    """Build NIMBLE from a converted file; `mano_path` is a converted MANO file, by default from the asset cache.

    Joints "ho3d" do not need MANO. Raises: AssetError if a file is missing or damaged.
    """
    data = load_nimble_data(path)
    if joints == "ho3d":
        return Nimble(data, None, joints=joints, **options)  # type: ignore[arg-type]
    if mano_path is None and not is_installed("mano-right"):
        raise AssetError(
            "nimble with FreiHAND's joints needs MANO's joint regressor, and mano-right is not installed; "
            "run `hifihr assets import mano-right MANO_RIGHT.pkl`, or choose the joint definition ho3d"
        )
    mano = load_mano_data(asset_path("mano-right") if mano_path is None else mano_path)
    return Nimble(data, mano.joint_regressor, joints=joints, **options)  # type: ignore[arg-type]


def _geometry_buffers(data: NimbleData) -> dict[str, Tensor]:
    """Return the skin's buffers, arranged so that every step is one matrix product on planar vertices."""
    shape_basis = torch.from_numpy(data.shape_basis).permute(0, 2, 1).flatten(1)
    pose_blend = torch.from_numpy(data.pose_blend).permute(2, 1, 0).flatten(1)
    faces = torch.from_numpy(data.faces)
    return {
        "faces": faces,
        "surface": faces.unique(),
        "template": torch.from_numpy(data.template).T.flatten(),
        "blend_basis": torch.cat((shape_basis, pose_blend)),
        "joints_mean": torch.from_numpy(data.joints).flatten(),
        "joints_basis": torch.from_numpy(data.joints_basis).flatten(1),
        "skin_weights": torch.from_numpy(data.weights).T.contiguous(),
        "bone_joints": torch.tensor(BONE_JOINTS),
        "mano_index": torch.from_numpy(np.stack((data.mano_rows, data.mano_columns))),
        "mano_values": torch.from_numpy(data.mano_values),
    }


def _pose_buffers(data: NimbleData, num_components: int) -> dict[str, Tensor]:
    basis = torch.from_numpy(data.pose_basis[:num_components])
    std, offset = torch.from_numpy(data.pose_std[:num_components]), torch.from_numpy(data.pose_offset[:num_components])
    return {"zero_pose": torch.from_numpy(data.pose_mean) + offset @ basis, "components": std[:, None] * basis}


def _joint_buffers(joints: JointDefinition, regressor: Float[np.ndarray, "16 778"] | None) -> dict[str, Tensor]:
    tips = torch.tensor(TIP_VERTICES[joints])
    # The chain's 25 joints are followed by the five tips, which replace the ends of the chain.
    order = list(gather_from("nimble"))
    for finger, place in enumerate(TIPS):
        order[place] = len(JOINT_BONES) + finger
    buffers = {"tips": tips, "chain_order": torch.tensor(order), "joint_bones": torch.tensor(JOINT_BONES)}
    if regressor is not None:
        buffers["joint_weights"] = freihand_joint_weights(torch.from_numpy(regressor))
    return buffers


def _texture_buffers(data: NimbleData, texture_px: int | None) -> dict[str, Tensor]:
    """Return the UV chart, and the texture's mean and basis averaged down to `texture_px`.

    The model is linear before clamping, so averaging its mean and basis gives the same map as averaging the full map.
    """
    mean, basis = torch.from_numpy(data.texture_mean), torch.from_numpy(data.texture_basis)
    full = mean.shape[-1]
    size = full if texture_px is None else texture_px
    if size < 1 or full % size:
        raise ValueError(f"texture_px is {texture_px}, expected a divisor of {full}")
    pool = full // size
    return {
        "texture_mean": torch.nn.functional.avg_pool2d(mean[None], pool)[0],
        "texture_basis": torch.nn.functional.avg_pool2d(basis, pool),
        "uvs": torch.from_numpy(data.uvs),
        "faces_uvs": torch.from_numpy(data.faces_uvs),
    }
