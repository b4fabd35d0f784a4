"""Choose the definition of the 21 joints in a result by name, and convert the joints of finished hands to it."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch

from hifihr_core.conversion.converters import Convert
from hifihr_core.errors import ConfigError
from hifihr_core.exports.results import HandResult
from hifihr_core.geometry.projection import project_points
from hifihr_core.geometry.sides import mirror_axis
from hifihr_core.hands import HandParameters, load_hand
from hifihr_core.hands.contract import JointDefinition
from hifihr_core.lookup import lookup

#: All have the same order: wrist, then thumb to little finger, each from base to tip (OpenPose's hand).
JOINT_CHOICES: Mapping[str, JointDefinition] = MappingProxyType(
    {"freihand": "freihand", "openpose": "freihand", "ho3d": "ho3d"}
)


def joint_definition(name: str) -> JointDefinition:
    """Return the joint definition called `name`. Raises: ConfigError for an unknown name."""
    return lookup(JOINT_CHOICES, name, "joint definition", error=ConfigError)


def convert_joints(hand_name: str, definition: JointDefinition) -> Convert:
    """Return a function that replaces the joints of a hand of this model with those of `definition`.

    The surface is unchanged.
    """
    model = load_hand(hand_name, joints=definition)

    def convert(result: HandResult) -> HandResult:
        named = {name: torch.from_numpy(np.asarray(value)).float()[None] for name, value in result.parameters.items()}
        with torch.no_grad():
            posed = model(HandParameters(named["global_orient"], named["pose"], named["shape"]))
        axis = mirror_axis(result.side)
        vertices, joints = (values[0].double().numpy() * axis for values in (posed.vertices, posed.joints))
        joints_cam = joints + (result.mesh.vertices[: len(vertices)] - vertices).mean(axis=0)
        joints_px = project_points(joints_cam, result.K)
        report = {**result.report, "joints": definition}
        return replace(result, joints_cam=joints_cam, joints_px=joints_px, report=report)

    return convert
