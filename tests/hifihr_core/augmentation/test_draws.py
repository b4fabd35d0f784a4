from dataclasses import replace

import cv2
import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifihr_core.augmentation import draws as draws_module
from hifihr_core.augmentation.draws import COLUMNS, NO_CHANGE, AugmentRanges, Squares, draw, no_draws, place
from hifihr_core.augmentation.moves import move_labels
from hifihr_core.geometry.cameras import project
from hifihr_core.records import LABELS, Sample
from hifihr_core.rendering.skylight import sky_basis
from hifihr_core.sample_batches import stack_samples
from hifihr_core.stream.batching import CropPlan
from hifihr_core.stream.painting import EncodedBatch

SIZE = (200, 160)  # columns, rows


#: Sums over 200 samples, made once by the first release.
GOLDEN = {
    "mirrored": 56.0,
    "angle_rad": 11.409281333657653,
    "scale": 202.01842347571198,
    "shift": -0.045733617323665265,
    "color": 594.7012577348326,
    "gamma": 209.254955951228,
    "blur_sigma_px": 32.12282176546999,
    "noise": 1.2497167906177682,
    "noise_seed": 215918626154.0,
    "jpeg_quality": 6169.0,
    "cover_px": 92134.0,
    "cover_color": 297.76900791172875,
}


def camera(random):
    """A camera with unequal focal lengths, a skew, and a principal point off the centre."""
    fx, fy = random.uniform(150, 500, 2)
    return np.array([[fx, random.uniform(-5, 5), 107.1], [0, fy, 70.4], [0, 0, 1]])


def hand(random, K):
    """Joints in front of the camera, and every label that follows from them."""
    joints = random.uniform(-0.05, 0.05, (21, 3)) + np.array([0.02, -0.01, 0.5])
    pixels = joints @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    keypoints = pixels.copy()
    keypoints[7] = 0
    labels = {
        "joints_cam": joints,
        "joints_px": pixels,
        "joints_visible": np.ones(21),
        "keypoints_px": keypoints,
        "keypoints_confidence": np.ones(21),
        "mano_vertices_cam": random.uniform(-0.1, 0.1, (778, 3)) + np.array([0, 0, 0.5]),
        "root_cam": joints[9],
        "bone_m": np.float32(0.03),
        "box_px": np.concatenate((pixels.min(0), pixels.max(0))),
        "global_orient": random.normal(size=3),
        "pose": random.normal(size=45),
        "shape": random.normal(size=10),
        "texture": random.normal(size=5),
        "light": np.concatenate((random.uniform(size=6), [0.6, 0.0, -0.8])),
        "sky": random.normal(size=(8, 3)),
    }
    return {name: np.asarray(value, np.float32) for name, value in labels.items()}


def encoded(picture, extension=".png"):
    return cv2.imencode(extension, picture)[1].tobytes()


def dotted(points, radius=5):
    """A black picture with a soft white dot at every point, and its mask."""
    v, u = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    picture = np.zeros((SIZE[1], SIZE[0]))
    for x, y in points:
        picture = np.maximum(picture, np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * (radius / 2) ** 2)))
    return np.rint(255 * picture).astype(np.uint8)


def sample(key="a", seed=0, **overrides):
    random = np.random.default_rng(seed)
    K = camera(random)
    labels = hand(random, K)
    v, u = np.mgrid[: SIZE[1], : SIZE[0]]
    picture = np.stack((u % 256, v % 256, (u + v) % 256), axis=-1).astype(np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), 2)
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[40:120, 60:140] = 255
    values = {"image": encoded(picture), "K": K.astype(np.float32), "labels": labels, "mask": encoded(mask)}
    return Sample(key=key, annotation=key, **(values | overrides))


def moved(ranges, seeds, **options):
    """(old labels, K, draws, moved labels) for one sample per seed."""
    random = [np.random.default_rng(seed) for seed in seeds]
    K = np.stack([camera(r) for r in random])
    old = [hand(r, k) for r, k in zip(random, K, strict=True)]
    labels = {name: torch.from_numpy(np.stack([o[name] for o in old])) for name in old[0]}
    present = {name: torch.ones(len(seeds), dtype=torch.bool) for name in labels}
    draws = draw(ranges, [str(seed) for seed in seeds], image_px=224, **options)
    count = len(seeds)
    crops = Squares(np.tile([95.0, 77.0], (count, 1)), np.full(count, 120.0), np.full(count, float(SIZE[0])))
    _, K_new, motion = place(draws, K, crops, image_px=224)
    return labels, torch.from_numpy(K_new), draws, *move_labels(labels, present, motion), motion


