"""The skeleton for animators: one bone per finger segment, with anatomical axes.

Hand models may pose their surface with any bones (`HandModel.rig`). An armature has bones that a person can pose:
sixteen (twenty for NIMBLE) and five fingertips, with each bone along its finger, a flat hand as the bind pose, and few
weights per vertex.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from hifihr_core.skeleton import FINGERS, JOINT_NAMES, PARENTS

#: Flexion axes of the thumb bones, in the axes of the wrist bone, for hands that do not define their own.
_THUMB_FLEXION = (0.06, -0.55, 0.83)


@dataclass(frozen=True)
class Armature:
    """Bones, bind pose and pose of a batch of hands.

    Every bone has its origin at its joint, +y towards its child, +x along its flexion axis and +z towards the palmar
    side: a positive turn about +x curls the finger. The bind frame is that of the wrist bone, so ``T_bind_bone[:, 0]``
    is the identity: +y from the wrist to the middle knuckle. Concretely, vertex v is at
    ``sum_n weights[v, n] * (T_root_bone[b, n] @ inverse(T_bind_bone[b, n]) @ bind_vertices[b, v])`` in the root frame.
    The parent of bone n is ``parents[n]`` (-1: none; parents come before their children). Metres.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    bind_vertices: Float[Tensor, "B V 3"]
    T_bind_bone: Float[Tensor, "B N 4 4"]
    T_root_bone: Float[Tensor, "B N 4 4"]
    weights: Float[Tensor, "V N"]


def build_armature(
    bind_vertices: Float[Tensor, "B V 3"],
    heads: Float[Tensor, "B N 3"],
    motions: Float[Tensor, "B N 4 4"],
    weights: Float[Tensor, "V N"],
    *,
    flexions: Float[Tensor, "B N 3"] | None = None,
    names: tuple[str, ...] = JOINT_NAMES,
    parents: tuple[int, ...] = PARENTS,
) -> Armature:
    """Return the armature of hands whose bones start at `heads` in the bind pose.

    `heads`, `bind_vertices` and `flexions` are in the same arbitrary frame; `motions` map it to the root frame, bone by
    bone. `flexions` are the axes about which a positive rotation curls; by default they are derived from the shape of
    the palm.
    """
    axes = palm_flexions(heads, names) if flexions is None else flexions
    T_any_bone = _transform(bone_frames(heads, axes, parents), heads)
    T_bind_any = torch.linalg.inv(T_any_bone[:, :1])
    turned = bind_vertices @ T_bind_any[:, 0, :3, :3].transpose(1, 2) + T_bind_any[:, 0, None, :3, 3]
    return Armature(names, parents, turned, T_bind_any @ T_any_bone, motions @ T_any_bone, weights)


def bone_frames(
    heads: Float[Tensor, "B N 3"], flexions: Float[Tensor, "B N 3"], parents: tuple[int, ...]
) -> Float[Tensor, "B N 3 3"]:
    """Return the axes of every bone as columns x (flexion), y (towards the child) and z = x cross y.

    The wrist bone points at the middle knuckle. A fingertip has no child and keeps the axes of its last bone.
    """
    frames: list[Tensor] = []
    for bone, parent in enumerate(parents):
        children = [child for child, of in enumerate(parents) if of == bone]
        if not children:
            frames.append(frames[parent])
            continue
        child = children[len(children) // 2]
        y = normalize(heads[:, child] - heads[:, bone], dim=-1)
        across = flexions[:, bone]
        x = normalize(across - (across * y).sum(-1, keepdim=True) * y, dim=-1)
        frames.append(torch.stack((x, y, torch.linalg.cross(x, y)), dim=-1))
    return torch.stack(frames, dim=1)


def palm_flexions(heads: Float[Tensor, "B N 3"], names: tuple[str, ...]) -> Float[Tensor, "B N 3"]:
    """Return flexion axes from the shape of a flat right hand.

    The thumb's axis has a fixed direction relative to the palm; all others run across the palm.
    """
    wrist, index, middle, pinky = (heads[:, names.index(f"{name}")] for name in _PALM)
    up = normalize(middle - wrist, dim=-1)
    out = normalize(torch.linalg.cross(index - wrist, pinky - wrist), dim=-1)
    across = normalize(torch.linalg.cross(up, out), dim=-1)
    palm = torch.stack((across, up, torch.linalg.cross(across, up)), dim=-1)
    thumb = normalize(palm @ heads.new_tensor(_THUMB_FLEXION), dim=-1)
    return torch.stack([thumb if name.startswith(FINGERS[0]) else across for name in names], dim=1)


_PALM = ("wrist", "index_mcp", "middle_mcp", "pinky_mcp")


def _transform(turns: Float[Tensor, "B N 3 3"], places: Float[Tensor, "B N 3"]) -> Float[Tensor, "B N 4 4"]:
    last_row = places.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*places.shape[:2], 1, 4)
    return torch.cat((torch.cat((turns, places[..., None]), dim=-1), last_row), dim=-2)
