import pytest
import torch

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.lifting.lifter import load_lifter
from hifihr_core.lifting.noisy_keypoints import EXTENT_RANGE, DetectorNoise, sample_keypoints, spoil
from hifihr_core.lifting.train_lifter import LifterTraining, evaluate_lifter, lifter_loss, train_lifter
from hifihr_core.models.shipped import LIFTER, shipped_model
from hifihr_core.placed_hands import PlacedHands

NONE = dict.fromkeys(("level", "outlier_share", "dropped_share", "dropped_finger_share", "swapped_share"), 0.0)
EXACT = DetectorNoise(**NONE)


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return load_hand("anny", texture_px=64)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_exact_keypoints_are_the_projected_joints(hand: HandModel) -> None:
    batch = sample_keypoints(hand, 64, generator=_generator(), noise=EXACT)
    joints = hand.joints_of(batch.parameters) + batch.root_cam[:, None]
    torch.testing.assert_close(joints, batch.joints_cam, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(batch.keypoints_px, project(batch.joints_cam, batch.K), atol=0.05, rtol=1e-4)
    assert (batch.joints_cam[..., 2] > 0.04).all()
    extent = 0.09 / batch.root_cam[:, 2]
    assert EXTENT_RANGE[0] * 0.99 < extent.min() < extent.max() < EXTENT_RANGE[1] * 1.01
    again = sample_keypoints(hand, 64, generator=_generator(), noise=EXACT)
    torch.testing.assert_close(batch.keypoints_px, again.keypoints_px)


def test_mistakes_come_as_often_as_asked(hand: HandModel) -> None:
    points = sample_keypoints(hand, 2000, generator=_generator(), noise=EXACT).keypoints_px
    half = (points.amax(dim=1) - points.amin(dim=1)).amax(dim=1)[:, None] / 2

    def moved(noise: DetectorNoise) -> tuple[torch.Tensor, torch.Tensor]:
        spoiled, confidence = spoil(points, generator=_generator(1), noise=noise)
        return (spoiled - points).norm(dim=-1) / half, confidence

    far, _ = moved(DetectorNoise(**NONE | {"outlier_share": 0.1}))
    assert float((far > 1e-3).float().mean()) == pytest.approx(0.1, abs=0.01)
    _, confidence = moved(DetectorNoise(**NONE | {"dropped_share": 0.2}))
    assert float((confidence == 0).float().mean()) == pytest.approx(0.2, abs=0.02)
    assert (confidence[:, 9] > 0).all()
    _, confidence = moved(DetectorNoise(**NONE | {"dropped_finger_share": 0.3}))
    assert set((confidence == 0).sum(dim=1).tolist()) == {0, 3}
    swapped, _ = moved(DetectorNoise(**NONE | {"swapped_share": 1.0}))
    assert set((swapped > 1e-3).sum(dim=1).tolist()) <= {0, 8}


def test_the_truth_costs_nothing(hand: HandModel) -> None:
    truth = sample_keypoints(hand, 8, generator=_generator(), noise=EXACT)
    terms = lifter_loss(hand, PlacedHands(truth.parameters, truth.root_cam), truth)
    assert max(float(value) for value in terms.values()) < 1e-4
    wrong = lifter_loss(hand, PlacedHands(truth.parameters, 1.1 * truth.root_cam), truth)
    assert float(wrong["distance"]) == pytest.approx(0.0953, abs=1e-3)
    assert float(wrong["joints"]) < 1e-4


def test_a_few_steps_learn_and_repeat(hand: HandModel) -> None:
    settings = LifterTraining(steps=40, batch_size=16, width=32, blocks=1, lr_warmup_steps=5, lr=3e-3, seed=4)
    losses: list[float] = []
    lifter = train_lifter(hand, settings, on_step=lambda step, terms, average: losses.append(sum(terms.values())))
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    again = train_lifter(hand, settings)
    torch.testing.assert_close(list(lifter.parameters()), list(again.parameters()))


def test_time_ends_a_run(hand: HandModel) -> None:
    steps: list[int] = []
    settings = LifterTraining(max_minutes=1e-9, batch_size=4, width=8, blocks=1)
    train_lifter(hand, settings, on_step=lambda step, terms, average: steps.append(step))
    assert len(steps) <= 1


def test_the_truth_scores_zero_and_the_shipped_lifter_is_as_accurate_as_stated(hand: HandModel) -> None:
    exact = sample_keypoints(hand, 64, generator=_generator(1_000_003), noise=EXACT)
    perfect = evaluate_lifter(hand, lambda *_: PlacedHands(exact.parameters, exact.root_cam), hands=64)
    assert perfect.joints_mm < 1e-2
    assert perfect.distance_share < 1e-6
    path = shipped_model(LIFTER)
    assert path is not None
    score = evaluate_lifter(hand, load_lifter(path, hand), hands=512)
    assert score.pa_joints_mm < 8.0
