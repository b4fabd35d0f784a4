"""Props, which are rendered with a hand: its forearm, bare or in a sleeve, and an object that it holds.

Props are meshes with one colour per vertex and the same topology for all samples; missing props are collapsed to a
point.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from hifihr_core.hands.contract import Hand
from hifihr_core.records import Appearance
from hifihr_core.skeleton import ROOT, WRIST
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.options import SynthOptions

_AROUND = 20
_ARM_RINGS = 14
_OBJECT_RINGS = 7
_ARM_M = 0.26
_TOWARDS_CAMERA = 0.4
_INTO_HAND_M = 0.02
#: Joints around whose centre a closing hand holds an object.
_JOINTS_HELD = (4, 6, 7, 10, 11, 14, 15)
_INDEX_MCP, _PINKY_MCP = 5, 17


@dataclass(frozen=True)
class Props:
    """Meshes in the frame of the hand (root frame, metres), with one colour per vertex."""

    vertices: Float[Tensor, "B V 3"]
    colors: Float[Tensor, "B V 3"]


@lru_cache(maxsize=1)
def prop_faces() -> Int[Tensor, "F 3"]:
    """Return the faces of forearm, sleeve and held object, in this order."""
    parts, first = [], 0
    for rings, begins_closed in ((_ARM_RINGS, False), (_ARM_RINGS, False), (_OBJECT_RINGS, True)):
        faces, count = tube_faces(rings, begins_closed)
        parts.append(faces + first)
        first += count
    return torch.cat(parts)


def tube_faces(rings: int, begins_closed: bool) -> tuple[Int[Tensor, "F 3"], int]:
    """Return the faces of a tube, and the number of its vertices.

    Vertices are those of the rings, then the centres of the two ends. The far end is closed, the near end only if
    `begins_closed`.
    """
    i = torch.arange(_AROUND)
    j = (i + 1) % _AROUND
    sides = []
    for ring in range(rings - 1):
        a, b = ring * _AROUND, (ring + 1) * _AROUND
        sides += [torch.stack((a + i, a + j, b + i), -1), torch.stack((a + j, b + j, b + i), -1)]
    first, last, end = rings * _AROUND, rings * _AROUND + 1, (rings - 1) * _AROUND
    sides.append(torch.stack((last + 0 * i, end + i, end + j), -1))
    if begins_closed:
        sides.append(torch.stack((first + 0 * i, j, i), -1))
    return torch.cat(sides), last + 1


def tube(
    start: Float[Tensor, "B 3"],
    axes: Float[Tensor, "B 3 3"],
    along: Float[Tensor, "B R"],
    radii: Float[Tensor, "B R 2"],
) -> Float[Tensor, "B V 3"]:
    """Return the vertices of a tube along ``axes[:, 2]``, in the order of `tube_faces`, metres.

    Its rings are at the distances `along` from `start`; `radii` are their half-widths along the other two axes.
    """
    angle = torch.arange(_AROUND, device=start.device) * (2 * torch.pi / _AROUND)
    circle = torch.stack((angle.cos(), angle.sin()), dim=-1)
    flat = radii[:, :, None] * circle
    rings = torch.cat((flat, along[:, :, None, None].expand(*flat.shape[:3], 1)), dim=-1)
    ends = torch.zeros(start.shape[0], 2, 3, device=start.device)
    ends[:, 0, 2], ends[:, 1, 2] = along[:, 0], along[:, -1]
    local = torch.cat((rings.flatten(1, 2), ends), dim=1)
    return start[:, None] + local @ axes


def make_props(
    vertices: Float[Tensor, "B V 3"],
    joints: Float[Tensor, "B 21 3"],
    skin: Float[Tensor, "B 3"],
    dice: Dice,
    options: SynthOptions,
) -> Props:
    """Return forearm, sleeve and held object of a batch of hands; `skin` is the mean albedo of each."""
    straight = hand_axes(joints)
    wrist, radii = wrist_of(vertices, joints[:, WRIST], straight)
    axes = _bend(straight, dice)
    arm = _forearm(wrist, axes, radii, dice)
    sleeve = _sleeve(wrist, axes, radii, dice)
    has_arm = dice.chance(options.forearm)
    has_sleeve = has_arm & dice.chance(options.sleeve)
    held, held_color = _held(joints, dice)
    meshes = [
        _where(has_arm, arm, wrist),
        _where(has_sleeve, sleeve, wrist),
        _where(dice.chance(options.held_object), held, wrist),
    ]
    colors = [_skin_colors(arm, skin, dice), _cloth_colors(sleeve, dice), held_color]
    return Props(vertices=torch.cat(meshes, dim=1), colors=torch.cat(colors, dim=1).clamp(0.01, 1))


def skin_at_wrist(posed: Hand, faces: Int[Tensor, "F 3"]) -> Float[Tensor, "B 3"]:
    """Return the mean albedo of each hand's skin within a few centimetres of its wrist; grey without an appearance."""
    if posed.appearance is None:
        return posed.vertices.new_full((len(posed.vertices), 3), 0.6)
    distance = (posed.vertices - posed.joints[:, WRIST, None]).norm(dim=-1)
    weight = torch.exp(-((distance / 0.025) ** 2))[..., None]
    albedo = _albedo_at_vertices(posed.appearance, faces, posed.vertices.shape[1])
    return (albedo * weight).sum(dim=1) / weight.sum(dim=1)


