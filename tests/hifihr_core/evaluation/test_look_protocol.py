"""The look of people: which pictures belong together, and the scores of the truth and of a wrong skin."""

from dataclasses import replace

import pytest
import torch

from hifihr_core.evaluation.look_protocol import LookScorer
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.hands.contract import HandParameters
from hifihr_core.models.contract import Estimate
from hifihr_core.models.placing import place_estimate
from hifihr_core.records import Batch, Light
from hifihr_core.synthesis import SynthOptions
from hifihr_core.synthesis.generator import Synthesizer


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return load_hand("anny", texture_px=64)


@pytest.fixture(scope="module")
def batch(hand: HandModel) -> Batch:
    """Return three people in two pictures each."""
    options = SynthOptions(image_px=48, backgrounds=4, light="environment", pictures_each=2)
    return Synthesizer(hand, seed=4, options=options).make(0, 6)


def found(hand: HandModel, batch: Batch, texture: torch.Tensor):
    """Return a prediction that knows everything but the skin."""
    labels = batch.labels
    light = Light(*labels["light"].split(3, dim=1))
    parameters = HandParameters(labels["global_orient"], labels["pose"], labels["shape"], texture)
    estimate = Estimate(parameters, torch.full((len(batch), 2), 24.0), torch.full((len(batch),), 200.0), light)
    return place_estimate(estimate, batch.K, hand)


def document(hand: HandModel, batch: Batch, texture: torch.Tensor) -> dict:
    looks = LookScorer(hand)
    looks.add(batch, found(hand, batch, texture))
    return looks.document()


def test_pictures_of_one_person_belong_together(hand: HandModel, batch: Batch) -> None:
    looks = LookScorer(hand)
    looks.add(batch, found(hand, batch, batch.labels["texture"]))
    assert [len(pictures) for pictures in looks.people()] == [2, 2, 2]


def test_the_true_skin_is_right_wherever_it_is_drawn(hand: HandModel, batch: Batch) -> None:
    result = document(hand, batch, batch.labels["texture"])
    assert (result["people"], result["pictures_each"]) == (3, 2)
    assert set(result["rows"]) == {"mean texture", "1 picture"}  # with two pictures, the other one is the test
    row = result["rows"]["1 picture"]
    for scene in ("other", "behind"):
        assert row[scene]["ciede2000"] < 1e-6
        assert row[scene]["psnr"] > 100
        assert row[scene]["lpips"] is None
    assert row["tone"]["error"] == pytest.approx([0, 0, 0], abs=1e-6)
    assert row["tone"]["correlation"] == pytest.approx([1, 1, 1])
    assert result["rows"]["mean texture"]["other"]["ciede2000"] > 1
    assert result["rows"]["mean texture"]["tone"]["correlation"] == [None] * 3


def test_a_skin_that_fits_only_in_its_own_picture_has_a_worse_score(hand: HandModel, batch: Batch) -> None:
    wrong = batch.labels["texture"].clone()
    wrong[:, 0] += 2.0
    row = document(hand, batch, wrong)["rows"]["1 picture"]
    assert row["behind"]["ciede2000"] > 3
    assert row["other"]["psnr"] < 35


def test_one_picture_per_person_gives_no_score(hand: HandModel, batch: Batch) -> None:
    first = replace(
        batch,
        image=batch.image[::2],
        K=batch.K[::2],
        keys=batch.keys[::2],
        sides=batch.sides[::2],
        labels={name: value[::2] for name, value in batch.labels.items()},
        present={name: value[::2] for name, value in batch.present.items()},
    )
    assert document(hand, first, first.labels["texture"]) is None


def test_merged_parts_score_like_one_run(hand, batch):
    whole, together = LookScorer(hand), LookScorer(hand)
    whole.add(batch, found(hand, batch, 0.8 * batch.labels["texture"]))
    rows = whole.tensors()
    for part in (slice(0, 2), slice(2, None)):
        together.take({name: values[part] for name, values in rows.items()})
    assert together.document() == whole.document()
