"""The interface of all hand models.

Frame: the root frame of docs/conventions.md (camera axes, joint 9 at the origin after the global rotation), metres,
right hand. Models have only buffers, pose batches of hands on any device in float32 or float64, and are differentiable
in every parameter.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from hifihr_core.geometry.meshes import last_corners
from hifihr_core.hands.armature import Armature
from hifihr_core.records import Appearance

#: Number of albedo maps held in memory at once.
_MAPS_AT_ONCE = 8

JointDefinition = Literal["freihand", "ho3d"]


@dataclass(frozen=True)
class HandParameters:
    """Named parameters of a batch of hands; sizes are those of the model (`pose_dim`, `shape_dim`, `texture_dim`).

    `global_orient` is axis-angle in radians. `shape` and `texture` are standardised: zero is the mean hand, and 1 is
    one standard deviation. `texture=None` means that no appearance is needed.
    """

    global_orient: Float[Tensor, "B 3"]
    pose: Float[Tensor, "B P"]
    shape: Float[Tensor, "B S"]
    texture: Float[Tensor, "B X"] | None = None

    @property
    def untextured(self) -> "HandParameters":
        """The same hands without texture coefficients: posing them computes no texture maps."""
        return replace(self, texture=None)


@dataclass(frozen=True)
class Hand:
    """Posed hands in the root frame, metres.

    `mano_vertices` is None if the model has no MANO surface. `appearance` is None if no texture was requested.
    """

    vertices: Float[Tensor, "B V 3"]
    joints: Float[Tensor, "B 21 3"]
    mano_vertices: Float[Tensor, "B 778 3"] | None = None
    appearance: Appearance | None = None


@dataclass(frozen=True)
class PosePrior:
    """A Gaussian over plausible poses, and hard limits for every pose coefficient.

    ``pose = mean + z @ basis`` with standard normal z is a plausible pose; ``(pose - mean) @ whiten`` recovers z from
    the part of the pose that the basis spans. `limits[p]` is (lowest, highest) of coefficient p.
    """

    mean: Float[Tensor, " P"]
    basis: Float[Tensor, "Z P"]
    whiten: Float[Tensor, "P Z"]
    limits: Float[Tensor, "P 2"]

    def standardized(self, pose: Float[Tensor, "B P"]) -> Float[Tensor, "B Z"]:
        """Return the coordinates z of poses in the basis, in standard deviations."""
        return (pose - self.mean) @ self.whiten

    def off_basis(self, pose: Float[Tensor, "B P"]) -> Float[Tensor, "B P"]:
        """Return the part of poses that the basis does not span, radians (or the unit of the coefficients)."""
        centred = pose - self.mean
        return centred - centred @ self.whiten @ self.basis

    def beyond_limits(self, pose: Float[Tensor, "B P"]) -> Float[Tensor, "B P"]:
        """Return the amount by which each coefficient exceeds its limits: positive above, negative below, else 0."""
        return pose - pose.clamp(self.limits[:, 0], self.limits[:, 1])


@dataclass(frozen=True)
class Rig:
    """The skeleton of posed hands, for file formats that store one.

    Concretely, ``vertices[b, v] = sum_n weights[v, n] * (T_root_rest[b, n] @ rest_vertices[b, v])``, which are the
    vertices of `HandModel.forward`; `rest_vertices` include the pose blend shapes. The parent of bone n is
    ``parents[n]`` (-1: none; parents come before their children). In the rest pose, bone n starts at
    ``rest_joints[b, n]``.
    """

    rest_vertices: Float[Tensor, "B V 3"]
    rest_joints: Float[Tensor, "B N 3"]
    T_root_rest: Float[Tensor, "B N 4 4"]
    weights: Float[Tensor, "V N"]
    parents: tuple[int, ...]


class HandModel(nn.Module, ABC):
    """A parametric right hand; `load_hand` builds one."""

    name: str
    licence: str  # "free" | "non-commercial" | "gated" | "unknown"
    pose_basis: str
    joint_definition: JointDefinition
    side: Literal["right"] = "right"

    #: Registered buffers. Concretely, ``faces[f]`` are the three vertices of face f, counter-clockwise from outside.
    faces: Int[Tensor, "F 3"]
    #: UV chart; both None for a model with per-vertex albedo.
    uvs: Float[Tensor, "N 2"] | None
    faces_uvs: Int[Tensor, "F 3"] | None

    pose_dim: int
    shape_dim: int
    texture_dim: int
    has_mano_vertices: bool

    #: Number of faces, at the end, of the flat lid over the wrist; 0 for a model that is open there.
    lid_faces: int = 0

    @abstractmethod
    def forward(self, parameters: HandParameters) -> Hand:
        """Pose a batch of hands. Raises: ValueError if a size does not match the model."""

    @abstractmethod
    def pose_prior(self) -> PosePrior:
        """Return the statistics and limits of `pose`, on the device of the model."""

    @abstractmethod
    def sample_parameters(self, batch: int, *, generator: torch.Generator) -> HandParameters:
        """Sample plausible hands (pose, shape, texture, uniform rotation) in float32 on the generator's device."""

    def joints_of(self, parameters: HandParameters) -> Float[Tensor, "B 21 3"]:
        """Return only the joints of `forward`; a model may compute them without posing its whole surface."""
        return self(parameters.untextured).joints

    def with_small_maps(self, texture_px: int) -> "HandModel":
        """Return this hand with texture maps of about `texture_px`, for small pictures.

        Texture coefficients keep their meaning. A model that cannot reduce its maps, or has none, returns itself.
        """
        return self

    def vertex_colors(self, textures: Float[Tensor, "M X"]) -> Float[Tensor, "M V 3"]:
        """Return the albedo of each skin at the vertices; a vertex on a UV seam uses one of its UVs."""
        parts = []
        for part in textures.split(_MAPS_AT_ONCE):
            look = self(replace(self.mean_parameters(len(part)), texture=part)).appearance
            parts.append(look.albedo if look.uvs is None else self.sample_at_vertices(look.albedo))
        return torch.cat(parts)

    def sample_at_vertices(self, maps: Float[Tensor, "M C T T"]) -> Float[Tensor, "M V C"]:
        """Sample texture maps at the vertices, bilinearly. Raises: ValueError if the model has no UV chart."""
        if self.uvs is None or self.faces_uvs is None:
            raise ValueError(f"{self.name} has no UV chart, expected a hand model with texture maps")
        at = self.uvs[self.faces_uvs.reshape(-1)[last_corners(self.faces)].long()]
        grid = torch.stack((at[:, 0], 1 - at[:, 1]), dim=-1) * 2 - 1
        grid = grid[None, None].expand(len(maps), 1, -1, 2)
        picked = functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)
        return picked[:, :, 0].mT

    def rig(self, parameters: HandParameters) -> Rig | None:
        """Return the skeleton that poses these hands, or None for a model without one."""
        return None

    def armature(self, parameters: HandParameters) -> Armature | None:
        """Return the armature of these hands, for animators, or None for a model without one."""
        return None

    @property
    def num_vertices(self) -> int:
        """Return V, the number of vertices."""
        return int(self.faces.max()) + 1

    def mean_parameters(self, batch: int = 1) -> HandParameters:
        """Return the mean hand: no rotation, mean pose of the prior, mean shape and texture."""
        prior = self.pose_prior()
        zeros = prior.mean.new_zeros
        return HandParameters(
            global_orient=zeros(batch, 3),
            pose=prior.mean.expand(batch, -1),
            shape=zeros(batch, self.shape_dim),
            texture=zeros(batch, self.texture_dim),
        )
