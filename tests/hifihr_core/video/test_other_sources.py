from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hifihr_core.errors import DataError, DeviceError
from hifihr_core.video.reading.frames import Span
from hifihr_core.video.reading.picture_folder import PictureSequence
from hifihr_core.video.reading.webcam import Webcam


def _write(folder: Path, frames: list[np.ndarray]) -> list[np.ndarray]:
    for number, image in enumerate(frames):
        Image.fromarray(image).save(folder / f"frame_{number:03}.png")
    return frames


def test_pictures_of_a_folder_are_a_clip(tmp_path: Path, gradient_frames) -> None:
    written = _write(tmp_path, gradient_frames(6))
    clip = PictureSequence([tmp_path], fps=12.0)
    frames = list(clip.frames(Span(every=2)))
    assert [(frame.number, frame.time_s) for frame in frames] == [(0, 0.0), (2, 2 / 12), (4, 4 / 12)]
    np.testing.assert_array_equal(frames[1].image, written[2])


def test_a_broken_picture_is_skipped(tmp_path: Path, gradient_frames) -> None:
    _write(tmp_path, gradient_frames(4))
    (tmp_path / "frame_001.png").write_bytes(b"no picture")
    Image.new("RGB", (128, 96)).save(tmp_path / "frame_003.png")
    clip = PictureSequence([tmp_path], fps=12.0)
    assert [frame.number for frame in clip.frames()] == [0, 2, 3]
    assert len(clip.notes) == 2


def test_no_readable_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="no picture could be read"):
        PictureSequence([tmp_path], fps=30.0)


def test_a_missing_camera() -> None:
    with pytest.raises(DeviceError, match="camera 97") as caught:
        Webcam(97)
    assert caught.value.exit_code == 5
