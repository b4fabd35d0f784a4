"""Place the hand, choose its camera, and light it."""

from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.records import Light
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.options import SynthOptions

Placement = tuple[Float[Tensor, "B 3"], Float[Tensor, "B 3 3"]]

#: HO-3D's cameras: focal length and principal point in 640 x 480 pictures, pixels.
_FRAME_FOCAL, _FRAME_POINT, _FRAME_WIDTH = 617.0, (312.0, 241.0), 640


def place_hand(verts_root: Float[Tensor, "B V 3"], dice: Dice, options: SynthOptions) -> Placement:
    """Return (root_cam, K): the root of each hand, metres, and its camera, placed according to `options.view`."""
    return VIEWS[options.view](verts_root, dice, options)


def _crop_view(verts_root: Float[Tensor, "B V 3"], dice: Dice, options: SynthOptions) -> Placement:
    """Place a hand somewhere in front of a camera, and cut out a crop around it.

    Distance and direction determine the perspective. The focal length then follows from the fraction of the crop that
    the hand should fill, as when a detector's box is cut out of a larger photo.
    """
    angle = dice.uniform(0.0, 1.0).square() * options.off_axis_rad
    around = dice.uniform(0.0, 2 * torch.pi)
    ray = torch.stack((angle.tan() * around.cos(), angle.tan() * around.sin(), torch.ones_like(angle)), dim=-1)
    root_cam = ray * dice.log_uniform(*options.distance_m)[:, None]
    low, high = _slopes(verts_root + root_cam[:, None])
    size = torch.tensor(options.size_px[::-1], device=dice.device)
    focal = dice.uniform(*options.fill) * size.min() / (high - low).amax(dim=-1)
    focals = torch.stack((focal, focal * (1 + 0.01 * dice.normal())), dim=-1)
    middle = size * (0.5 + dice.uniform(-options.shift, options.shift, 2))
    return root_cam, _camera(focals, middle - focals * (low + high) / 2)


def _centered_view(verts_root: Float[Tensor, "B V 3"], dice: Dice, options: SynthOptions) -> Placement:
    """Turn the camera towards the hand, so that the principal point is the centre of the picture."""
    depth = dice.log_uniform(*options.distance_m)
    root_cam = torch.stack((torch.zeros_like(depth), torch.zeros_like(depth), depth), dim=-1)
    low, high = _slopes(verts_root + root_cam[:, None])
    side = (high - low).amax(dim=-1)
    aside = -(low + high) / 2 + options.shift * side[:, None] * dice.uniform(-1.0, 1.0, 2)
    root_cam = root_cam + torch.cat((aside * depth[:, None], torch.zeros_like(depth)[:, None]), dim=-1)
    low, high = _slopes(verts_root + root_cam[:, None])
    size = torch.tensor(options.size_px[::-1], device=dice.device)
    reach = 2 * torch.maximum(low.abs(), high.abs()).amax(dim=-1)
    focal = dice.uniform(*options.fill) * size.min() / reach
    return root_cam, _camera(focal[:, None].expand(-1, 2), (size / 2).expand(dice.batch, 2))


def _frame_view(verts_root: Float[Tensor, "B V 3"], dice: Dice, options: SynthOptions) -> Placement:
    """Place a hand somewhere in the picture of a fixed camera, completely inside if possible."""
    height, width = options.size_px
    scale = width / _FRAME_WIDTH
    point = scale * torch.tensor(_FRAME_POINT, device=dice.device)
    focal = torch.full((dice.batch, 2), scale * _FRAME_FOCAL, device=dice.device)
    depth = dice.uniform(*options.distance_m)
    reach = verts_root[..., :2].abs().amax(dim=(1, 2)) / (depth - 0.12).clamp(min=0.1) * focal[:, 0]
    size = torch.tensor((width, height), device=dice.device)
    room = (size / 2 - reach[:, None]).clamp(min=0)
    target = size / 2 + room * dice.uniform(-1.0, 1.0, 2)
    aside = (target - point) / focal * depth[:, None]
    return torch.cat((aside, depth[:, None]), dim=-1), _camera(focal, point.expand(dice.batch, 2))


VIEWS = MappingProxyType({"crop": _crop_view, "centered": _centered_view, "frame": _frame_view})


def _slopes(points: Float[Tensor, "B V 3"]) -> tuple[Float[Tensor, "B 2"], Float[Tensor, "B 2"]]:
    """Return the minimum and maximum x / z and y / z of each hand."""
    slopes = points[..., :2] / points[..., 2:]
    return slopes.amin(dim=1), slopes.amax(dim=1)


def _camera(focals: Float[Tensor, "B 2"], point: Float[Tensor, "B 2"]) -> Float[Tensor, "B 3 3"]:
    K = torch.zeros(len(focals), 3, 3, device=focals.device)
    K[:, 0, 0], K[:, 1, 1], K[:, 2, 2] = focals[:, 0], focals[:, 1], 1
    K[:, :2, 2] = point
    return K


def draw_light(dice: Dice) -> Light:
    """Return random ambient and directional light: dim, even rooms to hard sun, warm to cold, mostly from above."""
    toward = dice.direction()
    up_and_front = torch.tensor([0.0, -0.7, -0.7], device=dice.device)
    direction = torch.nn.functional.normalize(toward + 0.9 * up_and_front, dim=-1)
    exposure = dice.log_uniform(0.7, 1.3)
    share = dice.uniform(0.2, 0.75)  # of the ambient light
    return Light(
        ambient=(exposure * share)[:, None] * _tint(dice, 0.05),
        color=(1.15 * exposure * (1 - share))[:, None] * _tint(dice, 0.08) * 1.2,
        direction=direction,
    )


def _tint(dice: Dice, strength: float) -> Float[Tensor, "B 3"]:
    """Return a colour near white: warm or cold, slightly green or purple."""
    warm, green = strength * dice.normal(), 0.3 * strength * dice.normal()
    return torch.stack((1 + warm, 1 + green, 1 - warm), dim=-1).clamp(0.5, 1.5)
