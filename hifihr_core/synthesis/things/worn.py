"""Things that hands wear: rings, watches and gloves."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from hifihr_core.hands.contract import Hand
from hifihr_core.records import Appearance
from hifihr_core.skeleton import WRIST
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.options import SynthOptions
from hifihr_core.synthesis.things.props import Props, hand_axes, tube, tube_faces, wrist_of

#: Number of vertex rings along a band, and along the case of a watch.
_BAND_RINGS, _CASE_RINGS = 3, 3
#: Knuckle and next joint of the bones that may have rings: index to little finger.
_RING_BONES = ((5, 6), (9, 10), (13, 14), (17, 18))
#: A vertex belongs to a finger if it is closer than this to the bone, metres.
_FINGER_M = 0.014
#: Metals and plastics: gold, silver, copper, black, white.
_COLORS = ((0.83, 0.62, 0.2), (0.75, 0.75, 0.78), (0.7, 0.42, 0.3), (0.04, 0.04, 0.05), (0.9, 0.9, 0.9))


def with_worn_faces(others: Int[Tensor, "F 3"]) -> Int[Tensor, "G 3"]:
    """Return the faces of the other props, followed by those of a ring, a strap and a watch."""
    parts, first = [others], int(others.max()) + 1
    for rings, begins_closed in ((_BAND_RINGS, False), (_BAND_RINGS, False), (_CASE_RINGS, True)):
        faces, count = tube_faces(rings, begins_closed)
        parts.append(faces + first)
        first += count
    return torch.cat(parts)


def wear(props: Props, posed: Hand, dice: Dice, options: SynthOptions) -> Props:
    """Return the props with rings and watches added to some of the hands."""
    vertices, joints = posed.vertices, posed.joints
    wrist, radii = wrist_of(vertices, joints[:, WRIST], hand_axes(joints))
    has_ring, has_watch = dice.chance(options.ring), dice.chance(options.watch)
    strap, case = _watch(wrist, hand_axes(joints), radii, dice)
    meshes = [(has_ring, _ring(vertices, joints, dice)), (has_watch, strap), (has_watch, case)]
    shown = [torch.where(has[:, None, None], mesh, wrist[:, None]) for has, mesh in meshes]
    colors = [_color(dice)[:, None].expand(mesh.shape) for _, mesh in meshes]
    return Props(torch.cat((props.vertices, *shown), dim=1), torch.cat((props.colors, *colors), dim=1))


def _color(dice: Dice) -> Float[Tensor, "B 3"]:
    table = torch.tensor(_COLORS, device=dice.device)
    return (table[dice.integer(len(table)).to(dice.device)] * dice.uniform(0.6, 1.1)[:, None]).clamp(0.01, 1)


def _ring(vertices: Float[Tensor, "B V 3"], joints: Float[Tensor, "B 21 3"], dice: Dice) -> Float[Tensor, "B R 3"]:
    """Return a band around a finger, as wide as the finger at that point."""
    bones = torch.tensor(_RING_BONES, device=joints.device)[dice.integer(len(_RING_BONES)).to(joints.device)]
    rows = torch.arange(len(joints), device=joints.device)
    knuckle, next_ = joints[rows, bones[:, 0]], joints[rows, bones[:, 1]]
    along = normalize(next_ - knuckle, dim=-1)
    place = knuckle + (next_ - knuckle) * dice.uniform(0.55, 0.75)[:, None]
    across = normalize(torch.linalg.cross(along, joints[rows, 17] - joints[rows, 5]), dim=-1)
    axes = torch.stack((across, torch.linalg.cross(along, across), along), dim=1)
    local = (vertices - place[:, None]) @ axes.mT
    near = (local[..., 2].abs() < 0.004) & (local[..., :2].norm(dim=-1) < _FINGER_M)
    weight = near[..., None].to(local)
    middle = (local * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
    radii = ((local - middle[:, None]).abs() * weight)[..., :2].amax(dim=1).clamp(0.005, 0.013)
    half = dice.uniform(0.001, 0.003)[:, None] * torch.linspace(-1, 1, _BAND_RINGS, device=joints.device)
    start = place + (torch.cat((middle[:, :2], 0 * middle[:, :1]), dim=1)[:, None] @ axes)[:, 0]
    return tube(start, axes, half, 1.07 * radii[:, None].expand(-1, _BAND_RINGS, 2))


def _watch(
    wrist: Float[Tensor, "B 3"], axes: Float[Tensor, "B 3 3"], radii: Float[Tensor, "B 2"], dice: Dice
) -> tuple[Float[Tensor, "B S 3"], Float[Tensor, "B C 3"]]:
    """Return the strap of a watch around the wrist, and its case on the back of the hand or on the palm side."""
    place = dice.uniform(-0.012, 0.006)[:, None]
    half = dice.uniform(0.006, 0.012)[:, None] * torch.linspace(-1, 1, _BAND_RINGS, device=wrist.device)
    strap = tube(wrist, axes, place + half, 1.18 * radii[:, None].expand(-1, _BAND_RINGS, 2))
    through, along = axes[:, 1], axes[:, 2]
    side = torch.where(dice.chance(0.8), 1.0, -1.0)[:, None]
    back = through * side
    upright = torch.stack((along, torch.linalg.cross(back, along), back), dim=1)
    middle = wrist + along * place + back * 1.15 * radii[:, 1:]
    size = dice.uniform(0.013, 0.02)[:, None, None] * dice.uniform(0.8, 1.0, 1, 2)
    height = dice.uniform(0.003, 0.007)[:, None] * torch.linspace(0, 1, _CASE_RINGS, device=wrist.device)
    return strap, tube(middle, upright, height, size.expand(-1, _CASE_RINGS, 2))


def gloved(posed: Hand, dice: Dice, options: SynthOptions) -> tuple[Hand, Bool[Tensor, " B"]]:
    """Return the hands, some with plain gloves through which skin folds show slightly, and which hands have gloves."""
    has, look = dice.chance(options.glove), posed.appearance
    if look is None:
        return posed, torch.zeros_like(has)
    cloth = dice.uniform(0.03, 0.9)[:, None] * (0.3 + 0.7 * dice.uniform(0.0, 1.0, 3))
    if look.uvs is None:
        pattern = 1 + 0.05 * dice.normal(look.albedo.shape[1], 1)
        albedo = cloth[:, None] * pattern
    else:
        grain = interpolate(dice.normal(1, 32, 32), size=look.albedo.shape[-2:], mode="bilinear")
        luma = look.albedo.mean(dim=1, keepdim=True)
        folds = (luma / luma.mean(dim=(2, 3), keepdim=True).clamp(min=1e-3)).clamp(0.3, 2) ** 0.4
        albedo = cloth[..., None, None] * folds * (1 + 0.05 * grain)
    chosen = torch.where(has.reshape(-1, *[1] * (albedo.ndim - 1)), albedo.clamp(0.01, 1), look.albedo)
    return replace(posed, appearance=Appearance(chosen, look.uvs, look.faces_uvs)), has
