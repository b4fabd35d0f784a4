"""Convert hands of any model with our 21-joint armature to NIMBLE: pose, shape, skin and position.

A left hand's parameters are those of its mirror image, a right hand, as elsewhere in results.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.conversion.converted_hand import converted_hand, hand_to_convert
from hifihr_core.conversion.initial import pose_like
from hifihr_core.conversion.surface_fit import FitTrust, Targets, fit_to_surface
from hifihr_core.conversion.surface_map import SurfaceMap, mapped_vertices, surface_map
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.surfaces import vertex_colors
from hifihr_core.exports.textured_meshes import posed_mesh
from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.hands.contract import JointDefinition
from hifihr_core.hands.nimble.model import Nimble
from hifihr_core.lookup import needed
from hifihr_core.placed_hands import PlacedHands

#: Limit of NIMBLE's coefficients: beyond three standard deviations its prior is unreliable.
_TRUST = FitTrust(vertex_m=1e-3, joint_m=1e3, pose_prior=3.0, shape_prior=1.0)
_STEPS = 12
#: Standard deviation of a vertex's colour from the observed albedo, with a unit prior on texture coefficients.
_COLOR_STD = 0.1

RESIDUAL = "nimble_residual_mm"


class NimbleConverter:
    """Fits NIMBLE to hands of the model `hand`; the map between the two is computed at the first use on a machine.

    NIMBLE's pose has 30 components by default, so a pose outside their span is only approximated; the residual measures
    how well. Raises: AssetError if NIMBLE is not installed, or, for the joints "freihand", if MANO is not.
    """

    def __init__(
        self,
        hand: HandModel,
        nimble: Nimble | None = None,
        *,
        joints: JointDefinition = "freihand",
        places: SurfaceMap | None = None,
    ) -> None:
        built = load_hand("nimble", joints=joints) if nimble is None else nimble
        assert isinstance(built, Nimble)
        self.nimble = built.double()
        self.hand = hand.double()
        self.which = mapped_vertices(self.nimble)
        self.places = surface_map(self.hand, self.nimble) if places is None else places
        self._skin: tuple[Tensor, Tensor] | None = None

    def fit(
        self, parameters: HandParameters, root_cam: Float[Tensor, "B 3"]
    ) -> tuple[PlacedHands, Float[Tensor, "B N"]]:
        """Fit NIMBLE to right hands of the converter's `hand` model whose joint 9 is at `root_cam`.

        Return the NIMBLE hands, and the distance of every mapped vertex from its point, metres.
        """
        with torch.no_grad():
            armature = needed(self.hand.armature(parameters), "the armature of a hand to convert")
            points = self.places.points(self.hand(parameters).vertices, self.hand.faces) + root_cam[:, None]
            weights = points.new_ones(points.shape[:2])
            start = pose_like(self.nimble, armature, root_cam)
            targets = Targets(points, weights, points[:, :21], 0 * weights[:, :21], which=self.which)
            fitted = fit_to_surface(self.nimble, start, targets, steps=_STEPS, trust=_TRUST)
            reached = self.nimble(fitted.parameters).vertices[:, self.which] + fitted.root_cam[:, None]
            return fitted, (reached - points).norm(dim=-1)

    def convert(self, result: HandResult) -> HandResult:
        """Convert the hand of a photo to NIMBLE: mesh, rig, joints, parameters; the residual is in its `report`.

        The texture is NIMBLE's, fitted to the colours of `result`. Raises: ValueError if `result` is not of the
        converter's `hand` model.
        """
        fitted, errors = self.fit(*hand_to_convert(result, self.hand))
        colors = self.places.points(torch.from_numpy(vertex_colors(result.mesh))[None], self.hand.faces)[0]
        hands = replace(fitted, parameters=replace(fitted.parameters, texture=self._texture(colors)[None]))
        report = {**result.report, RESIDUAL: _residual(errors)}
        return converted_hand(result, self.nimble, hands, posed_mesh(self.nimble, hands), report=report)

    def _texture(self, colors: Float[Tensor, "N 3"]) -> Float[Tensor, " X"]:
        """Return texture coefficients that fit these colours of the mapped vertices, with the mean skin as prior."""
        mean, basis = self._linear_skin()
        scaled, wanted = basis.flatten(1).T / _COLOR_STD, (colors - mean).flatten() / _COLOR_STD
        # Neighbouring vertices are correlated: together they count as a hundred independent ones.
        share = min(1.0, 100 / len(colors))
        normal = share * scaled.T @ scaled + torch.eye(len(basis), dtype=basis.dtype)
        return torch.linalg.solve(normal, share * scaled.T @ wanted)

    def _linear_skin(self) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "X N 3"]]:
        """Return the mean colours of the mapped vertices, and their derivative for each texture coefficient."""
        if self._skin is None:
            model = self.nimble
            mean = model.sample_at_vertices(model.texture_mean[None])[0, self.which]
            self._skin = mean, model.sample_at_vertices(model.texture_basis)[:, self.which]
        return self._skin


def _residual(errors: Float[Tensor, "B N"]) -> Mapping[str, float]:
    return {
        "vertices_mean": round(1e3 * float(errors.mean()), 3),
        "vertices_95": round(1e3 * float(errors.quantile(0.95)), 3),
    }
