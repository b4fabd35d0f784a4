"""MANO from its plain arrays: from named parameters to a posed right hand.

Source: Romero, Tzionas, Black, "Embodied Hands", 2017. Blend shapes are a single matrix product over pose and shape.
The skinning and the planar layout of vertices are those of `skinning.py`.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.errors import AssetError
from hifihr_core.hands.armature import Armature, build_armature
from hifihr_core.hands.articulation import articulate
from hifihr_core.hands.contract import Hand, HandModel, HandParameters, JointDefinition, PosePrior, Rig
from hifihr_core.hands.mano.arrays import NUM_VERTICES, PARENTS, ManoData, load_mano_data
from hifihr_core.hands.parameters import check_sizes, draw_parameters
from hifihr_core.hands.rigs import make_rig
from hifihr_core.hands.skin_colors import skin_color_basis, skin_colors
from hifihr_core.hands.skinning import move_joints, skin_planar
from hifihr_core.records import Appearance, Side
from hifihr_core.skeleton import ROOT, gather_from

#: Vertices that represent the tips of thumb, index, middle, ring and pinky, per joint definition.
TIP_VERTICES: dict[JointDefinition, tuple[int, ...]] = {
    "freihand": (744, 320, 443, 555, 672),
    "ho3d": (744, 333, 444, 555, 672),
}


class Mano(HandModel):
    """MANO: 778 vertices with an albedo per vertex.

    Pose: 45 rotation values of the 15 joints in MANO's order with "axis_angle", or coefficients of MANO's scaled
    components with "pca". Zero is the hand's mean pose, or the flat hand with `flat_hand`. Shape: MANO's 10 betas. With
    ``centred=False``, vertices and joints stay in MANO's own coordinates (global rotation about the wrist, joint 9 not
    at the origin), as in datasets that store ``MANO(pose, shape) + translation``. A mirrored `ManoData` gives a left
    hand, for exports and checks; the attribute `side` is still "right".
    """

    name = "mano"
    licence = "gated"
    has_mano_vertices = True
    uvs = None
    faces_uvs = None
    shape_dim = 10

    template: Tensor
    blend_basis: Tensor
    joints_mean: Tensor
    joints_basis: Tensor
    skin_weights: Tensor
    joint_weights: Tensor
    joint_order: Tensor
    tips: Tensor
    hands_mean: Tensor
    zero_pose: Tensor
    components: Tensor
    pose_limits: Tensor
    component_limits: Tensor
    color_mean: Tensor
    color_basis: Tensor

    def __init__(
        self,
        data: ManoData,
        *,
        pose_basis: str = "axis_angle",
        joints: JointDefinition = "freihand",
        flat_hand: bool = False,
        num_components: int = 45,
        centred: bool = True,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if not 1 <= num_components <= 45:
            raise ValueError(f"num_components is {num_components}, expected 1 to 45")
        self.pose_basis = pose_basis
        self.joint_definition = joints
        self.flat_hand = flat_hand
        self.centred = centred
        self.data_side: Side = data.side
        self.pose_dim = 45 if pose_basis == "axis_angle" else num_components
        for name, tensor in _buffers(data, joints, flat_hand).items():
            # Not saved in checkpoints: the numbers come from the user's copy of a gated file.
            self.register_buffer(name, tensor.to(dtype) if tensor.is_floating_point() else tensor, persistent=False)
        self.texture_dim = len(self.color_basis)

    @property
    def num_vertices(self) -> int:
        """Return V, the number of vertices: 778."""
        return NUM_VERTICES

    def forward(self, parameters: HandParameters) -> Hand:
        """Pose a batch of hands in the root frame. Raises: ValueError if a size does not match."""
        posed, joints = self._pose(parameters)
        if self.centred:
            root = joints[:, ROOT : ROOT + 1]
            joints, posed = joints - root, posed - root.transpose(1, 2)
        vertices = posed.transpose(1, 2)
        return Hand(vertices, joints, mano_vertices=vertices, appearance=self._appearance(parameters.texture))

    def root_native(self, parameters: HandParameters) -> Float[Tensor, "B 3"]:
        """Return joint 9 in MANO's own coordinates; subtracting it from vertices and joints gives the root frame."""
        return self._pose(parameters)[1][:, ROOT]

    def rig(self, parameters: HandParameters) -> Rig:
        """Return the 16 bones that pose these hands, in the root frame."""
        rest, rest_joints, motions = self._bend(parameters)
        return make_rig(rest, rest_joints, motions, self.skin_weights, PARENTS, root=self.root_native(parameters))

    def armature(self, parameters: HandParameters) -> Armature:
        """Return sixteen bones and five fingertips, bound to MANO's flat hand including the pose's blend shapes."""
        rig = self.rig(parameters)
        tips = rig.rest_vertices.index_select(1, self.tips)
        heads = torch.cat((rig.rest_joints, tips), 1).index_select(1, self.joint_order)
        carriers = torch.tensor((*range(16), 15, 3, 6, 12, 9))  # the bones at the ends of thumb to pinky
        bones = carriers.index_select(0, self.joint_order.cpu()).to(heads.device)
        weights = torch.cat((rig.weights, rig.weights.new_zeros(len(rig.weights), 5)), 1)
        return build_armature(
            rig.rest_vertices,
            heads,
            rig.T_root_rest.index_select(1, bones),
            weights.index_select(1, self.joint_order),
        )

    def _pose(self, parameters: HandParameters) -> tuple[Float[Tensor, "B 3 778"], Float[Tensor, "B 21 3"]]:
        rest, rest_joints, motions = self._bend(parameters)
        posed = skin_planar(rest, motions, self.skin_weights)
        return posed, self._joints(posed, motions, rest_joints)

    def _bend(
        self, parameters: HandParameters
    ) -> tuple[Float[Tensor, "B 3 778"], Float[Tensor, "B 16 3"], Float[Tensor, "B 16 3 4"]]:
        """Return the rest vertices including blend shapes, the rest joints, and the bones' motions to the pose."""
        check_sizes(self, parameters)
        shape = parameters.shape
        vectors = torch.cat((parameters.global_orient, self.axis_angles(parameters.pose)), 1)
        rest_joints = torch.addmm(self.joints_mean, shape, self.joints_basis).unflatten(1, (16, 3))
        bends, motions = articulate(vectors.unflatten(1, (16, 3)), rest_joints, PARENTS)
        blend = torch.cat((shape, bends[:, 1:].flatten(1)), 1)
        rest = torch.addmm(self.template, blend, self.blend_basis).unflatten(1, (3, -1))
        return rest, rest_joints, motions

    def axis_angles(self, pose: Float[Tensor, "B P"]) -> Float[Tensor, "B 45"]:
        """Return the rotation vectors of the 15 joints relative to the flat hand, including the mean pose, radians."""
        if self.pose_basis == "axis_angle":
            return pose + self.zero_pose
        return torch.addmm(self.zero_pose, pose, self.components[: self.pose_dim])

    @property
    def posing_bones(self) -> tuple[int, ...]:
        """The indices in the armature of the bones that the pose rotates, in the order of its rotation vectors."""
        return tuple(gather_from("ho3d").index(joint) for joint in range(1, len(PARENTS)))

    def pose_of(self, vectors: Float[Tensor, "B 45"]) -> Float[Tensor, "B P"]:
        """Return the pose whose `axis_angles` are `vectors`, or the nearest one if there are fewer components."""
        shift = vectors - self.zero_pose
        return shift if self.pose_basis == "axis_angle" else shift @ torch.linalg.pinv(self.components[: self.pose_dim])

    def _joints(
        self, posed: Float[Tensor, "B 3 V"], motions: Float[Tensor, "B 16 3 4"], rest_joints: Float[Tensor, "B 16 3"]
    ) -> Float[Tensor, "B 21 3"]:
        if self.joint_definition == "freihand":
            return (posed @ self.joint_weights).transpose(1, 2)
        chain = move_joints(motions, rest_joints)
        tips = posed.index_select(2, self.tips).transpose(1, 2)
        return torch.cat((chain, tips), 1).index_select(1, self.joint_order)

    def _appearance(self, texture: Float[Tensor, "B X"] | None) -> Appearance | None:
        return None if texture is None else Appearance(skin_colors(texture, self.color_mean, self.color_basis))

    def pose_prior(self) -> PosePrior:
        """Return the Gaussian that MANO fitted to its registered poses, with their extremes as limits."""
        shift = self.hands_mean - self.zero_pose
        if self.pose_basis == "axis_angle":
            return PosePrior(
                mean=shift,
                basis=self.components,
                whiten=torch.linalg.inv(self.components),
                limits=self.pose_limits - self.zero_pose[:, None],
            )
        components = self.components[: self.pose_dim]
        mean = shift @ torch.linalg.pinv(components)
        identity = torch.eye(self.pose_dim, dtype=mean.dtype, device=mean.device)
        return PosePrior(mean, identity, identity, self.component_limits[: self.pose_dim] + mean[:, None])

    def sample_parameters(self, batch: int, *, generator: torch.Generator) -> HandParameters:
        """Sample hands, float32 on the generator's device: pose from the prior within its limits, uniform rotation."""
        sizes = {"shape_dim": self.shape_dim, "texture_dim": self.texture_dim}
        return draw_parameters(self.pose_prior(), batch=batch, generator=generator, **sizes)


