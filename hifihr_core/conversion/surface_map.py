"""Positions of MANO or NIMBLE vertices on another hand model's surface, computed once and kept on the user's machine.

Two templates look alike but fold in different places, so a map found in a single pose would be displaced along the
fingers. Here MANO or NIMBLE is fitted to the other model in many poses at once, and each of its vertices is mapped to
the point that is nearest over all poses, with a matching normal. No data of MANO or NIMBLE is shipped for this.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hifihr_core.assets.store import cache_home
from hifihr_core.conversion.initial import Fittable, pose_like
from hifihr_core.conversion.surface_fit import FitTrust, Targets, fit_to_surface
from hifihr_core.errors import DataError
from hifihr_core.files import write_atomically
from hifihr_core.geometry.meshes import vertex_normals
from hifihr_core.hands.archives import load_record, save_record
from hifihr_core.hands.contract import HandModel, HandParameters
from hifihr_core.hands.mano.model import Mano
from hifihr_core.lookup import needed
from hifihr_core.placed_hands import PlacedHands

#: Version of the mapping method; maps of other versions are computed again.
FORMAT = 1
_POSES = 12
_ROUNDS, _SLIDING_ROUNDS = 12, 8
#: Stride between mapped vertices on NIMBLE's surface.
_NIMBLE_STRIDE = 5
#: Number of steps in the barycentric grid of candidate points per face.
_GRID = 5
#: Distance that a normal error of unit length counts as, metres.
_NORMAL_M = 8e-3


@dataclass(frozen=True)
class SurfaceMap:
    """Positions of one model's vertices on the surface of another: a face and barycentric coordinates for each.

    Concretely, vertex v of `mapped_vertices` is at ``sum_c bary[v, c] * vertices[faces[face[v], c]]``, with `vertices`
    and `faces` of the other model.
    """

    face: Int[np.ndarray, " N"]
    bary: Float[np.ndarray, "N 3"]

    def points(self, vertices: Float[Tensor, "B V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "B N 3"]:
        """Return the positions of the mapped vertices on a posed surface."""
        corners = vertices[:, faces[torch.from_numpy(self.face)]]
        return (corners * torch.from_numpy(self.bary).to(vertices)[..., None]).sum(2)


def mapped_vertices(model: Fittable) -> Int[Tensor, " N"]:
    """Return the indices of the vertices to fit: all of MANO's, or about a thousand on NIMBLE's surface."""
    return torch.arange(model.num_vertices) if isinstance(model, Mano) else model.surface[::_NIMBLE_STRIDE]


def surface_map(hand: HandModel, model: Fittable) -> SurfaceMap:
    """Return the map of `model`'s vertices on the surface of `hand`, computed (ten seconds) if it is not cached yet.

    It is computed every time if the cache cannot be written. Raises: AssetError if the cached file is damaged.
    """
    path = cache_home() / "surface_maps" / f"{hand.name}_{_fingerprint(hand, model)}.npz"
    if path.is_file():
        return load_record(
            SurfaceMap,
            path,
            kind="surface map",
            format_number=FORMAT,
            remedy="delete it, and it will be computed again",
        )
    found = find_surface_map(hand, model)
    with suppress(DataError), write_atomically(path) as part:
        save_record(found, Path(part), kind="surface map", format_number=FORMAT)
    return found


def find_surface_map(hand: HandModel, model: Fittable, *, poses: int = _POSES, rounds: int = _ROUNDS) -> SurfaceMap:
    """Compute the map in `rounds` rounds: find nearest points, then fit `model` to them in `poses` poses at once."""
    hand, model = hand.double(), model.double()
    faces, bary = _grid(hand.faces.numpy())
    parameters = _draw(hand, poses)
    posed, armature = hand(parameters), needed(hand.armature(parameters), "the armature of a hand to convert")
    places = _Places(hand, posed.vertices, faces, bary)
    which = mapped_vertices(model)
    one = torch.ones(poses, len(which), dtype=torch.float64)
    joints, trusted = posed.joints, torch.ones(poses, 21, dtype=torch.float64)
    fitted = pose_like(model, armature, torch.zeros(poses, 3, dtype=torch.float64))
    targets = Targets(places.points[:, : len(which)], 0 * one, joints, trusted, which=which)
    fitted = fit_to_surface(model, fitted, targets, steps=6)
    index = np.zeros(len(which), dtype=int)
    for number in range(rounds):
        vertices = model(fitted.parameters).vertices + fitted.root_cam[:, None]
        index = places.nearest(vertices[:, which], vertex_normals(vertices, model.faces)[:, which])
        sliding = number < min(_SLIDING_ROUNDS, rounds - 1)
        across = places.normals[:, index] if sliding else None
        targets = Targets(places.points[:, index], one, joints, trusted, across, which)
        trust = FitTrust(vertex_m=1.5e-3, joint_m=8e-3)
        fitted = _with_one_shape(fit_to_surface(model, fitted, targets, steps=2, trust=trust))
    return SurfaceMap(faces[index], bary[index])


class _Places:
    """Points all over a surface in several poses, for nearest-point searches over all poses at once."""

    def __init__(self, hand: HandModel, vertices: Float[Tensor, "B V 3"], faces: np.ndarray, bary: np.ndarray) -> None:
        corners = hand.faces[torch.from_numpy(faces)]
        weights = torch.from_numpy(bary)[..., None]
        normals = vertex_normals(vertices, hand.faces)
        self.points = (vertices[:, corners] * weights).sum(2)
        self.normals = torch.nn.functional.normalize((normals[:, corners] * weights).sum(2), dim=-1)
        self._rows = _features(self.points, self.normals)
        self._squares = self._rows.square().sum(1)

    def nearest(self, points: Float[Tensor, "B N 3"], normals: Float[Tensor, "B N 3"]) -> Int[np.ndarray, " N"]:
        """Return the index of the surface point nearest to each point, in position and normal, over all poses."""
        return (self._squares - 2 * _features(points, normals) @ self._rows.T).argmin(1).numpy()


def _features(points: Float[Tensor, "B N 3"], normals: Float[Tensor, "B N 3"]) -> Float[Tensor, "N D"]:
    both = torch.cat((points, _NORMAL_M * normals), dim=-1)
    return both.transpose(0, 1).flatten(1).float()


def _grid(faces: Int[np.ndarray, "F 3"]) -> tuple[Int[np.ndarray, " N"], Float[np.ndarray, "N 3"]]:
    """Return the candidate points, the same few on every face: face indices and barycentric coordinates."""
    steps = [(i, j) for i in range(_GRID) for j in range(_GRID - i)]
    pairs = (np.array(steps) + 1 / 3) / _GRID
    bary = np.column_stack((pairs, 1 - pairs.sum(1)))
    return np.repeat(np.arange(len(faces)), len(bary)), np.tile(bary, (len(faces), 1))


def _draw(hand: HandModel, poses: int) -> HandParameters:
    """Return the hand of mean shape in its mean pose and in `poses` - 1 sampled ones."""
    drawn = hand.sample_parameters(poses - 1, generator=torch.Generator().manual_seed(0))
    mean = hand.mean_parameters()
    pose = torch.cat((mean.pose, drawn.pose.double()))
    zeros = torch.zeros(poses, 3 + hand.shape_dim, dtype=torch.float64)
    return HandParameters(zeros[:, :3], pose, zeros[:, 3:])


def _with_one_shape(hands: PlacedHands) -> PlacedHands:
    shape = hands.parameters.shape
    return replace(hands, parameters=replace(hands.parameters, shape=shape.mean(0, keepdim=True).expand_as(shape)))


def _fingerprint(hand: HandModel, model: Fittable) -> str:
    """Return a digest that identifies the two models: their mean hands, to a tenth of a millimetre."""
    digest = hashlib.sha256(str(FORMAT).encode())
    for one in (hand, model):
        vertices = one(one.mean_parameters().untextured).vertices
        digest.update((vertices * 1e4).round().int().numpy().tobytes())
    return digest.hexdigest()[:16]
