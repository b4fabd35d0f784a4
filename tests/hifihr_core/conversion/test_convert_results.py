import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hifihr_core.conversion.surface_map import SurfaceMap
from hifihr_core.errors import DataError
from hifihr_core.exports.formats import ExportContext, write_hand
from hifihr_core.exports.run_index import write_index
from hifihr_core.exports.stored_hands import hand_from_document, read_hand_document, result_files
from hifihr_core.hands import HandModel, load_hand


@pytest.fixture
def folder(tmp_path: Path, anny: HandModel, result_of: Callable) -> Path:
    """A folder of results with a right and a left hand."""
    folder = tmp_path / "predictions"
    hands = [result_of(anny, side) for side in ("right", "left")]
    context = ExportContext("img.jpg")
    files = [
        [str(file) for file in write_hand(folder, f"img_{n}", hand, ("json",), context)] for n, hand in enumerate(hands)
    ]
    write_index(folder, [{"path": "img.jpg", "hands": [{"files": names} for names in files], "files": []}])
    return folder


@pytest.mark.usefixtures("installed_mano")
def test_a_folder_of_results_becomes_mano(
    folder: Path, run_cli: Callable, any_map: SurfaceMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hifihr_core.conversion.to_mano.surface_map", lambda *_: any_map)
    ended = run_cli("convert", folder, "--json")
    assert ended.code == 0, ended.err
    hands = json.loads(ended.out)["hands"]
    assert [hand["side"] for hand in hands] == ["right", "left"]
    assert {path.name for path in folder.iterdir()} >= {"img_0_mano.json", "img_1_mano.obj"}
    document = json.loads((folder / "img_1_mano.json").read_text())
    assert (document["hand"], document["mano"]["side"], document["photo"]) == ("mano", "left", "img.jpg")
    assert hands[1]["residual_mm"] == document["mano"]["residual_mm"]
    again = run_cli("convert", folder)
    assert (again.code, "--overwrite" in again.message) == (3, True)
    assert run_cli("convert", folder, "--to", "smplx").code == 2
    wrong = run_cli("convert", folder / "img_1_mano.json", "--overwrite", "--out", folder / "twice")
    assert (wrong.code, "found only converted hands" in wrong.message) == (3, True)


@pytest.fixture
def with_mano(installed_mano: object, any_map: SurfaceMap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hifihr_core.conversion.to_mano.surface_map", lambda *_: any_map)


@pytest.mark.usefixtures("with_mano")
def test_a_damaged_hand_is_named_and_the_others_are_converted(folder: Path, run_cli: Callable) -> None:
    document = json.loads((folder / "img_0.json").read_text())
    for damage, said in (
        ({"parameters": {"pose": [1.0]}}, "img_0.json: a damaged hand (pose has shape (1,)"),
        ({"hand": "mano"}, "img_0.json: is a hand of the model 'mano', expected 'anny'"),
    ):
        (folder / "img_0.json").write_text(json.dumps(document | damage))
        ended = run_cli("convert", folder, "--json", "--overwrite")
        assert ended.code == 1
        assert said in ended.err
        assert "1 of 2 hands could not be converted; the rest are done" in ended.message
        broken, whole = json.loads(ended.out)["hands"]
        assert said in broken["error"]
        assert whole["files"] == [str(folder / "img_1_mano.json"), str(folder / "img_1_mano.obj")]
        assert not (folder / "img_0_mano.json").exists()
    alone = run_cli("convert", folder / "img_0.json")
    assert (alone.code, "img_0.json: is a hand of the model 'mano'" in alone.message) == (3, True)


@pytest.mark.usefixtures("with_mano")
def test_only_what_may_be_replaced_is_replaced(folder: Path, run_cli: Callable) -> None:
    """Every file of every format counts, also for names with dots, and the user's own."""
    (folder / "img_0.json").rename(folder / "my.best.img_0.json")
    mine = folder / "my.best.img_0_mano.ply"
    mine.write_text("mine")
    ended = run_cli("convert", folder / "my.best.img_0.json", "--format", "npz, ply")
    assert (ended.code, f"{mine}: already exists" in ended.message) == (3, True)
    assert mine.read_text() == "mine"
    assert not list(folder.glob("*.npz"))
    mine.unlink()
    assert run_cli("convert", folder / "my.best.img_0.json", "--format", "npz, ply").code == 0
    assert {path.name for path in folder.glob("my*_mano*")} == {"my.best.img_0_mano.npz", "my.best.img_0_mano.ply"}


@pytest.mark.usefixtures("with_mano")
def test_hands_of_one_name_do_not_replace_each_other(folder: Path, run_cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "img_0.json").write_bytes((folder / "img_0.json").read_bytes())
    ended = run_cli("convert", folder, tmp_path / "other" / "img_0.json", "--out", tmp_path / "out")
    assert (ended.code, "would both become" in ended.message) == (3, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("with_mano")
def test_a_hand_that_is_named_twice_is_converted_once(folder: Path, run_cli: Callable) -> None:
    assert run_cli("convert", folder / "img_0.json").code == 0
    ended = run_cli("convert", *sorted(folder.glob("*.json")), folder, "--json", "--overwrite")
    assert ended.code == 0
    assert "converted hands among the files, left out: 1" in ended.err
    assert [Path(hand["source"]).name for hand in json.loads(ended.out)["hands"]] == ["img_0.json", "img_1.json"]


def test_formats_of_whole_photos_and_hands_of_clips_are_refused(folder: Path, run_cli: Callable) -> None:
    ended = run_cli("convert", folder, "--format", "glb")
    assert (ended.code, "'glb' is for whole photos" in ended.message) == (2, True)
    ended = run_cli("convert", folder, "--format", "json,texture")
    assert (ended.code, "hands of mano have a colour per vertex" in ended.message) == (2, True)
    clips = folder.parent / "clips"
    write_index(clips, [{"path": "a.mp4", "hands": [], "tracks": [{"files": ["a_track0.npz"]}], "files": []}])
    ended = run_cli("convert", clips)
    assert (ended.code, "lists hands of clips, expected hands of photos" in ended.message) == (3, True)


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(folder: Path, run_cli: Callable) -> None:
    ended = run_cli("convert", folder, "--out", folder / "img_0.json")
    assert (ended.code, "a part of this path is a file" in ended.message) == (3, True)


@pytest.mark.parametrize("failure", [torch.linalg.LinAlgError("singular"), DataError("pose[0, 1] is nan")])
def test_a_fit_without_a_solution_names_the_file(
    folder: Path, run_cli: Callable, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr("hifihr_core.conversion.convert_results.build_converter", lambda *_, **__: fail)
    ended = run_cli("convert", folder / "img_0.json")
    assert (ended.code, "img_0.json: a damaged hand (it cannot be fitted)" in ended.message) == (3, True)


@pytest.mark.usefixtures("home")
def test_without_mano_the_command_that_installs_it_is_named(folder: Path, run_cli: Callable) -> None:
    ended = run_cli("convert", folder)
    assert (ended.code, "assets import mano-right" in ended.message) == (3, True)


def test_a_stored_hand_is_posed_again(folder: Path, anny: HandModel, result_of: Callable) -> None:
    right, left = result_files(folder)
    for path, side in ((right, "right"), (left, "left")):
        stored = hand_from_document(read_hand_document(path), load_hand("anny", texture_px=32).double(), path)
        made = result_of(anny, side)
        np.testing.assert_allclose(stored.mesh.vertices, made.mesh.vertices, atol=1e-5)  # files keep six digits
        np.testing.assert_array_equal(stored.mesh.faces, made.mesh.faces)
        assert stored.side == side


def test_wrong_files_are_named(tmp_path: Path) -> None:
    for text, said in (("{", "not valid JSON"), ("{}", "'K' is missing"), ("[]", "its JSON has type list, expected")):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(DataError, match=said):
            read_hand_document(tmp_path / "a.json")
    with pytest.raises(DataError, match="global_orient"):
        hand_from_document({"parameters": {"root_cam": [0, 0, 1]}}, load_hand("anny", texture_px=32), tmp_path)
