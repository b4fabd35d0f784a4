"""The eyes' definition of the 21 joints in terms of a hand model's joints.

The eyes' fingertips are a fifteenth of the hand's size short of ours, and their wrist is a tenth nearer to the fingers:
the same names are defined differently. A fit that ignores this bends fingers to shorten them.
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
    """Return joints as the eyes define them; those of an unknown definition are unchanged."""
    weights = seen_definition(joint_definition)
    return joints if weights is None else weights.to(joints) @ joints


def from_seen(seen: Float[Tensor, "B 21 D"], joint_definition: str) -> Float[Tensor, "B 21 D"]:
    """Return joints that the eyes saw as a hand model defines them: the inverse of `as_seen`.

    Exact in 3D and for a distant camera; joints of an unknown definition are unchanged.
    """
    weights = seen_definition(joint_definition)
    return seen if weights is None else torch.linalg.solve(weights.to(seen), seen)


@cache
def _weights() -> dict[str, list[list[float]]]:
    return read_json(Path(str(files("hifihr_core.lifting") / "data" / _FILE)), remedy="reinstall hifihr")
