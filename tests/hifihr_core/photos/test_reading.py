from math import hypot
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hifihr_core.errors import DataError
from hifihr_core.photos import reading
from hifihr_core.photos.reading import find_photos, read_photo

WIDTH, HEIGHT = 48, 32


@pytest.fixture
def picture() -> Image.Image:
    """Red on the left, blue on the right, so that every turn shows."""
    values = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    values[:, : WIDTH // 2, 0] = 255
    values[:, WIDTH // 2 :, 2] = 255
    return Image.fromarray(values)


def test_reads_rgb_as_it_is(tmp_path: Path, picture: Image.Image) -> None:
    picture.save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.image, np.asarray(picture))
    assert photo.reduction == 1
    assert photo.focal_px is None


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(tmp_path: Path, picture: Image.Image, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        image = picture.convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.tif" if mode in ("I", "F") else "a.png")
    image.save(path)
    read = read_photo(path).image
    assert read.shape == (HEIGHT, WIDTH, 3)
    assert read.dtype == np.uint8
    expected = np.asarray((picture.convert("L") if mode in ("L", "LA", "I;16", "I", "F") else picture).convert("RGB"))
    if mode not in ("P", "1"):
        assert np.abs(read.astype(int) - expected).mean() < 6  # JPEG and its CMYK inks


def test_transparent_pixels_lie_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert (read_photo(tmp_path / "a.png").image == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_undone(tmp_path: Path, picture: Image.Image, orientation: int) -> None:
    exif = Image.Exif()
    exif[reading._ORIENTATION] = orientation
    picture.save(tmp_path / "a.png", exif=exif)
    read = read_photo(tmp_path / "a.png").image
    # The definition by EXIF 2.3: which side of the stored picture is the first row, and which the first column.
    turns = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: np.rot90(x, 1),
    }
    np.testing.assert_array_equal(read, turns[orientation](np.asarray(picture)))


def test_focal_length_from_the_35_mm_equivalent(tmp_path: Path, picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x8769] = {0xA405: 50}
    picture.save(tmp_path / "a.jpg", exif=exif)
    expected = 50 * hypot(WIDTH, HEIGHT) / hypot(36, 24)
    assert read_photo(tmp_path / "a.jpg").focal_px == pytest.approx(expected)


def test_focal_length_from_the_sensor(tmp_path: Path, picture: Image.Image) -> None:
    exif = Image.Exif()
    # 50 pixels per cm, halved since
    exif[0x8769] = {0x920A: 30.0, 0xA20E: 50.0, 0xA210: 3, 0xA002: 2 * WIDTH}
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_photo(tmp_path / "a.jpg").focal_px == pytest.approx(30 * 5 / 2)


def test_an_impossible_focal_length_is_not_believed(tmp_path: Path, picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x8769] = {0xA405: 30000}
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_photo(tmp_path / "a.jpg").focal_px is None


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_large_photo_is_reduced(
    tmp_path: Path, picture: Image.Image, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_PIXELS", WIDTH * HEIGHT // 4)
    exif = Image.Exif()
    exif[reading._ORIENTATION] = 1
    exif[0x8769] = {0xA405: 50}
    picture.save(tmp_path / f"a{suffix}", exif=exif)
    photo = read_photo(tmp_path / f"a{suffix}")
    assert photo.image.shape == (HEIGHT // 2, WIDTH // 2, 3)
    assert photo.reduction == 2
    assert photo.focal_px == pytest.approx(50 * hypot(WIDTH, HEIGHT) / hypot(36, 24) / 2)


def test_broken_files_are_named(tmp_path: Path, picture: Image.Image) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no image")
    picture.save(tmp_path / "whole.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:300])
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    for name, word in {"empty": "not an image", "text": "not an image", "half": "cut short", "dot": "at least"}.items():
        path = tmp_path / f"{name}.{'png' if name == 'dot' else 'jpg'}"
        with pytest.raises(DataError, match=word) as caught:
            read_photo(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="no such file"):
        read_photo(tmp_path / "absent.jpg")


def test_find_photos(tmp_path: Path, picture: Image.Image) -> None:
    for name in ("b.jpg", "a.PNG", "notes.txt"):
        picture.save(tmp_path / name, format="PNG")
    both = [tmp_path / "a.PNG", tmp_path / "b.jpg"]
    assert find_photos([tmp_path]) == both
    assert find_photos([tmp_path / "*.jpg", tmp_path]) == [tmp_path / "b.jpg", tmp_path / "a.PNG"]
    assert find_photos([str(tmp_path / "*")]) == both
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="folder without photos"):
        find_photos([tmp_path / "none"])
    with pytest.raises(DataError, match="no such photo"):
        find_photos([tmp_path / "*.gif"])
