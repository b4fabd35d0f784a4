from pathlib import Path

import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.exports.run_index import write_index
from hifihr_core.viewing.stored_photos import StoredPhotos


def test_photos_with_hands_are_read_with_their_textures(folder: Path) -> None:
    photos = StoredPhotos(folder)
    assert (len(photos), photos.names) == (1, ("a.png",))
    assert photos.photo(0).size_px == (160, 120)
    right, left = photos.hands(0)
    assert (right.side, left.side) == ("right", "left")
    assert (right.mesh.texture == 77).all()
    mirrored = right.mesh.vertices * [-1, 1, 1]
    np.testing.assert_allclose(left.mesh.vertices[:1609], mirrored[:1609], atol=1e-7)
    assert len(left.mesh.vertices) == len(mirrored) > 1609  # both have their stub of the forearm


def test_a_missing_photo_is_none_and_its_hands_stay(folder: Path) -> None:
    (folder.parent / "a.png").unlink()
    photos = StoredPhotos(folder)
    assert photos.photo(0) is None
    assert len(photos.hands(0)) == 2


def test_folders_without_hands_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        StoredPhotos(tmp_path / "nowhere")
    write_index(tmp_path / "none", [{"path": "a.png", "hands": []}])
    with pytest.raises(DataError, match="no photo with hands"):
        StoredPhotos(tmp_path / "none")
    write_index(tmp_path / "bare", [{"path": "a.png", "hands": [{"files": ["a_0.obj"]}]}])
    with pytest.raises(DataError, match=r"the \.json of a hand is missing"):
        StoredPhotos(tmp_path / "bare").hands(0)
