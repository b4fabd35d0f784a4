"""Errors of shape, texture and light on data whose true parameters are known (the synthetic benchmark)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hifihr_core.hands.contract import HandModel, HandParameters
from hifihr_core.lookup import needed
from hifihr_core.models.placing import PlacedEstimate
from hifihr_core.records import Batch
from hifihr_core.shards.schema import DatasetFacts

#: The label `light`: ambient colour, light colour, direction towards the light.
_AMBIENT, _COLOR, _DIRECTION = slice(0, 3), slice(3, 6), slice(6, 9)


@dataclass(frozen=True)
class ParameterScorer:
    """Compares predicted with true parameters of the same hand model.

    The error of the shape is the mean distance between the vertices of both hands in the model's mean pose, unrotated
    and relative to joint 9, millimetres; that of the texture is the mean absolute difference of the albedos, RGB in
    [0, 1]; those of the light are the mean absolute differences of the colours of ambient light and lamp, and the angle
    between the directions to the lamp, degrees.
    """

    hand: HandModel

    def __call__(self, batch: Batch, prediction: PlacedEstimate) -> list[dict[str, float | None]]:
        """Return one row of errors per sample; None if the sample lacks the label or the network the prediction."""
        rows: list[dict[str, float | None]] = [{} for _ in range(len(batch))]
        with torch.inference_mode():
            self._fill(rows, batch, "shape", "shape_mm", self._shape(batch, prediction))
            self._fill(rows, batch, "texture", "texture_l1", self._texture(batch, prediction))
            for name, values in self._light(batch, prediction).items():
                self._fill(rows, batch, "light", name, values)
        return rows

    @staticmethod
    def _fill(rows: list[dict[str, float | None]], batch: Batch, label: str, name: str, values: Tensor | None) -> None:
        for b, row in enumerate(rows):
            known = values is not None and bool(batch.present[label][b])
            row[name] = float(values[b]) if known and values is not None else None

    def _shape(self, batch: Batch, prediction: PlacedEstimate) -> Tensor | None:
        truth = batch.labels.get("shape")
        if truth is None or truth.shape[1] != self.hand.shape_dim:
            return None
        ours, theirs = (self._mean_pose(shape) for shape in (prediction.estimate.parameters.shape, truth))
        return 1000 * torch.linalg.vector_norm(ours - theirs, dim=-1).mean(dim=1)

    def _mean_pose(self, shape: Tensor) -> Tensor:
        mean = self.hand.mean_parameters(len(shape))
        return self.hand(HandParameters(mean.global_orient, mean.pose, shape)).vertices

    def _texture(self, batch: Batch, prediction: PlacedEstimate) -> Tensor | None:
        truth, ours = batch.labels.get("texture"), prediction.estimate.parameters.texture
        if truth is None or ours is None or truth.shape[1] != self.hand.texture_dim:
            return None
        mean = self.hand.mean_parameters(len(truth))
        albedos = []
        for texture in (ours, truth):
            appearance = self.hand(HandParameters(mean.global_orient, mean.pose, mean.shape, texture)).appearance
            albedos.append(needed(appearance, "the appearance").albedo.clamp(0, 1))
        return (albedos[0] - albedos[1]).abs().flatten(1).mean(dim=1)

    def _light(self, batch: Batch, prediction: PlacedEstimate) -> dict[str, Tensor | None]:
        truth, ours = batch.labels.get("light"), prediction.estimate.light
        if truth is None or ours is None:
            return dict.fromkeys(("ambient_l1", "light_color_l1", "light_angle_deg"))
        cosine = (ours.direction * truth[:, _DIRECTION]).sum(dim=1).clamp(-1, 1)
        return {
            "ambient_l1": (ours.ambient - truth[:, _AMBIENT]).abs().mean(dim=1),
            "light_color_l1": (ours.color - truth[:, _COLOR]).abs().mean(dim=1),
            "light_angle_deg": torch.rad2deg(cosine.acos()),
        }


def parameter_scorer(hand: HandModel, facts: DatasetFacts) -> ParameterScorer | None:
    """Return a scorer if the dataset has true parameters of this hand model, else None."""
    return ParameterScorer(hand) if facts.synthetic and facts.hand == hand.name else None
