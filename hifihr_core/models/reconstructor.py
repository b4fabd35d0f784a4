"""Networks from an image and its camera to the parameters of the hand, the light and the root position."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hifihr_core.geometry import turns
from hifihr_core.geometry.cameras import focal_px, measure_root
from hifihr_core.geometry.rays import rotation_to_axis
from hifihr_core.hands.contract import HandParameters
from hifihr_core.lifting.lifter import Lifter
from hifihr_core.models.contract import Estimate, ImageNetwork, modules_of
from hifihr_core.models.encoders import Encoder
from hifihr_core.models.heads import LIGHTS, TRUNK_DIM, LightHead
from hifihr_core.models.joint_maps import KeypointHead
from hifihr_core.records import Light
from hifihr_core.skeleton import NUM_JOINTS

#: Scale of an untrained network, pixels per metre per pixel of image side, for a hand that fills most of its crop.
MEAN_SCALE = 3.5

#: The predicted scale is limited to exp(+-1.5) times the mean, 0.22 to 4.5.
MAX_LOG_SCALE = 1.5


def rotation_from_6d(raw: Float[Tensor, "B 6"]) -> Float[Tensor, "B 3 3"]:
    """Return the rotation whose first columns are the two triples after Gram-Schmidt (Zhou et al., CVPR 2019)."""
    return turns.gram_schmidt(raw.view(-1, 2, 3).transpose(-1, -2))


#: Head size and conversion of each parametrisation of the global rotation.
ROTATIONS: Mapping[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "6d": (6, rotation_from_6d),
    "axis_angle": (3, turns.rotvec_to_rotmat),
}


def crop_view(K: Float[Tensor, "B 3 3"], *, height: int, width: int) -> Float[Tensor, "B 3 3"]:
    """Return the smallest rotation from the optical axis to the ray through the image centre.

    A crop looks as if its camera pointed along this ray, so the network predicts rotations relative to the ray. The
    result is the identity if the principal point is the centre of the image.
    """
    center = torch.stack((width / 2 - K[:, 0, 2], height / 2 - K[:, 1, 2]), dim=-1)
    return rotation_to_axis(center / focal_px(K)[:, None]).mT


class Reconstructor(ImageNetwork):
    """A network of an encoder, a shared trunk, one branch per parameter, and a light head on the shallow features.

    `branches` maps "global_orient", "pose", "shape", "texture" and "root" to networks from 512 features. Without a
    "shape" branch the mean shape is used; without a "texture" branch there is no appearance.
    """

    def __init__(
        self,
        encoder: Encoder,
        trunk: nn.Module,
        branches: Mapping[str, nn.Module],
        light: LightHead | None = None,
        *,
        shape_dim: int,
        rotation: str = "6d",
        light_range: str = "bounded",
        relative_to_ray: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.trunk = trunk
        self.branches = nn.ModuleDict(branches)
        self.light = light
        self.shape_dim = shape_dim
        self.rotation = rotation
        self.light_range = light_range
        self.relative_to_ray = relative_to_ray

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the modules of each part in `PARTS`."""
        own = [name for name in self.branches if name not in ("shape", "texture")]
        return {
            "backbone": (self.encoder,),
            "geometry": (self.trunk, *(self.branches[name] for name in own)),
            "shape": tuple(self.branches[name] for name in ("shape",) if name in self.branches),
            "texture": tuple(self.branches[name] for name in ("texture",) if name in self.branches),
            "light": modules_of(self.light),
        }

    def backbone_origin(self) -> str:
        """Return the origin of the backbone's initial weights."""
        return self.encoder.origin

    def raw(self, image: Float[Tensor, "B 3 H W"]) -> dict[str, Tensor]:
        """Return the raw output of every head, before conversion to rotations, lights and pixels."""
        features, low = self.encoder(image)
        shared = self.trunk(features)
        heads = {name: network(shared) for name, network in self.branches.items()}
        return heads if self.light is None else {**heads, "light": self.light(low)}

    def forward(self, image: Float[Tensor, "B 3 H W"], K: Float[Tensor, "B 3 3"]) -> Estimate:
        """Estimate the hand in each crop; `image` is RGB in [0, 1], `K` the camera of the crop."""
        heads = {name: value.float() for name, value in self.raw(image).items()}
        height, width = image.shape[-2:]
        R = ROTATIONS[self.rotation][1](heads["global_orient"])
        view = crop_view(K.float(), height=height, width=width)
        if self.relative_to_ray:
            R = view @ R
        shape = heads.get("shape")
        parameters = HandParameters(
            global_orient=turns.rotmat_to_rotvec(R),
            pose=heads["pose"],
            shape=R.new_zeros(len(R), self.shape_dim) if shape is None else shape,
            texture=heads.get("texture"),
        )
        root_px, scale = read_root(heads["root"], height=height, width=width)
        return Estimate(parameters, root_px, scale, self.read_light(heads, view))

    def read_light(self, heads: Mapping[str, Tensor], view: Float[Tensor, "B 3 3"]) -> Light | None:
        """Return the light from the light head, or None without one; `view` is the rotation from `crop_view`."""
        if "light" not in heads:
            return None
        light = LIGHTS[self.light_range](heads["light"])
        if not self.relative_to_ray:
            return light
        return Light(light.ambient, light.color, (view @ light.direction[..., None])[..., 0])


