import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.photos.camera_choice import CameraChoice, choose_camera, read_intrinsics
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.reading import Photo

#: A photo of 800 x 600 whose file was twice as large.
PHOTO = Photo(None, np.zeros((600, 800, 3), dtype=np.uint8), (1600, 1200))
K = np.array([[1500.0, 0, 800], [0, 1500, 600], [0, 0, 1]])


def test_the_user_comes_first_then_the_file_then_exif_then_an_assumption() -> None:
    hand = Detection([0.0, 0, 9, 9], K=K)
    with_exif = replace(PHOTO, focal_px=1400.0)
    assert choose_camera(with_exif, CameraChoice(focal_px=1300.0), [hand]).K[0].tolist() == [1300, 0, 800]
    assert choose_camera(with_exif, CameraChoice(), [hand]).source == "hands file"
    assert choose_camera(with_exif).K[0, 0] == 1400
    assumed = choose_camera(PHOTO)
    assert (assumed.source, assumed.metric) == ("assumed", False)
    assert assumed.K[0, 0] == pytest.approx(1000 / np.tan(np.radians(30)))
    assert choose_camera(PHOTO, CameraChoice(fov_deg=90.0)).K[0, 0] == pytest.approx(1000)


@pytest.mark.parametrize(
    "choice",
    [
        CameraChoice(focal_px=28.0),  # millimetres
        CameraChoice(focal_px=1e300),
        CameraChoice(fov_deg=1.0),
        CameraChoice(intrinsics=K / [[1600], [1200], [1]]),  # normalised
        CameraChoice(intrinsics=K * 1e-300),
    ],
)
def test_a_camera_that_sees_more_or_less_than_cameras_do_is_refused(choice: CameraChoice) -> None:
    with pytest.raises(DataError, match=r"expected .* pixels"):
        choose_camera(PHOTO, choice)


def test_an_implausible_focal_length_in_exif_is_ignored() -> None:
    assert choose_camera(replace(PHOTO, focal_px=90_000.0)).source == "assumed"


def test_a_principal_point_outside_the_photo_is_noted() -> None:
    unturned = np.array([[1500.0, 0, 600], [0, 1500, 1250], [0, 0, 1]])
    assert "outside the photo of 1600 x 1200" in choose_camera(PHOTO, CameraChoice(intrinsics=unturned)).notes[0]
    assert choose_camera(PHOTO, CameraChoice(intrinsics=K)).notes == ()


def test_read_intrinsics(tmp_path: Path) -> None:
    np.save(tmp_path / "K.npy", K)
    (tmp_path / "K.JSON").write_text("\ufeff" + json.dumps(K.tolist()), encoding="utf-8")
    (tmp_path / "K.txt").write_text("1500 0 800\n0 1500 600\n0 0 1\n")
    (tmp_path / "K.csv").write_text("1500,0,800\n0,1500,600\n0,0,1\n")
    for name in ("K.npy", "K.JSON", "K.txt", "K.csv"):
        np.testing.assert_array_equal(read_intrinsics(tmp_path / name), K)
    (tmp_path / "bad.txt").write_text("1 2 3")
    (tmp_path / "flat.txt").write_text("0 0 0 0 0 0 0 0 1")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "K.npy").read_bytes()[:100])
    (tmp_path / "head.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': (((" + b" " * 100)
    for name in ("bad.txt", "flat.txt", "none.npy", "deep.json", "cut.npy", "head.npy"):
        with pytest.raises(DataError, match=name):
            read_intrinsics(tmp_path / name)
