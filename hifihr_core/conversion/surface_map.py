"""Where each vertex of MANO lies on the surface of another hand model, found once and kept on the user's machine.

Two templates look alike but fold in different places, so a map found in one pose slides along the fingers. Here MANO is
fitted to the other hand in many poses at once, and every vertex of MANO goes to the point that is nearest in all of
them together, with a normal that agrees. No number of MANO is needed beforehand, and none is shipped.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hifihr_core.assets.store import cache_home
from hifihr_core.conversion.initial import mano_like
from hifihr_core.conversion.mano_fit import FitTrust, Targets, fit_mano
from hifihr_core.files import write_atomically
from hifihr_core.geometry.meshes import vertex_normals
from hifihr_core.hands.archives import load_record, save_record
from hifihr_core.hands.contract import HandModel, HandParameters
from hifihr_core.hands.mano.model import Mano
from hifihr_core.lookup import needed
from hifihr_core.placed_hands import PlacedHands

#: Version of the way the map is found; a map of another version is found again.
FORMAT = 1
_POSES = 12
_ROUNDS, _SLIDING_ROUNDS = 12, 8
#: Places per face, as the barycentric grid of this many steps.
_GRID = 5
#: How far a normal that is off by its own length counts as apart, metres.
_NORMAL_M = 8e-3


@dataclass(frozen=True)
class SurfaceMap:
    """Vertex v of MANO lies at ``sum_c bary[v, c] * vertices[faces[face[v], c]]`` of the other hand."""

    face: Int[np.ndarray, "778"]
    bary: Float[np.ndarray, "778 3"]

    def points(self, vertices: Float[Tensor, "B V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "B 778 3"]:
        """Return the places of MANO's vertices on a posed surface."""
        corners = vertices[:, faces[torch.from_numpy(self.face)]]
        return (corners * torch.from_numpy(self.bary).to(vertices)[..., None]).sum(2)


def surface_map(hand: HandModel, mano: Mano) -> SurfaceMap:
    """Return the map between these two models: the kept one, or one that is found now (some ten seconds) and kept."""
    path = cache_home() / "surface_maps" / f"{hand.name}_{_fingerprint(hand, mano)}.npz"
    if path.is_file():
        return load_record(
            SurfaceMap, path, kind="surface map", format_number=FORMAT, remedy="remove it; it is made again"
        )
    found = find_surface_map(hand, mano)
    with write_atomically(path) as part:
        save_record(found, Path(part), kind="surface map", format_number=FORMAT)
    return found


def find_surface_map(hand: HandModel, mano: Mano, *, poses: int = _POSES, rounds: int = _ROUNDS) -> SurfaceMap:
    """Find the map by fitting MANO to `poses` drawn poses of the mean hand, in turn with the nearest places."""
    hand, mano = hand.double(), mano.double()
    faces, bary = _grid(hand.faces.numpy())
    parameters = _draw(hand, poses)
    posed, armature = hand(parameters), needed(hand.armature(parameters), "the armature of a hand to convert")
    root = torch.zeros(poses, 3, dtype=torch.float64)
    places = _Places(hand, posed.vertices, faces, bary)
    one = torch.ones(poses, 778, dtype=torch.float64)
    joints, trusted = posed.joints, torch.ones(poses, 21, dtype=torch.float64)
    fitted = mano_like(mano, armature, root)
    targets = Targets(torch.zeros(poses, 778, 3, dtype=torch.float64), 0 * one, joints, trusted)
    fitted = fit_mano(mano, fitted, targets, steps=6)
    index = np.zeros(778, dtype=int)
    for number in range(rounds):
        vertices = mano(fitted.parameters).vertices + fitted.root_cam[:, None]
        index = places.nearest(vertices, vertex_normals(vertices, mano.faces))
        sliding = number < min(_SLIDING_ROUNDS, rounds - 1)
        across = places.normals[:, index] if sliding else None
        targets = Targets(places.points[:, index], one, joints, trusted, across)
        trust = FitTrust(vertex_m=1.5e-3, joint_m=8e-3)
        fitted = _with_one_shape(fit_mano(mano, fitted, targets, steps=2, trust=trust))
    return SurfaceMap(faces[index], bary[index])


class _Places:
    """Places all over a surface in several poses, to be searched in all of them at once."""

    def __init__(self, hand: HandModel, vertices: Float[Tensor, "B V 3"], faces: np.ndarray, bary: np.ndarray) -> None:
        corners = hand.faces[torch.from_numpy(faces)]
        weights = torch.from_numpy(bary)[..., None]
        normals = vertex_normals(vertices, hand.faces)
        self.points = (vertices[:, corners] * weights).sum(2)
        self.normals = torch.nn.functional.normalize((normals[:, corners] * weights).sum(2), dim=-1)
        self._rows = _features(self.points, self.normals)
        self._squares = self._rows.square().sum(1)

    def nearest(self, points: Float[Tensor, "B N 3"], normals: Float[Tensor, "B N 3"]) -> Int[np.ndarray, " N"]:
        """Return the place that is nearest to each point over all poses together."""
        return (self._squares - 2 * _features(points, normals) @ self._rows.T).argmin(1).numpy()


def _features(points: Float[Tensor, "B N 3"], normals: Float[Tensor, "B N 3"]) -> Float[Tensor, "N D"]:
    both = torch.cat((points, _NORMAL_M * normals), dim=-1)
    return both.transpose(0, 1).flatten(1).float()


def _grid(faces: Int[np.ndarray, "F 3"]) -> tuple[Int[np.ndarray, " N"], Float[np.ndarray, "N 3"]]:
    """Return the same few places on every face."""
    steps = [(i, j) for i in range(_GRID) for j in range(_GRID - i)]
    pairs = (np.array(steps) + 1 / 3) / _GRID
    bary = np.column_stack((pairs, 1 - pairs.sum(1)))
    return np.repeat(np.arange(len(faces)), len(bary)), np.tile(bary, (len(faces), 1))


def _draw(hand: HandModel, poses: int) -> HandParameters:
    """Return the mean hand in its mean pose and in drawn ones."""
    drawn = hand.sample_parameters(poses - 1, generator=torch.Generator().manual_seed(0))
    mean = hand.mean_parameters()
    pose = torch.cat((mean.pose, drawn.pose.double()))
    zeros = torch.zeros(poses, 3 + hand.shape_dim, dtype=torch.float64)
    return HandParameters(zeros[:, :3], pose, zeros[:, 3:])


def _with_one_shape(hands: PlacedHands) -> PlacedHands:
    shape = hands.parameters.shape
    return replace(hands, parameters=replace(hands.parameters, shape=shape.mean(0, keepdim=True).expand_as(shape)))


def _fingerprint(hand: HandModel, mano: Mano) -> str:
    """Return what names the two models: their mean hands, to a tenth of a millimetre."""
    digest = hashlib.sha256(str(FORMAT).encode())
    for model in (hand, mano):
        vertices = model(replace(model.mean_parameters(), texture=None)).vertices
        digest.update((vertices * 1e4).round().int().numpy().tobytes())
    return digest.hexdigest()[:16]
