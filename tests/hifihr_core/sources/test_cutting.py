"""Pictures: JPEG headers, and crops and mirroring that keep every label on its pixel."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hifihr_core.errors import DataError
from hifihr_core.rendering.skylight import sky_basis
from hifihr_core.shards import pictures
from hifihr_core.sources import cutting

K = np.asarray([[480.0, 1.5, 100.25], [0, 470, 90.5], [0, 0, 1]])


def points_cam(seed, count=21):
    return np.random.default_rng(seed).uniform((-0.1, -0.1, 0.5), (0.1, 0.1, 0.8), (count, 3))


def jpeg(width=40, height=30, *options):
    return cv2.imencode(".jpg", np.full((height, width, 3), 90, np.uint8), list(options))[1].tobytes()


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)])
def test_the_size_is_read_from_the_head(options):
    assert pictures.jpeg_size(jpeg(40, 30, *options)) == (40, 30)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a JPEG"),
        (b"\x89PNG", "not a JPEG"),
        (jpeg()[: len(jpeg()) // 2], "truncated"),
        (b"\xff\xd8\xff\xd9", "cannot be decoded"),
    ],
)
def test_an_incomplete_jpeg_is_reported(content, reason):
    with pytest.raises(DataError, match=reason):
        pictures.jpeg_size(content)


def test_a_picture_that_does_not_decode_is_an_error():
    for content in (b"", b"nonsense"):
        with pytest.raises(DataError, match="cannot be decoded"):
            pictures.decode(content)


@given(seed=st.integers(0, 99), width=st.integers(1, 70), height=st.integers(1, 50))
def test_masks_come_back_exactly(seed, width, height):
    mask = np.random.default_rng(seed).random((height, width)) > 0.5
    assert np.array_equal(pictures.decode(pictures.encode_mask(mask), flags=cv2.IMREAD_GRAYSCALE), mask * np.uint8(255))


@given(seed=st.integers(0, 999), x0=st.integers(0, 50), y0=st.integers(0, 50))
def test_a_cut_moves_K_and_points_alike(seed, x0, y0):
    crop = cutting.PixelBox(x0, y0, x0 + 60, y0 + 60)
    points = cutting.project(points_cam(seed), K)
    assert np.allclose(
        cutting.project(points_cam(seed), crop.shift_K(K)),
        crop.shift_labels({"joints_px": points})["joints_px"],
        atol=1e-4,
    )


@given(seed=st.integers(0, 999), width=st.integers(1, 800), height=st.integers(1, 600))
def test_a_crop_stays_inside_and_holds_what_it_can(seed, width, height):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-100, 700, (21, 2)) * rng.uniform(0, 1) + rng.uniform(-50, 300, 2)
    crop = cutting.crop_around(points, width=width, height=height)
    assert 0 <= crop.x0 < crop.x1 <= width
    assert 0 <= crop.y0 < crop.y1 <= height
    inside = points[((points >= 0) & (points < (width, height))).all(axis=1)]
    assert (inside >= (crop.x0, crop.y0)).all()
    assert (inside <= (crop.x1, crop.y1)).all()


@given(seed=st.integers(0, 999))
def test_a_mirror_keeps_points_on_their_pixels(seed):
    width, points = 200, points_cam(seed)
    labels = {
        "joints_cam": points.astype(np.float32),
        "joints_px": cutting.project(points, K),
        "root_cam": points[9].astype(np.float32),
        "box_px": np.asarray((10, 20, 50, 60), np.float32),
        "bone_m": np.asarray(0.03, np.float32),
    }
    mirrored = cutting.mirror_labels(labels, width=width)
    mirrored_K = cutting.mirror_K(K, width=width)
    assert np.allclose(cutting.project(mirrored["joints_cam"], mirrored_K), mirrored["joints_px"], atol=1e-3)
    assert np.allclose(mirrored["joints_px"][:, 0], width - labels["joints_px"][:, 0])
    assert mirrored["box_px"].tolist() == [150, 20, 190, 60]
    twice = cutting.mirror_labels(mirrored, width=width)
    assert all(np.allclose(twice[name], labels[name], atol=1e-4) for name in labels)
    assert np.allclose(cutting.mirror_K(mirrored_K, width=width), K)


def test_a_mirror_moves_the_pixel_that_a_label_names():
    pixels = np.zeros((4, 7, 3), np.uint8)
    pixels[1, 2] = 255
    found = cutting.mirror_labels({"joints_px": np.asarray([[2.5, 1.5]], np.float32)}, width=7)["joints_px"][0]
    row, column = (int(np.floor(found[1])), int(np.floor(found[0])))
    assert pixels[:, ::-1][row, column].tolist() == [255, 255, 255]


@given(seed=st.integers(0, 999))
def test_a_mirrored_rotation_turns_mirrored_points(seed):
    rotation = np.random.default_rng(seed).normal(size=3).astype(np.float32)
    mirror = np.diag((-1.0, 1, 1))
    mirrored = cutting.mirror_labels({"global_orient": rotation}, width=9)["global_orient"]
    expected = mirror @ Rotation.from_rotvec(rotation).as_matrix() @ mirror
    assert np.allclose(Rotation.from_rotvec(mirrored).as_matrix(), expected, atol=1e-6)


def test_undetected_keypoints_stay_where_nothing_is():
    labels = {
        "keypoints_px": np.asarray([[0, 0], [5, 6]], np.float32),
        "keypoints_confidence": np.asarray([0, 1], np.float32),
    }
    assert cutting.mirror_labels(labels, width=20)["keypoints_px"].tolist() == [[0, 0], [15, 6]]
    assert cutting.PixelBox(2, 3, 9, 9).shift_labels(labels)["keypoints_px"].tolist() == [[0, 0], [3, 3]]


def test_every_label_of_pixels_is_scaled():
    labels = {
        "joints_px": np.asarray([[4, 6]], np.float32),
        "keypoints_px": np.asarray([[0, 0], [4, 6]], np.float32),
        "box_px": np.asarray([0, 2, 4, 6], np.float32),
        "bone_m": np.asarray(0.03, np.float32),
    }
    scaled = cutting.scale_labels(labels, scale=(0.5, 2.0), shift_px=(1.0, 0.0))
    assert scaled["joints_px"].tolist() == [[3, 12]]
    assert scaled["keypoints_px"].tolist() == [[0, 0], [3, 12]]
    assert scaled["box_px"].tolist() == [1, 4, 3, 12]
    assert scaled["bone_m"] == labels["bone_m"]
    assert {value.dtype for value in scaled.values()} == {np.dtype(np.float32)}


def test_a_mirrored_light_comes_from_the_other_side():
    light = np.asarray([*range(6), 0.6, 0.0, -0.8], np.float32)
    assert np.allclose(cutting.mirror_labels({"light": light}, width=9)["light"], [*range(6), -0.6, 0.0, -0.8])


def test_a_mirrored_sky_shines_on_mirrored_surfaces():
    sky = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    normals = torch.nn.functional.normalize(torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    mirrored = torch.from_numpy(cutting.mirror_labels({"sky": sky}, width=9)["sky"])
    before = sky_basis(normals) @ torch.from_numpy(sky)
    torch.testing.assert_close(sky_basis(normals * torch.tensor([-1.0, 1.0, 1.0])) @ mirrored, before)


def test_a_filled_surface_covers_its_triangles():
    square = np.asarray([[2, 3], [8, 3], [8, 9], [2, 9]], np.float32)
    faces = np.asarray([[0, 1, 2], [2, 3, 0]])
    mask = cutting.fill_faces(square, faces, width=12, height=12)
    assert mask[3:9, 2:8].all()
    mask[2:10, 1:9] = False  # OpenCV fills the pixels that an edge touches
    assert not mask.any()