def build_mano(path: Path, **options: object) -> Mano:
    """Build MANO from a converted file. Raises: AssetError if the file is missing, damaged or of the left hand."""
    data = load_mano_data(path)
    if data.side != "right":
        raise AssetError(
            f"{path}: this is MANO's left hand, expected the right one, which is mirrored to get left hands; "
            "run `hifihr assets import mano-right MANO_RIGHT.pkl`"
        )
    return Mano(data, **options)  # type: ignore[arg-type]


def freihand_joint_weights(regressor: Float[Tensor, "16 778"]) -> Float[Tensor, "778 21"]:
    """Return the matrix that maps posed vertices to FreiHAND's joints: MANO's regressor and the tip vertices."""
    tips = torch.nn.functional.one_hot(torch.tensor(TIP_VERTICES["freihand"]), NUM_VERTICES).to(regressor)
    return torch.cat((regressor, tips))[list(gather_from("ho3d"))].T.contiguous()


def _buffers(data: ManoData, joints: JointDefinition, flat_hand: bool) -> dict[str, Tensor]:
    """Return the model's buffers in float64, arranged so that every step is one matrix product."""
    template = torch.from_numpy(data.template)
    shape_basis, pose_basis = torch.from_numpy(data.shape_basis), torch.from_numpy(data.pose_basis)
    regressor, weights = torch.from_numpy(data.joint_regressor), torch.from_numpy(data.weights)
    hands_mean = torch.from_numpy(data.hands_mean)
    color_mean, color_basis = skin_color_basis(torch.from_numpy(data.harmonics), torch.from_numpy(data.frequencies))
    return {
        "faces": torch.from_numpy(data.faces).long(),
        "template": template.T.flatten(),
        # Row p, column c * V + v: how coefficient p moves coordinate c of vertex v.
        "blend_basis": torch.cat((shape_basis, pose_basis), 2).permute(2, 1, 0).flatten(1).contiguous(),
        "joints_mean": (regressor @ template).flatten(),
        "joints_basis": torch.einsum("jv,vck->kjc", regressor, shape_basis).flatten(1).contiguous(),
        "skin_weights": weights.T.contiguous(),
        "joint_weights": freihand_joint_weights(regressor),
        "joint_order": torch.tensor(gather_from("ho3d")),
        "tips": torch.tensor(TIP_VERTICES[joints]),
        "hands_mean": hands_mean,
        "zero_pose": torch.zeros_like(hands_mean) if flat_hand else hands_mean,
        "components": torch.from_numpy(data.components),
        "pose_limits": torch.from_numpy(data.pose_limits),
        "component_limits": torch.from_numpy(data.component_limits),
        "color_mean": color_mean,
        "color_basis": color_basis,
    }
