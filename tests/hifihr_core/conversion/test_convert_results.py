import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

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
    assert wrong.code == 0  # nothing to do: it is MANO's already


@pytest.mark.usefixtures("home")
def test_without_mano_the_command_that_installs_it_is_named(folder: Path, run_cli: Callable) -> None:
    ended = run_cli("convert", folder)
    assert (ended.code, "assets import mano-right" in ended.message) == (3, True)


def test_a_stored_hand_is_posed_again(folder: Path, anny: HandModel, result_of: Callable) -> None:
    right, left = result_files(folder)
    for path, side in ((right, "right"), (left, "left")):
        stored = hand_from_document(read_hand_document(path), load_hand("anny", texture_px=32).double())
        made = result_of(anny, side)
        np.testing.assert_allclose(stored.mesh.vertices, made.mesh.vertices, atol=1e-5)  # files keep six digits
        np.testing.assert_array_equal(stored.mesh.faces, made.mesh.faces)
        assert stored.side == side


def test_wrong_files_are_named(tmp_path: Path) -> None:
    for text, said in (("{", "not valid JSON"), ("{}", "'K' is missing"), ("[]", "a JSON list, expected")):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(DataError, match=said):
            read_hand_document(tmp_path / "a.json")
    with pytest.raises(DataError, match="global_orient"):
        hand_from_document({"parameters": {"root_cam": [0, 0, 1]}}, load_hand("anny", texture_px=32))
