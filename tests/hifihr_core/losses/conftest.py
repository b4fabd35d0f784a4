"""Inputs in which the prediction is the truth, and ways to deviate from it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from hifihr_core.geometry.cameras import K_from_focal, project
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.losses.evaluate import hand_facts
from hifihr_core.losses.terms import LossInputs
from hifihr_core.models.contract import Estimate
from hifihr_core.models.placing import place_estimate
from hifihr_core.records import Light
from hifihr_core.rendering import Renderer

SIDE = 48


@pytest.fixture(scope="session")
def anny() -> HandModel:
    return load_hand("anny", texture_px=64)


@pytest.fixture(scope="session")
def estimate(anny) -> Estimate:
    """Return three plausible hands in the centre of their crops."""
    parameters = anny.sample_parameters(3, generator=torch.Generator().manual_seed(3))
    direction = torch.tensor([[0.0, 0.0, -1.0]]).expand(3, 3)
    light = Light(ambient=torch.full((3, 3), 0.5), color=torch.full((3, 3), 0.5), direction=direction)
    return Estimate(parameters, torch.full((3, 2), SIDE / 2), torch.full((3,), 3.5 * SIDE), light)


@pytest.fixture
def make_inputs(anny, estimate) -> Callable[..., LossInputs]:
    """Return ``make_inputs(other_estimate, rendered=True) -> LossInputs`` whose labels are those of `estimate`."""
    K = K_from_focal(2.0 * SIDE, width=SIDE, height=SIDE).expand(3, 3, 3)
    renderer = Renderer(anny.faces, height=SIDE, width=SIDE)
    facts = hand_facts(anny)

    def inputs(other: Estimate | None = None, *, rendered: bool = False, start: bool = False) -> LossInputs:
        drawn = renderer if rendered else None
        with torch.no_grad():
            truth = place_estimate(estimate, K, anny, renderer=renderer)
        prediction = place_estimate(other or estimate, K, anny, renderer=drawn)
        labels = {
            "joints_cam": truth.joints_cam,
            "joints_px": project(truth.joints_cam, K),
            "keypoints_px": project(truth.joints_cam, K),
            "keypoints_confidence": torch.full((3, 21), 0.9),
            "mano_vertices_cam": truth.verts_cam[:, :778],
            "bone_m": torch.linalg.vector_norm(truth.joints_cam[:, 9] - truth.joints_cam[:, 10], dim=-1),
            "mask": truth.rendered.silhouette,
            "texture": estimate.parameters.texture,
            "light": torch.cat((estimate.light.ambient, estimate.light.color, estimate.light.direction), dim=1),
            "sky": torch.zeros(3, 8, 3),
        }
        present = {name: torch.ones(3, dtype=torch.bool) for name in (*labels, "image")}
        hand = replace(prediction.hand, mano_vertices=prediction.hand.vertices[:, :778])
        return LossInputs(
            prediction=replace(prediction, hand=hand),
            image=truth.rendered.image,
            K=K,
            labels=labels,
            present=present,
            hand=replace(facts, mano_edges=facts.edges[(facts.edges < 778).all(dim=1)]),
            region=(truth.rendered.silhouette > 0.999).float() if rendered else None,
            trust=torch.ones(3) if rendered else None,
            start=truth if start else None,
        )

    return inputs
