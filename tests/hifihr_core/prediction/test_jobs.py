import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hifihr_core.errors import DataError
from hifihr_core.exports.formats import FORMATS
from hifihr_core.hands import HandModel
from hifihr_core.lifting.lifter import Lifter
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.hand_files import read_hand_file
from hifihr_core.prediction import Predictor, PredictSettings
from hifihr_core.prediction.jobs import OutputSettings, predict_files


@pytest.fixture
def predictor(hand: HandModel, lifter: Lifter, shoot: Callable) -> Predictor:
    settings = PredictSettings(crop_px=64, texture_px=64)
    return Predictor(hand, network=None, lifter=lifter, detector=lambda _: [shoot(1).detection], settings=settings)


@pytest.fixture
def photo(tmp_path: Path, shoot: Callable) -> Path:
    path = tmp_path / "in" / "a [1].png"
    path.parent.mkdir()
    Image.fromarray(shoot(1).image).save(path)
    return path


def test_every_file_of_every_format(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    pytest.importorskip("pxr", reason="usd-core is not installed: pip install 'hifihr[usd]'")
    output = OutputSettings(tmp_path / "out", tuple(FORMATS), backdrop=True)
    [done] = predict_files(predictor, [photo], output)
    names = {file.name for file in (tmp_path / "out").iterdir()}
    own = ("0.glb", "0.obj", "0.mtl", "0.ply", "0.bvh", "0.json", "0.npz", "0_texture.png", "overlay.jpg", "sheet.jpg")
    assert names == {"hands.json", "a [1].glb", "a [1].usdz", *(f"a [1]_{end}" for end in own)}
    assert {file.name for file in (*done.files[0], *done.scenes, *done.pictures)} == names - {"hands.json"}
    [entry] = json.loads((tmp_path / "out" / "hands.json").read_text())["photos"]
    assert entry["path"] == str(photo)
    assert entry["files"] == ["a [1].glb", "a [1].usdz"]
    assert "a [1]_0.obj" in entry["hands"][0]["files"]
    document = json.loads((tmp_path / "out" / "a [1]_0.json").read_text())
    arrays = np.load(tmp_path / "out" / "a [1]_0.npz")
    np.testing.assert_allclose(document["joints_cam"], arrays["joints_cam"], atol=1e-6)
    np.testing.assert_allclose(document["parameters"]["pose"], arrays["pose"], atol=1e-6)
    assert document["licences"]["hand"] == "free"
    assert document["photo"] == photo.name
    assert document["metric"] is False
    assert "OpenCV" in document["conventions"]["camera_frame"]
    with Image.open(tmp_path / "out" / "a [1]_overlay.jpg") as overlay:
        assert overlay.size == (160, 120)


def test_one_page_shows_the_photos_of_a_run(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False, page=True)
    list(predict_files(predictor, [photo], output))
    assert photo.name in (tmp_path / "out" / "index.html").read_text()
    other = photo.with_name("b.png")
    shutil.copy(photo, other)
    with pytest.raises(DataError, match=r"index\.html: exists"):
        list(predict_files(predictor, [other], output))


def test_document_of_a_photo(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    [done] = predict_files(predictor, [photo], OutputSettings(tmp_path / "out", ("json",), pictures=False))
    document = json.loads(json.dumps(done.document()))
    assert document["path"] == str(photo)
    assert document["hands"][0].keys() >= {"joints_px", "joints_cam", "side", "score", "box", "K", "files", "metric"}
    assert np.shape(document["hands"][0]["joints_px"]) == (21, 2)
    assert document["hands"][0]["files"] == [str(tmp_path / "out" / "a [1]_0.json")]
    assert document["pictures"] == []


def test_existing_results_are_not_touched(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False)
    other = tmp_path / "out" / "a [1]_b_0.json"
    other.parent.mkdir()
    other.write_text("of the photo 'a [1]_b'")
    list(predict_files(predictor, [photo], output))
    with pytest.raises(DataError, match="--overwrite"):
        list(predict_files(predictor, [photo], output))
    stale = tmp_path / "out" / "a [1]_7.glb"
    stale.touch()
    list(predict_files(predictor, [photo], OutputSettings(tmp_path / "out", ("json",), False, overwrite=True)))
    assert not stale.exists()
    assert other.exists()


def test_two_photos_of_one_name(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    second, third = photo.with_suffix(".webp"), tmp_path / photo.name
    with Image.open(photo) as picture:
        picture.save(second)
    shutil.copy(photo, third)
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False)
    done = list(predict_files(predictor, [photo, second, third], output))
    assert [one.files[0][0].name for one in done] == ["a [1]_0.json", "a [1]_webp_0.json", "a [1]_png_0.json"]


def test_a_broken_photo_among_good_ones(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"")
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False)
    first, second = predict_files(predictor, [broken, photo], output)
    assert isinstance(first.error, DataError)
    assert first.document()["hands"] == []
    assert "broken.jpg" in first.document()["error"]
    assert len(second.result.hands) == 1


def test_a_photo_without_hands_writes_nothing(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    predictor.detector = lambda _: []
    [done] = predict_files(predictor, [photo], OutputSettings(tmp_path / "out"))
    assert done.result.hands == ()
    assert not (tmp_path / "out").exists()


def test_hands_are_given_by_path(predictor: Predictor, photo: Path, tmp_path: Path, shoot: Callable) -> None:
    one = shoot(1).detection
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False, overwrite=True)
    for boxes, count in (({str(photo): [one, one]}, 2), ({"b.png": [one]}, 0)):
        [done] = predict_files(predictor, [photo], output, boxes=boxes)
        assert len(done.result.hands) == count


def test_the_fault_of_one_photo_is_named_and_the_others_are_done(
    predictor: Predictor, photo: Path, tmp_path: Path, shoot: Callable
) -> None:
    other = tmp_path / "b.png"
    shutil.copy(photo, other)
    outside = Detection(np.array([900.0, 900, 950, 950]))
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False)
    boxes = {str(photo): [outside], str(other): [shoot(1).detection]}
    first, second = predict_files(predictor, [photo, other], output, boxes=boxes)
    assert str(photo) in first.document()["error"]
    assert "outside the photo" in first.document()["error"]
    assert len(second.result.hands) == 1


def test_a_name_of_240_bytes_has_results_all_the_same(
    predictor: Predictor, photo: Path, tmp_path: Path, shoot: Callable
) -> None:
    long = photo.with_name("ä" * 118 + ".png")
    photo.rename(long)
    [done] = predict_files(predictor, [long], OutputSettings(tmp_path / "out", ("json", "obj")))
    assert done.error is None
    assert all(file.is_file() for file in done.files[0])


def test_a_result_is_a_file_of_hands(predictor: Predictor, photo: Path, tmp_path: Path, shoot: Callable) -> None:
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False)
    [done] = predict_files(predictor, [photo], output, boxes={str(photo): [shoot(1).detection]})
    given = shoot(1).detection.box_px
    (tmp_path / "stdout.json").write_text(json.dumps({"images": [done.document()]}))
    for source in (done.files[0][0], tmp_path / "out" / "hands.json", tmp_path / "stdout.json"):
        [hands] = read_hand_file(source).values()
        np.testing.assert_allclose(hands[0].box_px, given, atol=0.02)
        assert hands[0].side == "right"
        assert hands[0].K is None  # it was assumed, and stays so
