import json
from pathlib import Path

import pytest

from hifihr_core.errors import DataError
from hifihr_core.exports.run_index import read_index, write_index


def entry(folder: Path, photo: str, side: str = "right") -> dict:
    files = [str(folder / "sub" / f"{photo}_0.obj")]
    return {"path": photo, "hands": [{"side": side, "files": files}], "files": [str(folder / f"{photo}.glb")]}


def test_photos_of_earlier_runs_stay_and_files_are_relative(tmp_path: Path) -> None:
    write_index(tmp_path, [entry(tmp_path, "a.jpg"), entry(tmp_path, "b.jpg")])
    write_index(tmp_path, [entry(tmp_path, "a.jpg", side="left")])
    first, second = read_index(tmp_path)
    assert (first["path"], second["path"]) == ("a.jpg", "b.jpg")
    assert first["hands"] == [{"side": "left", "files": ["sub/a.jpg_0.obj"]}]
    assert first["files"] == ["a.jpg.glb"]


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"hands\.json: no such file, expected a folder"):
        read_index(tmp_path)
    for text in ("{", "[]", '{"format": 1}'):
        (tmp_path / "hands.json").write_text(text)
        with pytest.raises(DataError, match="not an index"):
            read_index(tmp_path)
    (tmp_path / "hands.json").write_text(json.dumps({"format": 99, "photos": []}))
    with pytest.raises(DataError, match="newer hifihr"):
        read_index(tmp_path)
