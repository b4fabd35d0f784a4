import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hifihr_core.errors import DataError
from hifihr_core.exports.formats import FORMATS
from hifihr_core.exports.run_index import files_of, read_index
from hifihr_core.folder_lock import wait_for_turn
from hifihr_core.hands import HandModel
from hifihr_core.lifting.lifter import Lifter
from hifihr_core.machine.parts import Part
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.finding import find_photos
from hifihr_core.photos.hand_files import read_hand_file
from hifihr_core.prediction import Predictor, PredictSettings, jobs
from hifihr_core.prediction.jobs import Done, OutputSettings, predict_files
from hifihr_core.prediction.result_folder import photos_of_part, without_results


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
    assert names == {"hands.json", "a_[1].glb", "a_[1].usdz", *(f"a_[1]_{end}" for end in own)}
    assert {Path(name).name for name in files_of(done.document)} == names - {"hands.json"}
    [entry] = json.loads((tmp_path / "out" / "hands.json").read_text())["photos"]
    assert entry["path"] == str(photo)
    assert entry["files"] == ["a_[1].glb", "a_[1].usdz"]
    assert "a_[1]_0.obj" in entry["hands"][0]["files"]
    document = json.loads((tmp_path / "out" / "a_[1]_0.json").read_text())
    arrays = np.load(tmp_path / "out" / "a_[1]_0.npz")
    np.testing.assert_allclose(document["joints_cam"], arrays["joints_cam"], atol=1e-6)
    np.testing.assert_allclose(document["parameters"]["pose"], arrays["pose"], atol=1e-6)
    assert document["licences"]["hand"] == "free"
    assert document["photo"] == photo.name
    assert document["metric"] is False
    assert "OpenCV" in document["conventions"]["camera_frame"]
    with Image.open(tmp_path / "out" / "a_[1]_overlay.jpg") as overlay:
        assert overlay.size == (160, 120)


def test_one_page_shows_the_photos_of_a_run(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False, page=True)
    list(predict_files(predictor, [photo], output))
    assert photo.name in (tmp_path / "out" / "index.html").read_text()
    other = photo.with_name("b.png")
    shutil.copy(photo, other)
    with pytest.raises(DataError, match=r"index\.html: already exists"):
        list(predict_files(predictor, [other], output))


def test_document_of_a_photo(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    [done] = predict_files(predictor, [photo], OutputSettings(tmp_path / "out", ("json",), pictures=False))
    document = json.loads(json.dumps(done.document))
    assert document["path"] == str(photo)
    assert document["hands"][0].keys() >= {"joints_px", "joints_cam", "side", "score", "box", "K", "files", "metric"}
    assert np.shape(document["hands"][0]["joints_px"]) == (21, 2)
    assert document["hands"][0]["files"] == [str(tmp_path / "out" / "a_[1]_0.json")]
    assert document["pictures"] == []


def _run(predictor: Predictor, paths: list[Path], output: OutputSettings) -> list[Done]:
    return list(predict_files(predictor, paths, output))


def test_a_finished_photo_is_not_done_again(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False)
    [first] = _run(predictor, [photo], output)
    written = (tmp_path / "out" / "a_[1]_0.json").stat().st_mtime_ns
    [again] = _run(predictor, [photo], output)
    assert (again.kept, again.result) == (True, None)
    assert again.document["hands"][0]["files"] == first.document["hands"][0]["files"]
    assert (tmp_path / "out" / "a_[1]_0.json").stat().st_mtime_ns == written


def test_results_of_other_settings_or_of_a_changed_photo_are_refused_before_any_work(
    predictor: Predictor, photo: Path, tmp_path: Path
) -> None:
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False)
    _run(predictor, [photo], output)
    with pytest.raises(DataError, match="with other settings; give another --out, or --overwrite"):
        _run(predictor, [photo], replace(output, formats=("json", "obj")))
    [done] = _run(predictor, [photo], replace(output, formats=("json", "npz"), overwrite=True))
    Path(done.document["hands"][0]["files"][0]).unlink()
    with pytest.raises(DataError, match="already holds results of this photo; give"):  # of which a file is missing
        _run(predictor, [photo], replace(output, formats=("json", "npz")))
    Image.fromarray(np.zeros((60, 60, 3), np.uint8)).save(photo)
    with pytest.raises(DataError, match="another version of this photo"):
        _run(predictor, [photo], output)
    [done] = _run(predictor, [photo], replace(output, overwrite=True))
    assert not done.kept