def _albedo_at_vertices(appearance: Appearance, faces: Int[Tensor, "F 3"], count: int) -> Float[Tensor, "B V 3"]:
    """Return the albedo at every vertex; from a texture map, it is read at one of the vertex's UVs."""
    if appearance.uvs is None or appearance.faces_uvs is None:
        return appearance.albedo
    uv_of_vertex = faces.new_zeros(count).index_copy(0, faces.flatten().long(), appearance.faces_uvs.flatten().long())
    grid = (2 * appearance.uvs[uv_of_vertex] - 1) * appearance.uvs.new_tensor((1.0, -1.0))
    sampled = grid_sample(
        appearance.albedo, grid.expand(len(appearance.albedo), 1, -1, -1), align_corners=False, padding_mode="border"
    )
    return sampled[:, :, 0].transpose(1, 2)


def _where(wanted: Bool[Tensor, " B"], mesh: Float[Tensor, "B V 3"], point: Float[Tensor, "B 3"]) -> Tensor:
    return torch.where(wanted[:, None, None], mesh, point[:, None])


def hand_axes(joints: Float[Tensor, "B 21 3"]) -> Float[Tensor, "B 3 3"]:
    """Return unit vectors as rows: across the wrist, perpendicular to the palm, and towards the forearm."""
    along = normalize(joints[:, WRIST] - joints[:, ROOT], dim=-1)
    across = joints[:, _INDEX_MCP] - joints[:, _PINKY_MCP]
    across = normalize(across - (across * along).sum(-1, keepdim=True) * along, dim=-1)
    return torch.stack((across, torch.linalg.cross(along, across), along), dim=1)


def _bend(axes: Float[Tensor, "B 3 3"], dice: Dice) -> Float[Tensor, "B 3 3"]:
    """Return the axes of the forearm: those of the hand, randomly bent at the wrist.

    An arm that points straight at the camera would hide its hand, so it is bent aside.
    """
    across, through, along = axes.unbind(dim=1)
    flexion, deviation = (0.35 * dice.normal()).clamp(-0.9, 0.9), (0.15 * dice.normal()).clamp(-0.4, 0.4)
    along = normalize(along + flexion.tan()[:, None] * through + deviation.tan()[:, None] * across, dim=-1)
    along = normalize(torch.cat((along[:, :2], along[:, 2:].clamp(min=-_TOWARDS_CAMERA)), dim=-1), dim=-1)
    across = normalize(across - (across * along).sum(-1, keepdim=True) * along, dim=-1)
    return torch.stack((across, torch.linalg.cross(along, across), along), dim=1)


def wrist_of(
    vertices: Float[Tensor, "B V 3"], joint: Float[Tensor, "B 3"], axes: Float[Tensor, "B 3 3"]
) -> tuple[Float[Tensor, "B 3"], Float[Tensor, "B 2"]]:
    """Return the centre and half-widths of the hand's mesh in its last centimetre towards the forearm, metres."""
    local = (vertices - joint[:, None]) @ axes.mT
    near = (local[..., 2:] > local[..., 2:].amax(dim=1, keepdim=True) - 0.01).to(local)
    middle = (local * near).sum(dim=1) / near.sum(dim=1)
    radii = ((local - middle[:, None]).abs() * near)[..., :2].amax(dim=1)
    return joint + (middle[:, None] @ axes)[:, 0], radii.clamp(0.012, 0.04)