@settings(max_examples=30, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=4, unique=True),
    epoch=st.integers(0, 100),
    flip=st.sampled_from((0.0, 0.5, 1.0)),
)
def test_3d_labels_project_onto_the_2d_ones_after_every_augmentation(seeds, epoch, flip):
    ranges = AugmentRanges(flip=flip, scale=(0.6, 1.6), shift=0.3)
    _, K_new, _, labels, _, _ = moved(ranges, seeds, seed=0, epoch=epoch)
    error = project(labels["joints_cam"].double(), K_new) - labels["joints_px"]
    assert error.abs().max() < 0.01
    root = project(labels["root_cam"][:, None].double(), K_new) - labels["joints_px"][:, 9:10]
    assert root.abs().max() < 0.01


def test_3d_shapes_are_kept():
    old, _, _, new, _, _ = moved(AugmentRanges(flip=0.5), range(6), seed=0, epoch=0)
    assert torch.allclose(torch.cdist(*2 * (old["joints_cam"],)), torch.cdist(*2 * (new["joints_cam"],)), atol=1e-6)
    torch.testing.assert_close(new["joints_cam"][..., 2], old["joints_cam"][..., 2])  # a roll keeps depth


def test_the_rotation_of_the_hand_turns_with_its_joints():
    old, _, draws, new, present, motion = moved(AugmentRanges(flip=0.5), range(8), seed=1, epoch=0)
    assert draws.mirrored.any()
    for b in range(8):
        if draws.mirrored[b]:
            assert not present["global_orient"][b]
            assert (new["global_orient"][b] == 0).all()
            continue
        before = roma.rotvec_to_rotmat(old["global_orient"][b])
        after = roma.rotvec_to_rotmat(new["global_orient"][b])
        torch.testing.assert_close(after, motion.M_new_old[b] @ before, atol=1e-5, rtol=0)
        torch.testing.assert_close(new["light"][b, 6:], motion.M_new_old[b] @ old["light"][b, 6:])


