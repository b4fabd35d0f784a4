"""The eyes' definition of the 21 joints in terms of a hand model's joints.

The joints of the eyes (the built-in detector) have the same names as ours but are at other places. Relative to the
hand's size, their fingertips are a fifteenth short of ours, and their wrist is a tenth nearer to the fingers. A fit
that ignores this bends fingers to shorten them.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.outside.json_text import read_json

#: Weights for each definition of the hand's joints, made by tools/learn_seen_definition.py.
_FILE = "seen_definition.json"


def seen_definition(joint_definition: str) -> Float[Tensor, "21 21"] | None:
    """Return the eyes' joints as weighted sums of a hand's, ``seen = weights @ joints``; each row sums to 1.

    Joints may be 3D or 2D. None if the definition is not "freihand" or "ho3d".
    """
    weights = _weights().get(joint_definition)
    return None if weights is None else torch.tensor(weights)


def as_seen(joints: Float[Tensor, "B 21 D"], joint_definition: str) -> Float[Tensor, "B 21 D"]:
    """Convert a hand model's joints to the eyes' definition; those of an unknown definition are unchanged."""
    weights = seen_definition(joint_definition)
    return joints if weights is None else weights.to(joints) @ joints


def from_seen(seen: Float[Tensor, "B 21 D"], joint_definition: str) -> Float[Tensor, "B 21 D"]:
    """Convert joints from the eyes' definition to that of a hand model: the inverse of `as_seen`.

    Exact for 3D joints, and for the 2D joints of a distant hand; joints of an unknown definition are unchanged.
    """
    weights = seen_definition(joint_definition)
    return seen if weights is None else torch.linalg.solve(weights.to(seen), seen)


@cache
def _weights() -> dict[str, list[list[float]]]:
    return read_json(Path(str(files("hifihr_core.lifting") / "data" / _FILE)), remedy="reinstall hifihr")