def test_foreign_files_are_never_touched(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    """Photos named like results, and annotations beside them, in the same folder as the results."""
    second = photo.with_name("a [1]_1.png")
    shutil.copy(photo, second)
    notes = {photo.with_name(f"a_[1]_{end}"): end for end in ("0.json", "1.json", "7.glb", "overlay.jpg")}
    for file, text in notes.items():
        file.write_text(text)
    content = photo.read_bytes()
    output = OutputSettings(photo.parent, ("json", "glb"), overwrite=True)
    for _ in range(2):
        first, other = _run(predictor, [photo, second], output)
        assert {file: file.read_text() for file in notes} == notes
        assert photo.read_bytes() == second.read_bytes() == content
    assert Path(first.document["hands"][0]["files"][0]).name == "a_[1]_png_0.json"
    assert Path(other.document["hands"][0]["files"][0]).name == "a_[1]_1_0.json"
    found = find_photos([photo.parent]).photos
    assert without_results(found, photo.parent) == [photo, second, photo.with_name("a_[1]_overlay.jpg")]


def test_overwriting_removes_a_hand_that_is_no_longer_found(
    predictor: Predictor, photo: Path, tmp_path: Path, shoot: Callable
) -> None:
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False, overwrite=True)
    two = [shoot(1).detection] * 2
    list(predict_files(predictor, [photo], output, boxes={str(photo): two}))
    assert (tmp_path / "out" / "a_[1]_1.json").exists()
    list(predict_files(predictor, [photo], output, boxes={str(photo): two[:1]}))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"hands.json", "a_[1]_0.json"}


def test_a_stopped_run_continues_and_leaves_nothing_behind(
    predictor: Predictor, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = photo.with_name("b.png")
    shutil.copy(photo, second)
    output = OutputSettings(tmp_path / "out", ("json", "obj"))
    whole = OutputSettings(tmp_path / "whole", ("json", "obj"))
    _run(predictor, [photo, second], whole)
    written = []

    def stop(path: Path, image: np.ndarray) -> None:
        written.append(path)
        if path.name == "b_sheet.jpg":
            path.with_name(".b_sheet-abcdefgh.jpg").touch()  # what a killed process leaves
            raise KeyboardInterrupt
        path.write_bytes(b"a picture")

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "write_picture", stop)
        with pytest.raises(KeyboardInterrupt):
            _run(predictor, [photo, second], output)
    first, other = _run(predictor, [photo, second], output)
    assert (first.kept, other.kept) == (True, False)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {path.name for path in (tmp_path / "whole").iterdir()}
    assert [entry["path"] for entry in read_index(tmp_path / "out")] == [str(photo), str(second)]


def test_two_photos_of_one_name(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    second, third = photo.with_suffix(".webp"), tmp_path / photo.name
    with Image.open(photo) as picture:
        picture.save(second)
    shutil.copy(photo, third)
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False)
    done = list(predict_files(predictor, [photo, second, third], output))
    assert [Path(one.document["hands"][0]["files"][0]).name for one in done] == [
        "a_[1]_0.json",
        "a_[1]_webp_0.json",
        "a_[1]_png_0.json",
    ]


def test_a_broken_photo_among_good_ones(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"")
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False)
    first, second = predict_files(predictor, [broken, photo], output)
    assert isinstance(first.error, DataError)
    assert first.document["hands"] == []
    assert "broken.jpg" in first.document["error"]
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
    assert str(photo) in first.document["error"]
    assert "outside the photo" in first.document["error"]
    assert len(second.result.hands) == 1


