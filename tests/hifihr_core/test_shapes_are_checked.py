"""The shapes in signatures are checked while tests run; otherwise annotations would only be decoration."""

import pytest
import torch
from jaxtyping import TypeCheckError

from hifihr_core.geometry.cameras import place_root, project
from hifihr_core.records import Light


def test_a_wrong_number_of_axes_is_refused():
    with pytest.raises(TypeCheckError):
        project(torch.zeros(4, 2), torch.eye(3))


def test_axes_of_one_letter_must_agree():
    good = {"root_px": torch.zeros(2, 2), "scale_px_per_m": torch.ones(2), "K": torch.eye(3).expand(2, 3, 3)}
    assert place_root(**good).shape == (2, 3)
    with pytest.raises(TypeCheckError):
        place_root(**good | {"scale_px_per_m": torch.ones(3)})


def test_fields_of_records_are_checked():
    with pytest.raises(TypeCheckError):
        Light(ambient=torch.zeros(2, 3), color=torch.zeros(2, 3), direction=torch.zeros(3))


def test_dtypes_are_checked():
    with pytest.raises(TypeCheckError):
        project(torch.zeros(4, 3, dtype=torch.int64), torch.eye(3))
