"""Convert hands of any model with our 21-joint armature to MANO; left hands get parameters of MANO's left hand."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.conversion.converted_hand import converted_hand, hand_to_convert
from hifihr_core.conversion.initial import pose_like
from hifihr_core.conversion.surface_fit import FitTrust, Targets, fit_to_surface
from hifihr_core.conversion.surface_map import SurfaceMap, surface_map
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.surfaces import vertex_colors
from hifihr_core.exports.textured_meshes import TexturedMesh, hand_rig
from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.hands.contract import JointDefinition
from hifihr_core.hands.mano.interchange import export_mano
from hifihr_core.hands.mano.model import Mano
from hifihr_core.lookup import needed
from hifihr_core.placed_hands import PlacedHands

#: Tightness of the fit: the map is accurate to a millimetre or two, and betas cannot represent every hand.
_TRUST = FitTrust(vertex_m=1e-3, joint_m=2e-3, pose_prior=15.0, shape_prior=0.25)
_STEPS = 10
_NUM_VERTICES = 778

#: Meaning of the numbers under `mano` in a result.
CONVENTIONS: Mapping[str, str] = {
    "model": "smplx.MANO of the same side; vertices = MANO(global_orient, hand_pose, betas) + transl, in the camera "
    "frame, metres",
    "hand_pose": "axis-angle of 15 joints in MANO's order, flat_hand_mean=True, use_pca=False",
    "hand_pose_pca": "the same pose as coefficients of hands_components about hands_mean; for smplx, take the first "
    "n < 45 of them, with flat_hand_mean=False, use_pca=True, num_pca_comps=n",
    "left": "for MANO's left hand with a corrected shape basis (shapedirs[:, 0, :] *= -1 in the official file)",
    "residual_mm": "distances of the vertices from their target points on the predicted surface, and between the "
    "joints computed from each",
}


@dataclass(frozen=True)
class ManoFit:
    """Right MANO hands in the (mirrored) camera frame, and their distances from the surface that they were fitted to.

    `vertex_errors` are the distances of the 778 vertices from their points, `joint_errors` those of FreiHAND's joints,
    metres.
    """

    hands: PlacedHands
    vertex_errors: Float[Tensor, "B 778"]
    joint_errors: Float[Tensor, "B 21"]


class ManoConverter:
    """Fits MANO to hands of the model `hand`; the map between the two is computed at the first use on a machine.

    Raises: AssetError if MANO is not installed.
    """

    def __init__(
        self,
        hand: HandModel,
        mano: Mano | None = None,
        *,
        joints: JointDefinition = "freihand",
        places: SurfaceMap | None = None,
    ) -> None:
        built = load_hand("mano", joints=joints, dtype=torch.float64) if mano is None else mano.double()
        assert isinstance(built, Mano)
        self.mano = built
        self.hand = hand.double()
        self.places = surface_map(self.hand, self.mano) if places is None else places

    def fit(self, parameters: HandParameters, root_cam: Float[Tensor, "B 3"]) -> ManoFit:
        """Fit MANO to right hands of the converter's `hand` model whose joint 9 is at `root_cam`."""
        with torch.no_grad():
            armature = needed(self.hand.armature(parameters), "the armature of a hand to convert")
            points = self.places.points(self.hand(parameters).vertices, self.hand.faces) + root_cam[:, None]
            joints = torch.einsum("vj,bvx->bjx", self.mano.joint_weights, points)
            one = points.new_ones(len(points), _NUM_VERTICES)
            start = pose_like(self.mano, armature, root_cam)
            targets = Targets(points, one, joints, one[:, :21])
            fitted = fit_to_surface(self.mano, start, targets, steps=_STEPS, trust=_TRUST)
            vertices = self.mano(fitted.parameters).vertices + fitted.root_cam[:, None]
            reached = torch.einsum("vj,bvx->bjx", self.mano.joint_weights, vertices)
            return ManoFit(fitted, (vertices - points).norm(dim=-1), (reached - joints).norm(dim=-1))

    def convert(self, result: HandResult) -> HandResult:
        """Convert the hand of a photo to MANO: mesh, rig, joints, parameters, and the entry `mano` of its document.

        Colours are those of `result` at MANO's vertices. Raises: ValueError if `result` is not of the converter's
        `hand` model.
        """
        fit = self.fit(*hand_to_convert(result, self.hand))
        document = self._document(fit, result)
        return converted_hand(result, self.mano, fit.hands, self._mesh(fit.hands, result), mano=document)

    def _mesh(self, hands: PlacedHands, result: HandResult) -> TexturedMesh:
        colors = torch.from_numpy(vertex_colors(result.mesh))[None]
        return TexturedMesh(
            (self.mano(hands.parameters).vertices + hands.root_cam[:, None])[0].numpy(),
            self.mano.faces.numpy(),
            vertex_colors=self.places.points(colors, self.hand.faces)[0].clamp(0, 1).numpy(),
            rig=hand_rig(self.mano, hands.parameters, hands.root_cam),
        )

    def _document(self, fit: ManoFit, result: HandResult) -> dict[str, object]:
        exported = export_mano(self.mano, fit.hands.parameters, fit.hands.root_cam, side=result.side)
        shift = self.mano.axis_angles(fit.hands.parameters.pose) - self.mano.hands_mean
        # A left hand's components are the right hand's, mirrored, so the coefficients are the same.
        pca = shift @ torch.linalg.inv(self.mano.components)
        values = {"global_orient": exported.global_orient, "hand_pose": exported.hand_pose, "hand_pose_pca": pca}
        values |= {"betas": exported.betas, "transl": exported.transl}
        errors = {
            "vertices_mean": fit.vertex_errors.mean(),
            "vertices_95": fit.vertex_errors.quantile(0.95),
            "joints_mean": fit.joint_errors.mean(),
        }
        return {
            "side": result.side,
            **{name: value[0].tolist() for name, value in values.items()},
            "residual_mm": {name: round(1e3 * float(error), 3) for name, error in errors.items()},
            "conventions": dict(CONVENTIONS),
        }