def test_a_name_of_240_bytes_has_results_all_the_same(
    predictor: Predictor, photo: Path, tmp_path: Path, shoot: Callable
) -> None:
    long = photo.with_name("ä" * 118 + ".png")
    photo.rename(long)
    [done] = predict_files(predictor, [long], OutputSettings(tmp_path / "out", ("json", "obj")))
    assert done.error is None
    assert all(Path(name).is_file() for name in files_of(done.document))


def test_a_result_is_a_file_of_hands(predictor: Predictor, photo: Path, tmp_path: Path, shoot: Callable) -> None:
    output = OutputSettings(tmp_path / "out", ("json",), pictures=False)
    [done] = predict_files(predictor, [photo], output, boxes={str(photo): [shoot(1).detection]})
    given = shoot(1).detection.box_px
    (tmp_path / "stdout.json").write_text(json.dumps({"images": [done.document]}))
    for source in (
        Path(done.document["hands"][0]["files"][0]),
        tmp_path / "out" / "hands.json",
        tmp_path / "stdout.json",
    ):
        [hands] = read_hand_file(source).values()
        np.testing.assert_allclose(hands[0].box_px, given, atol=0.02)
        assert hands[0].side == "right"
        assert hands[0].K is None  # it was assumed, and stays so


@pytest.mark.parametrize("of", [1, 2, 3, 9])
def test_parts_of_photos_are_all_photos_and_names_that_meet_stay_together(of: int) -> None:
    names = (
        "IMG_1.jpg",
        "a.jpg",
        "IMG_2.jpg",
        "b.jpg",
        "a.png",
        "a_2.jpg",
        "IMG_3.jpg",
        "a_b_c.jpg",
        "ab.jpg",
        "c_1.jpg",
    )
    photos = [Path(name) for name in names]
    shares = [photos_of_part(photos, Part(number, of)) for number in range(1, of + 1)]
    assert sorted(path for share in shares for path in share) == sorted(photos)
    together = {Path(name) for name in ("a.jpg", "a.png", "a_2.jpg", "a_b_c.jpg")}
    assert [together & set(share) for share in shares if together & set(share)] == [together]
    if of <= 3:
        assert min(map(len, shares)) > 0


def test_parts_that_write_to_one_folder_at_once_leave_what_one_run_does(
    predictor: Predictor, photo: Path, tmp_path: Path
) -> None:
    """Three parts that take turns photo by photo, the second of which is stopped and restarted."""
    photos = [photo.with_name(name) for name in ("a.png", "b.png", "c.png", "d.png", "e.png", "f.png", "a_0.png")]
    for path in photos:
        shutil.copy(photo, path)
    (tmp_path / "sub").mkdir()
    photos.append(Path(shutil.copy(photo, tmp_path / "sub" / "b.png")))
    whole, shared = (OutputSettings(tmp_path / name, ("json", "hand-glb"), pictures=False) for name in ("one", "parts"))
    _run(predictor, photos, whole)
    parts = [Part(number, 3) for number in (1, 2, 3)]

    def start(part: Part) -> Iterator[Done]:
        return predict_files(predictor, photos_of_part(photos, part), shared, part=part)

    running = [start(part) for part in parts]
    for _ in range(2):
        for run in running:
            next(run)
    running[1].close()
    running[1] = start(parts[1])
    again = [done for run in running[::-1] for done in run]
    assert sum(done.kept for done in again) == 2
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert {path.name for path in (tmp_path / "parts").iterdir()} == names | {".hands.lock"}
    first, second = (
        {entry["path"]: (entry["hands"][0]["files"], entry["files"]) for entry in read_index(output.folder)}
        for output in (whole, shared)
    )
    assert first == second
    assert len(first) == len(photos)


def test_a_part_waits_for_another_one_that_writes_the_index(tmp_path: Path) -> None:
    lock = tmp_path / ".hands.lock"
    with (
        wait_for_turn(lock, what="one"),
        pytest.raises(DataError, match="another part has held the lock for too long"),
        wait_for_turn(lock, what="another part", wait_s=0.0),
    ):
        pass
    with wait_for_turn(lock, what="another part", wait_s=0.0):
        assert lock.exists()
