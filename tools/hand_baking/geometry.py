"""Align hands, close the wrist, find fingertips, and fit the chart into the unit square."""

from dataclasses import dataclass

import numpy as np
from hand_baking import rig
from hand_baking.source import Source

#: The chart's margin inside the unit square, which leaves room for the padding of the maps.
_CHART_MARGIN = 0.02


@dataclass(frozen=True)
class Aligned:
    """Hands in the hand frame (wrist at the origin), metres."""

    vertices: np.ndarray  # (S, V, 3)
    heads: np.ndarray  # (S, 20, 3)


def align(raw: Source) -> Aligned:
    """Move every person's hand to the hand frame, and scale it to its length from wrist to middle tip."""
    turns = np.stack([rig.hand_frame(heads) for heads in raw.heads])
    wrist = raw.heads[:, :1]
    vertices = np.einsum("sxy,svy->svx", turns, raw.vertices - wrist)
    heads = np.einsum("sxy,sjy->sjx", turns, raw.heads - wrist)
    tip = finger_tips(vertices[0], heads[0])[2]
    scale = (raw.lengths / np.linalg.norm(vertices[:, tip], axis=1))[:, None, None]
    return Aligned(vertices * scale, heads * scale)


def close_wrist(faces: np.ndarray, faces_uvs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Close the wrist with a strip of triangles that all have the colour of one point on the rim."""
    loop, uvs = _rim(faces, faces_uvs)
    # The rim follows the direction of the faces; the lid runs the opposite way, so that it also faces outwards.
    loop, uvs = loop[::-1], uvs[::-1]
    low, high, turn = 0, len(loop) - 1, True
    lid, colours = [], []
    while high - low >= 2:
        third = low + 1 if turn else high - 1
        lid.append((loop[low], loop[third], loop[high]))
        colours.append((uvs[0],) * 3)
        low, high, turn = (third, high, False) if turn else (low, third, True)
    return np.concatenate((faces, np.array(lid))), np.concatenate((faces_uvs, np.array(colours)))


def _rim(faces: np.ndarray, faces_uvs: np.ndarray) -> tuple[list[int], list[int]]:
    """Return the open boundary as a closed walk of vertices, with one chart point for each."""
    after, colour = {}, {}
    edges = {(int(face[k]), int(face[(k + 1) % 3])) for face in faces for k in range(3)}
    for face, uvs in zip(faces, faces_uvs, strict=True):
        for k in range(3):
            a, b = int(face[k]), int(face[(k + 1) % 3])
            if (b, a) not in edges:
                after[a], colour[a] = b, int(uvs[k])
    start = min(after)
    loop = [start]
    while after[loop[-1]] != start:
        loop.append(after[loop[-1]])
    if len(loop) != len(after):
        raise ValueError(f"the hand has {len(after)} open edges, of which the wrist explains {len(loop)}")
    return loop, [colour[v] for v in loop]


def finger_tips(vertices: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Return the tip vertex of every finger: the farthest along the last bone among those close to its axis."""
    tips = []
    for end, before in ((3, 2), (7, 6), (11, 10), (15, 14), (19, 18)):
        along = heads[end] - heads[before]
        along = along / np.linalg.norm(along)
        offset = vertices - heads[end]
        height = offset @ along
        radius = np.linalg.norm(offset - height[:, None] * along, axis=1)
        tips.append(np.argmax(np.where((radius < 0.014) & (height < 0.042), height - 0.3 * radius, -1.0)))
    return np.array(tips)


def fit_chart(uvs: np.ndarray) -> np.ndarray:
    """Scale the chart uniformly to fill the unit square up to a margin."""
    low, high = uvs.min(0), uvs.max(0)
    return (uvs - (low + high) / 2) / (high - low).max() * (1 - 2 * _CHART_MARGIN) + 0.5