def test_a_sky_turns_with_what_it_shines_on():
    old, _, _, new, _, motion = moved(AugmentRanges(flip=0.5), range(6), seed=1, epoch=0)
    normals = torch.nn.functional.normalize(torch.randn(6, 9, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    before = sky_basis(normals) @ old["sky"]
    after = sky_basis(normals @ motion.M_new_old.mT) @ new["sky"]
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_no_change_changes_nothing():
    old, _, _, new, present, motion = moved(NO_CHANGE, range(3), seed=0, epoch=0)
    for name in ("joints_cam", "mano_vertices_cam", "global_orient", "light", "sky", "pose"):
        torch.testing.assert_close(new[name], old[name], atol=2e-6, rtol=0)
        assert present[name].all()
    torch.testing.assert_close(motion.M_new_old, torch.eye(3).expand(3, 3, 3))


def test_a_whole_picture_without_changes_is_not_drawn_again():
    """The transform is the identity to the last bit for any K; otherwise every picture would be warped."""
    K = np.stack([camera(np.random.default_rng(seed)).astype(np.float32) for seed in range(200)]).astype(np.float64)
    crops = Squares(np.full((200, 2), 112.0), np.full(200, 224.0), np.full(200, 224.0))
    T, K_new, motion = place(no_draws(200), K, crops, image_px=224)
    assert np.array_equal(T, np.tile(np.eye(3), (200, 1, 1)))
    assert np.array_equal(K_new, K)
    assert torch.equal(motion.M_new_old, torch.eye(3).expand(200, 3, 3))


def test_undetected_keypoints_stay_undetected():
    _, _, _, new, _, _ = moved(AugmentRanges(), range(5), seed=0, epoch=0)
    assert (new["keypoints_px"][:, 7] == 0).all()
    torch.testing.assert_close(new["keypoints_px"][:, 6], new["joints_px"][:, 6])


def test_every_label_has_a_rule():
    old, _, _, new, _, _ = moved(AugmentRanges(), [0], seed=0, epoch=0)
    assert new.keys() == old.keys() == LABELS.keys() - {"mask"}
    with pytest.raises(ValueError, match="label is 'teeth', expected one of joints_cam"):
        move_labels({"teeth": torch.zeros(1)}, {}, moved(NO_CHANGE, [0], seed=0, epoch=0)[-1])


def test_a_hand_rolls_about_the_principal_point():
    ranges = AugmentRanges(scale=(1.0, 1.0), shift=0.0)
    draws = draw(ranges, ["a"], seed=0, epoch=0, image_px=200)
    K = np.array([[[300.0, 0, 80], [0, 300, 90], [0, 0, 1]]])
    crops = Squares(np.array([[80.0, 90.0]]), np.array([200.0]), np.array([200.0]))
    T, K_new, _ = place(draws, K, crops, image_px=200)
    cos, sin = np.cos(draws.angle_rad[0]), np.sin(draws.angle_rad[0])
    np.testing.assert_allclose(T[0] @ (80, 90, 1), (100, 100, 1))
    np.testing.assert_allclose(T[0] @ (90, 90, 1), (100 + 10 * cos, 100 + 10 * sin, 1))
    np.testing.assert_allclose(K_new[0], [[300, 0, 100], [0, 300, 100], [0, 0, 1]], atol=1e-9)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_pixels_move_with_the_labels(flip):
    for seed in range(6):
        original = sample(seed=seed)
        joint = original.labels["joints_px"][9]
        picture = dotted([joint])
        one = sample(key=str(seed), seed=seed, image=encoded(np.dstack([picture] * 3)), mask=encoded(picture))
        ranges = replace(NO_CHANGE, rotation_rad=np.pi, scale=(0.9, 1.2), shift=0.05, flip=flip)
        plan = CropPlan(image_px=224, augment=ranges)
        batch = EncodedBatch(stack_samples((one,)), (None,), plan).paint().to_batch()
        weights = batch.image[0, 1].double()
        centers = torch.arange(224) + 0.5
        u = (weights.sum(0) * centers).sum() / weights.sum()
        v = (weights.sum(1) * centers).sum() / weights.sum()
        expected = batch.labels["joints_px"][0, 9]
        assert abs(u - expected[0]) < 0.15
        assert abs(v - expected[1]) < 0.15
        rows, columns = torch.nonzero(batch.labels["mask"][0], as_tuple=True)
        assert abs(columns.double().mean() + 0.5 - expected[0]) < 0.5
        assert abs(rows.double().mean() + 0.5 - expected[1]) < 0.5
        assert batch.sides == (("left",) if flip else ("right",))


def test_draws_depend_on_seed_epoch_and_key_alone():
    def angles(keys, **options):
        return draw(AugmentRanges(), keys, image_px=64, **options).angle_rad.tolist()

    assert angles(["a", "b"], seed=0, epoch=0)[1:] == angles(["b"], seed=0, epoch=0)
    different = {tuple(angles(["a"], seed=s, epoch=e)) for s in range(3) for e in range(3)}
    assert len(different) == 9


def test_every_column_of_random_numbers_is_used_once(monkeypatch):
    """A column shared by two draws would couple, for example, the blur of a picture with its noise."""
    assert len(set(COLUMNS)) == len(COLUMNS)
    ranges = AugmentRanges(flip=0.5, gamma_probability=1.0, blur_probability=1.0, jpeg_probability=1.0)
    ranges = replace(ranges, cover_probability=1.0, noise_probability=1.0)

    def drawn(changed: int | None):
        values = np.full((1, len(COLUMNS)), 0.4)
        if changed is not None:
            values[0, changed] = 0.6
        monkeypatch.setattr(draws_module, "uniforms", lambda *_: values)
        fields = vars(draw(ranges, ["a"], seed=0, epoch=0, image_px=224))
        return {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}

    before = drawn(None)
    for column, name in enumerate(COLUMNS):
        after = drawn(column)
        changed = [field for field in before if not np.array_equal(before[field], after[field])]
        assert len(changed) == (0 if name.startswith("is_") else 1), (name, changed)


def test_draws_are_those_of_the_first_release():
    ranges = AugmentRanges(flip=0.3, jpeg_probability=0.5, gamma_probability=0.5, cover_probability=0.5)
    draws = draw(ranges, [f"k{i}" for i in range(200)], seed=3, epoch=2, image_px=224)
    found = {name: float(np.sum(value)) for name, value in vars(draws).items() if isinstance(value, np.ndarray)}
    assert found == pytest.approx(GOLDEN, rel=1e-9)


def test_draws_keep_their_ranges():
    ranges = AugmentRanges(rotation_rad=0.5, scale=(0.9, 1.1), shift=0.05, cover_side=(0.2, 0.3), cover_probability=1.0)
    draws = draw(ranges, [str(i) for i in range(500)], seed=0, epoch=0, image_px=100)
    assert abs(draws.angle_rad).max() <= 0.5
    assert draws.scale.min() >= 0.9
    assert draws.scale.max() <= 1.1
    assert abs(draws.shift).max() <= 0.05
    width = draws.cover_px[:, 2] - draws.cover_px[:, 0]
    assert width.max() <= 31
    assert draws.cover_px.min() >= 0
    assert draws.cover_px.max() <= 100
    assert 0.1 < (draws.blur_sigma_px > 0).mean() < 0.2


def test_the_hand_box_decides_the_crop():
    one = sample()
    box = one.labels["box_px"]
    batch = EncodedBatch(stack_samples((one,)), (1.5,), CropPlan(image_px=90)).paint().to_batch()
    side = 1.5 * max(box[2] - box[0], box[3] - box[1])
    found = batch.labels["box_px"][0]
    assert torch.isclose((found[2:] - found[:2]).max(), torch.tensor(90 / 1.5), atol=1e-3)
    assert torch.isclose(batch.K[0, 0, 0], torch.tensor(float(one.K[0, 0] * 90 / side)), rtol=1e-5)
    torch.testing.assert_close((found[2:] + found[:2]) / 2, torch.tensor([45.0, 45.0]), atol=1e-3, rtol=0)