def _forearm(wrist: Tensor, axes: Tensor, radii: Float[Tensor, "B 2"], dice: Dice) -> Float[Tensor, "B V 3"]:
    """Return an oval tube from inside the hand to beyond the picture, which gets thicker and rounder towards the elbow.

    Its first ring, inside the hand, is thinner, so that the tube comes out of the skin before the hand's mesh ends.
    """
    share = torch.linspace(0, 1, _ARM_RINGS, device=wrist.device)
    along = (-_INTO_HAND_M + _ARM_M * share**1.5).expand(dice.batch, -1)
    girth = 1 + dice.uniform(0.2, 0.6)[:, None] * share
    girth[:, 0] *= 0.9
    round_ = radii + (radii.mean(-1, keepdim=True) * 1.15 - radii) * 0.6
    profile = torch.lerp(radii[:, None], round_[:, None], share[None, :, None])
    return tube(wrist, axes, along, 1.03 * profile * girth[..., None])


def _sleeve(wrist: Tensor, axes: Tensor, radii: Float[Tensor, "B 2"], dice: Dice) -> Float[Tensor, "B V 3"]:
    """Return a tube that is wider than the forearm, with folds, and begins at the wrist or farther up the arm."""
    share = torch.linspace(0, 1, _ARM_RINGS, device=wrist.device)
    begin = dice.uniform(-0.01, 0.09)[:, None]
    along = begin + (_ARM_M + 0.02 - begin) * share
    width = dice.uniform(1.15, 1.7)[:, None] + dice.uniform(0.1, 0.6)[:, None] * share
    folds = 1 + 0.05 * torch.sin(dice.uniform(3.0, 9.0)[:, None] * 6 * share + dice.uniform(0.0, 6.0)[:, None])
    return tube(wrist, axes, along, radii[:, None] * (width * folds)[..., None])


def _skin_colors(mesh: Tensor, skin: Float[Tensor, "B 3"], dice: Dice) -> Tensor:
    """Return skin colours slightly paler or darker than the hand's, with faint blotches."""
    tone = skin * (1 + 0.05 * dice.normal())[:, None]
    return tone[:, None] * (1 + 0.025 * dice.normal(mesh.shape[1], 1))


def _cloth_colors(mesh: Tensor, dice: Dice) -> Tensor:
    """Return the colours of plain or striped cloth: dark, light or colourful."""
    base = dice.uniform(0.02, 0.9)[:, None] * (0.4 + 0.6 * dice.uniform(0.0, 1.0, 3))
    other = dice.uniform(0.02, 0.9, 3)
    ring = torch.arange(mesh.shape[1], device=mesh.device) // _AROUND
    period = dice.integer(4).to(mesh.device)[:, None] + 1
    striped = (dice.chance(0.3)[:, None] & ((ring // period) % 2 == 0))[..., None]
    return torch.where(striped, other[:, None], base[:, None]) * (1 + 0.04 * dice.normal(mesh.shape[1], 1))


def _held(joints: Float[Tensor, "B 21 3"], dice: Dice) -> tuple[Tensor, Tensor]:
    """Return an object (a rod, can, ball or cone) across the palm, where the fingers close, and its colours."""
    middle = joints[:, _JOINTS_HELD].mean(dim=1)
    across = normalize(joints[:, _INDEX_MCP] - joints[:, _PINKY_MCP] + 0.02 * dice.normal(3), dim=-1)
    other = normalize(torch.linalg.cross(across, normalize(middle - joints[:, WRIST], dim=-1)), dim=-1)
    axes = torch.stack((other, torch.linalg.cross(across, other), across), dim=1)
    share = torch.linspace(-1, 1, _OBJECT_RINGS, device=joints.device)
    half = dice.log_uniform(0.02, 0.11)[:, None]
    radius = dice.log_uniform(0.006, 0.03)[:, None]
    ball = (1 - share.square() * 0.98).sqrt()
    cone = 0.3 + 0.7 * (share + 1) / 2
    kind = dice.integer(4).to(joints.device)[:, None]
    profile = torch.where(kind == 0, ball, torch.where(kind == 1, cone, torch.ones_like(ball)))
    half = torch.where(kind == 0, radius, half)
    radii = (radius * profile)[..., None] * dice.uniform(0.6, 1.0, 1, 2)
    mesh = tube(middle, axes, half * share, radii)
    shade = dice.uniform(0.05, 0.95, 1, 3) * (1 + 0.05 * dice.normal(mesh.shape[1], 1))
    label = ((torch.arange(mesh.shape[1], device=mesh.device) // _AROUND) % 4 == 2)[None, :, None]
    return mesh, torch.where(label & dice.chance(0.4)[:, None, None], dice.uniform(0.05, 0.95, 1, 3), shade)
