"""Triangle meshes in plain torch: normals, areas, edges with their adjacent faces.

Faces are counter-clockwise seen from outside, so that (p1 - p0) x (p2 - p0) points outwards.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class EdgeAdjacency:
    """The undirected edges of a mesh, and the faces on either side.

    Concretely, edge e joins vertices ``edges[e] = (i, j)`` with i < j; ``faces[e, s]`` is the face on side s and
    ``opposite[e, s]`` that face's third vertex; both are -1 on the open side of a border. An edge shared by more than
    two faces is listed once for every two of them.
    """

    edges: Int[Tensor, "E 2"]
    opposite: Int[Tensor, "E 2"]
    faces: Int[Tensor, "E 2"]


def last_corners(faces: Int[Tensor, "F 3"]) -> Int[Tensor, " V"]:
    """Return the last corner of each vertex, as an index into ``faces.reshape(-1)``; every vertex must be in a face.

    A vertex on a UV seam has different texture coordinates at its corners. Its last corner is a deterministic choice;
    if all of them were written to the vertex, the scheduling of threads would decide which one remains.
    """
    flat = faces.reshape(-1).long()
    corners = torch.arange(len(flat), device=flat.device)
    return corners.new_zeros(int(flat.max()) + 1).scatter_reduce(0, flat, corners, "amax", include_self=False)


def face_cross(verts: Float[Tensor, "*B V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "*B F 3"]:
    """Return the outward normal of every face, with a length of twice its area."""
    corner = [verts.index_select(-2, faces[:, c]) for c in range(3)]
    return torch.linalg.cross(corner[1] - corner[0], corner[2] - corner[0], dim=-1)


def face_areas(verts: Float[Tensor, "*B V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "*B F"]:
    """Return the area of every face, in the square of the vertices' unit; its gradient at area 0 is 0."""
    squared = face_cross(verts, faces).square().sum(dim=-1)
    positive = squared > 0
    return torch.where(positive, squared.where(positive, squared.new_ones(())).sqrt() / 2, 0)


def vertex_normals(verts: Float[Tensor, "*B V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "*B V 3"]:
    """Return a unit normal per vertex: the area-weighted mean of its faces' normals; 0 if their area is 0."""
    cross = face_cross(verts, faces)
    summed = torch.zeros_like(verts)
    for corner in range(3):
        summed = summed.index_add(-2, faces[:, corner], cross)
    return _unit(summed)


def edge_adjacency(faces: Int[Tensor, "F 3"]) -> EdgeAdjacency:
    """Return the undirected edges, sorted by their vertices, with their faces; on the device of `faces`."""
    count = faces.shape[0]
    corners = faces.long()
    ends = torch.stack([corners[:, [1, 2]], corners[:, [2, 0]], corners[:, [0, 1]]], dim=1).reshape(-1, 2)
    third, owner = corners.reshape(-1), torch.arange(count, device=faces.device).repeat_interleave(3)
    ends = ends.sort(dim=1).values
    stride = int(corners.max()) + 1 if count else 1
    key = ends[:, 0] * stride + ends[:, 1]
    key, order = key.sort(stable=True)
    return _pair_up(key, ends[order], third[order], owner[order])


def edges(faces: Int[Tensor, "F 3"]) -> Int[Tensor, "E 2"]:
    """Return every undirected edge once as (i, j) with i < j, sorted."""
    return torch.unique(edge_adjacency(faces).edges, dim=0)


def _unit(vectors: Float[Tensor, "*B N 3"]) -> Float[Tensor, "*B N 3"]:
    """Normalise vectors; 0 stays 0, with gradient 0."""
    squared = vectors.square().sum(dim=-1, keepdim=True)
    positive = squared > 0
    return vectors * torch.where(positive, squared.where(positive, torch.ones_like(squared)).rsqrt(), 0)


def _pair_up(
    key: Int[Tensor, " N"], ends: Int[Tensor, "N 2"], third: Int[Tensor, " N"], owner: Int[Tensor, " N"]
) -> EdgeAdjacency:
    """Join half-edges with equal `key` in pairs; an unpaired one gets -1 for its second side.

    Half-edges are sorted by `key`; `third` is the vertex opposite each of them, and `owner` its face.
    """
    total = key.shape[0]
    start = torch.ones(total, dtype=torch.bool, device=key.device)
    start[1:] = key[1:] != key[:-1]
    position = torch.arange(total, device=key.device)
    rank = position - torch.where(start, position, 0).cummax(dim=0).values if total else position
    first = (rank % 2 == 0).nonzero()[:, 0]
    after = (first + 1).clamp_max(max(total - 1, 0))
    paired = (first + 1 < total) & (key[after] == key[first])
    nothing = torch.full_like(first, -1)
    second_third, second_owner = third[after].where(paired, nothing), owner[after].where(paired, nothing)
    return EdgeAdjacency(
        edges=ends[first],
        opposite=torch.stack([third[first], second_third], dim=1),
        faces=torch.stack([owner[first], second_owner], dim=1),
    )
