"""Hands rendered on the fly: the same for the same position, in whichever process and wherever a run resumes."""

import itertools

import pytest
import torch

from hifihr_core.config.tree import ModelSettings
from hifihr_core.errors import ConfigError
from hifihr_core.models.checkpoint import load_checkpoint
from hifihr_core.stream.order import Share
from hifihr_core.stream.synthetic import SynthBatches
from hifihr_core.synthesis import Synthesizer, SynthOptions
from hifihr_core.training.loop import fit
from hifihr_core.training.network import choose_hand

ALONE = Share()
LENGTH = 5


@pytest.fixture(scope="module")
def synthesizer(anny) -> Synthesizer:
    return Synthesizer(anny, options=SynthOptions(image_px=32, backgrounds=4))


def pictures(batches, epochs=1):
    return [batch.image for _ in range(epochs) for batch in batches]


def equal(first, second):
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_run_resumes_at_any_batch(synthesizer, repeats):
    def fresh():
        return SynthBatches(synthesizer, ALONE, 1, LENGTH, repeats=repeats)

    whole = pictures(fresh(), epochs=2)
    assert len(whole) == 2 * LENGTH == 2 * len(fresh())
    for cut in (0, 1, 4, LENGTH, LENGTH + 2):
        first, second = fresh(), fresh()
        rows = itertools.chain.from_iterable(first for _ in range(2))
        for _ in range(cut):
            next(rows)
        state = first.state_dict()
        second.load_state_dict(state)
        rest = pictures(second, epochs=1 if cut > LENGTH else 2)
        assert equal(rest, whole[cut:]), cut


def test_workers_draw_the_same(synthesizer):
    alone = SynthBatches(synthesizer, ALONE, 2, 3, repeats=2)
    helped = SynthBatches(synthesizer, ALONE, 2, 3, repeats=2, workers=1)
    assert equal(pictures(alone), pictures(helped))


def test_repeats_draw_less_and_show_the_same_hands_again(synthesizer):
    batches = list(SynthBatches(synthesizer, ALONE, 2, 6, repeats=3))
    keys = [batch.keys for batch in batches]
    assert len(set(keys)) == 2  # two draws for six batches
    images = [batch.image for batch in batches]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(images, 2))


def test_two_processes_draw_different_hands(synthesizer):
    shares = [Share(rank, 2) for rank in range(2)]
    first, second = (list(SynthBatches(synthesizer, share, 1, 2)) for share in shares)
    keys = [batch.keys for batch in (*first, *second)]
    assert len(set(keys)) == 4


@pytest.mark.parametrize("level", ["full", "weak", "self"])
def test_a_network_that_finds_joints_first_trains_at_every_level(level, settings_for, shards, tmp_path):
    settings = settings_for(
        shards, "model.geometry=keypoints", f"train.supervision={level}", "loss.weights.vertices_3d=0"
    )
    notes: list[str] = []
    summary = fit(settings, tmp_path / "run", device="cpu", on_note=notes.append)
    assert summary.steps == 3
    assert "lifter: the shipped one" in notes


def test_it_learns_from_hands_rendered_on_the_fly(settings_for, tmp_path):
    settings = settings_for(
        "synth", "model.geometry=keypoints", "data.image_px=32", "data.synth_repeats=2", "data.validation_limit=4"
    )
    assert fit(settings, tmp_path / "run", device="cpu").steps == 3


def test_the_parts_of_the_shipped_network_follow_each_other(settings_for, shards, tmp_path):
    """Joints, then geometry, then texture and light: each starts from the weights of the one before."""
    common = ("model.geometry=keypoints", "train.max_steps=1", "data.validation_part=0")
    blind = (*common, "model.texture=false", "render.enabled=false")
    joints = fit(settings_for(shards, *blind, "loss.weights.joints_3d=0"), tmp_path / "joints", device="cpu")
    geometry = fit(settings_for(shards, *blind), tmp_path / "geometry", init=joints.weights, device="cpu")
    notes: list[str] = []
    fit(settings_for(shards, *common), tmp_path / "look", init=geometry.weights, device="cpu", on_note=notes.append)
    assert any("with fresh heads for light, texture" in note for note in notes)


def test_a_smaller_texture_map_serves_small_crops(settings_for, shards, tmp_path):
    settings = settings_for(shards, "model.texture_px=64", "train.max_steps=1", "data.validation_part=0")
    weights = fit(settings, tmp_path / "run", device="cpu").weights
    assert load_checkpoint(weights).hand.texture_px == 512  # the same coefficients, whatever map they were learnt on
    with pytest.raises(ConfigError, match=r"model\.texture_px: found 100, rejected by the hand anny"):
        fit(settings_for(shards, "model.texture_px=100"), tmp_path / "odd", device="cpu")


def test_a_hand_without_a_map_refuses_a_size_for_it():
    with pytest.raises(ConfigError, match="found 64, rejected by the hand mano: mano has no option texture_px"):
        choose_hand(ModelSettings(hand="mano", texture_px=64), ["freihand"])
