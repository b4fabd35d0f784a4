from math import hypot
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hifihr_core.errors import DataError
from hifihr_core.photos import reading
from hifihr_core.photos.reading import as_photo, read_photo

WIDTH, HEIGHT = 48, 32


@pytest.fixture
def picture() -> Image.Image:
    """Red on the left, blue on the right, so that every rotation shows."""
    values = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    values[:, : WIDTH // 2, 0] = 255
    values[:, WIDTH // 2 :, 2] = 255
    return Image.fromarray(values)


def test_reads_rgb_as_it_is(tmp_path: Path, picture: Image.Image) -> None:
    picture.save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.image, np.asarray(picture))
    assert photo.size_px == (WIDTH, HEIGHT)
    assert photo.notes == ()
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
    assert photo.size_px == (WIDTH, HEIGHT)
    assert photo.T_image_photo.tolist() == [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 1]]
    assert photo.focal_px == pytest.approx(50 * hypot(WIDTH, HEIGHT) / hypot(36, 24))


def test_broken_files_are_named(tmp_path: Path, picture: Image.Image) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no image")
    picture.save(tmp_path / "whole.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:300])
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    for name, word in {
        "empty": "the file is empty, expected a photo",
        "text": "not a photo in a known format",
        "half": "truncated",
        "dot": "at least",
    }.items():
        path = tmp_path / f"{name}.{'png' if name == 'dot' else 'jpg'}"
        with pytest.raises(DataError, match=word) as caught:
            read_photo(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="no such file"):
        read_photo(tmp_path / "absent.jpg")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Image.DecompressionBombError("too many pixels."), "more than 178 megapixels, expected fewer"),
        (MemoryError("for an array"), "not enough memory to read the photo"),
    ],
)
def test_a_photo_that_does_not_fit_into_memory_is_named(
    tmp_path: Path, picture: Image.Image, failure: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise failure

    picture.save(tmp_path / "a.png")
    monkeypatch.setattr(reading, "_decode", fail)
    with pytest.raises(DataError, match=rf"a\.png: {said}"):
        read_photo(tmp_path / "a.png")


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_a_grey_of_more_than_8_bits_has_its_own_white(tmp_path: Path, bits: int) -> None:
    top = 2**bits - 1
    ramp = np.linspace(0, top, WIDTH).round().astype(np.uint16)[None].repeat(HEIGHT, axis=0)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_allclose(photo.image[0, :, 0], np.linspace(0, 255, WIDTH), atol=1)
    assert (f"{top} is taken as white" in "".join(photo.notes)) == (bits != 16)


def test_a_float_grey_from_0_to_1(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, WIDTH, dtype=np.float32)[None].repeat(HEIGHT, axis=0)
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_allclose(photo.image[0, :, 0], np.linspace(0, 255, WIDTH), atol=1)
    assert "1 is taken as white" in photo.notes[0]


@pytest.mark.parametrize("mode", ["I;16", "P", "1", "LA"])
def test_a_large_photo_of_any_mode_is_reduced(
    tmp_path: Path, picture: Image.Image, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_PIXELS", WIDTH * HEIGHT // 4)
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    (Image.fromarray(grey) if mode == "I;16" else picture.convert(mode)).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").image.shape == (HEIGHT // 2, WIDTH // 2, 3)


def test_colours_of_a_profile_become_srgb(tmp_path: Path) -> None:
    from PIL import ImageCms

    # A profile whose red and blue are exchanged, so that a picture that ignores it has the wrong colour.
    path = tmp_path / "a.png"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = bytearray(srgb)
    tags = {bytes(srgb[128 + 4 + 12 * k :][:4]): 128 + 4 + 12 * k for k in range(int.from_bytes(srgb[128:132], "big"))}
    red, blue = tags[b"rXYZ"] + 4, tags[b"bXYZ"] + 4
    swapped[red : red + 8], swapped[blue : blue + 8] = srgb[blue : blue + 8], srgb[red : red + 8]
    name = srgb.find("sRGB".encode("utf-16-be"))
    swapped[name : name + 8] = "test".encode("utf-16-be")
    Image.new("RGB", (20, 20), (255, 0, 0)).save(path, icc_profile=bytes(swapped))
    np.testing.assert_allclose(read_photo(path).image[0, 0], [0, 0, 255], atol=3)
    Image.new("RGB", (20, 20), (255, 0, 0)).save(path, icc_profile=srgb)
    assert read_photo(path).image[0, 0].tolist() == [255, 0, 0]
    Image.new("RGB", (20, 20), (255, 0, 0)).save(path, icc_profile=b"no profile")
    assert read_photo(path).image[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("suffix", [".gif", ".jfif", ".tga", ".ppm", ".bmp", ".jp2", ".mpo"])
def test_other_formats_are_read(tmp_path: Path, picture: Image.Image, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    picture.save(path, format={".jfif": "JPEG"}.get(suffix))
    assert read_photo(path).image.shape == (HEIGHT, WIDTH, 3)


def test_heic_is_read_or_the_package_is_named(tmp_path: Path, picture: Image.Image) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="pip install 'hifihr[heic]'")
    pillow_heif.from_pillow(picture.resize((96, 64))).save(tmp_path / "a.heic")
    assert read_photo(tmp_path / "a.heic").image.shape == (64, 96, 3)


def test_heic_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(100))
    with pytest.raises(DataError, match=r"pillow-heif; run pip install 'hifihr\[heic\]'"):
        read_photo(tmp_path / "a.heic")


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((40, 40, 3)), r"float64 \(40, 40, 3\), expected uint8"),
        (np.zeros((40, 40, 3), np.uint16), "uint16"),
        (np.zeros((40, 40, 4), np.uint8), r"\(40, 40, 4\)"),
        (np.zeros((40, 40), np.uint8), r"\(40, 40\)"),
        (np.zeros((4, 40, 3), np.uint8), "at least 16"),
        (None, "NoneType"),
        ([[1, 2, 3]], "list"),
    ],
)
def test_an_array_of_another_kind_is_a_wrong_call(image: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        as_photo(image)


def test_a_path_is_as_good_as_an_array(tmp_path: Path, picture: Image.Image) -> None:
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(as_photo(str(tmp_path / "a.png")).image, as_photo(np.asarray(picture)).image)
