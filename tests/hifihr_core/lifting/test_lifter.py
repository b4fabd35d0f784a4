from pathlib import Path

import pytest
import torch

from hifihr_core.errors import AssetError
from hifihr_core.geometry.rays import rotation_to_axis
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.lifting.lifter import Lifter, build_lifter, load_lifter, save_lifter
from hifihr_core.models.shipped import LIFTER, shipped_model


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return load_hand("anny", texture_px=64)


@pytest.fixture
def lifter(hand: HandModel) -> Lifter:
    torch.manual_seed(0)
    lifter = build_lifter(hand, width=16, blocks=2).eval()
    torch.nn.init.normal_(lifter.head.weight, std=0.3)
    return lifter


def _inputs(batch: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    K = torch.tensor([[300.0, 0, 100], [0, 300, 100], [0, 0, 1]]).expand(batch, 3, 3)
    return torch.rand(batch, 21, 2, generator=generator) * 60 + 90, torch.ones(batch, 21), K


def test_turning_the_camera_turns_the_answer(lifter: Lifter) -> None:
    points, confidence, K = _inputs()
    R = rotation_to_axis(torch.tensor([[0.2, -0.1]]))[0]
    rays = torch.linalg.solve(K, torch.cat((points, torch.ones(3, 21, 1)), dim=-1).mT).mT @ R.T
    turned_px = (rays @ K[0].T)[..., :2] / rays[..., 2:]
    a, b = lifter(points, confidence, K), lifter(turned_px, confidence, K)
    # The middle of a box is not quite the middle of the turned box, so the two virtual cameras differ a little.
    torch.testing.assert_close(b.root_cam, a.root_cam @ R.T, atol=0.1, rtol=0.1)
    torch.testing.assert_close(b.parameters.pose, a.parameters.pose, atol=0.05, rtol=0)


def test_resizing_the_photo_changes_nothing(lifter: Lifter) -> None:
    points, confidence, K = _inputs()
    twice = torch.diag(torch.tensor([2.0, 2.0, 1.0]))
    a, b = lifter(points, confidence, K), lifter(2 * points, confidence, twice @ K)
    torch.testing.assert_close(a.root_cam, b.root_cam)
    torch.testing.assert_close(a.parameters.global_orient, b.parameters.global_orient)


def test_lost_joints_are_not_looked_at(lifter: Lifter) -> None:
    points, confidence, K = _inputs()
    confidence[:, 4] = 0
    wild = points.clone()
    wild[:, 4] = -5000.0
    a, b = lifter(points, confidence, K), lifter(wild, confidence, K)
    torch.testing.assert_close(a.parameters.pose, b.parameters.pose)
    torch.testing.assert_close(a.root_cam, b.root_cam)


def test_no_keypoints_still_give_finite_numbers(lifter: Lifter) -> None:
    points, confidence, K = _inputs()
    lifted = lifter(points, torch.zeros_like(confidence), K)
    assert torch.isfinite(lifted.root_cam).all()
    assert (lifted.root_cam[:, 2] > 0).all()


def test_saved_and_loaded(tmp_path: Path, lifter: Lifter, hand: HandModel) -> None:
    save_lifter(tmp_path / "a.safetensors", lifter, hand, {"steps": "3"})
    again = load_lifter(tmp_path / "a.safetensors", hand)
    a, b = lifter(*_inputs()), again(*_inputs())
    torch.testing.assert_close(a.parameters.pose, b.parameters.pose, atol=2e-2, rtol=1e-2)  # stored in 16 bits
    torch.testing.assert_close(a.root_cam, b.root_cam, atol=2e-2, rtol=1e-2)
    assert not again.training


def test_a_lifter_for_another_hand_is_refused(
    tmp_path: Path, lifter: Lifter, hand: HandModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_lifter(tmp_path / "a.safetensors", lifter, hand, {})
    monkeypatch.setattr(hand, "name", "mano")
    with pytest.raises(AssetError, match=r"is a lifter for the hand 'anny' with .*, expected 'mano'"):
        load_lifter(tmp_path / "a.safetensors", hand)
    (tmp_path / "b.safetensors").write_bytes(b"nothing")
    with pytest.raises(AssetError, match="not a complete safetensors file"):
        load_lifter(tmp_path / "b.safetensors", hand)


def test_the_shipped_lifter_is_small_and_free(hand: HandModel) -> None:
    from hifihr_core.lifting.lifter import FORMAT, FORMAT_VERSION
    from hifihr_core.weight_files import read_facts

    path = shipped_model(LIFTER)
    assert path is not None
    assert path.stat().st_size < 4_000_000
    facts = read_facts(path, format=FORMAT, version=FORMAT_VERSION)
    assert facts["licence"] == "free"
    assert {"data", "steps", "settings", "score", "joints"} <= facts.keys()
    assert isinstance(load_lifter(path, hand), Lifter)