class KeypointReconstructor(Reconstructor):
    """A reconstructor that derives geometry from keypoints: maps of the 21 joints, lifted to a posed hand.

    The lifter also gets the shared features and those at every joint, which resolve ambiguities of the 21 points: the
    direction in which a finger bends, and its depth. Gradients reach the keypoints only from the loss terms on their
    maps, so errors of a rendering cannot move them. `branches` may contain "texture"; nothing else is regressed.
    """

    def __init__(
        self,
        encoder: Encoder,
        trunk: nn.Module,
        branches: Mapping[str, nn.Module],
        light: LightHead | None = None,
        *,
        keypoints: KeypointHead,
        lifter: Lifter,
        mean_shape: bool = False,
        light_range: str = "bounded",
    ) -> None:
        super().__init__(encoder, trunk, branches, light, shape_dim=lifter.shape_dim, light_range=light_range)
        self.keypoints = keypoints
        self.lifter = lifter
        self.mean_shape = mean_shape
        width = lifter.stem.out_features
        self.context = nn.Linear(NUM_JOINTS * keypoints.width + TRUNK_DIM, width)
        # Zero, so that an untrained network lifts keypoints like the lifter alone.
        nn.init.zeros_(self.context.weight)
        nn.init.zeros_(self.context.bias)

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the modules of each part in `PARTS`."""
        parts = dict(super().parts())
        return parts | {"geometry": (*parts["geometry"], self.keypoints, self.lifter, self.context)}

    def own_lifter(self) -> Lifter | None:
        """Return the lifter that is applied to the joints."""
        return self.lifter

    def forward(self, image: Float[Tensor, "B 3 H W"], K: Float[Tensor, "B 3 3"]) -> Estimate:
        """Estimate the hand in each crop; `image` is RGB in [0, 1], `K` the camera of the crop."""
        features, low, pyramid = self.encoder.with_pyramid(image)
        shared = self.trunk(features)
        seen = self.keypoints(pyramid)
        heads = {name: network(shared).float() for name, network in self.branches.items()}
        if self.light is not None:
            heads["light"] = self.light(low).float()
        context = self.context(torch.cat((seen.features.flatten(1), shared), dim=1))
        height, width = image.shape[-2:]
        with torch.autocast(image.device.type, enabled=False):
            K = K.float()
            points_px = seen.points.detach() * seen.points.new_tensor([width, height])
            lifted = self.lifter(points_px, seen.confidence.detach(), K, context.float())
            root_px, scale = measure_root(lifted.root_cam, K)
            light = self.read_light(heads, crop_view(K, height=height, width=width))
        shape = lifted.parameters.shape
        parameters = replace(
            lifted.parameters,
            shape=torch.zeros_like(shape) if self.mean_shape else shape,
            texture=heads.get("texture"),
        )
        return Estimate(parameters, root_px, scale, light, seen)


def read_root(
    raw: Float[Tensor, "B 3"], *, height: int, width: int
) -> tuple[Float[Tensor, "B 2"], Float[Tensor, " B"]]:
    """Return (root_px, scale_px_per_m) of the root branch; zeros mean the centre of the crop and `MEAN_SCALE`."""
    size_px = raw.new_tensor([width, height])
    log_scale = MAX_LOG_SCALE * torch.tanh(raw[:, 2] / MAX_LOG_SCALE)
    return size_px * (0.5 + raw[:, :2]), width * MEAN_SCALE * torch.exp(log_scale)
