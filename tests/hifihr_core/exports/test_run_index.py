import json
from pathlib import Path

import pytest

from hifihr_core.errors import DataError
from hifihr_core.exports.run_index import RunIndex, read_index, write_index


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
    with pytest.raises(DataError, match=r"hands\.json: no such file; give a folder"):
        read_index(tmp_path)
    groups = (3, ["a"], [{"files": "a.npz"}], [{}], [{"files": ["../a.npz"]}], [{"files": ["/a.npz"]}])
    entries = [{"path": "a.mp4", "hands": [], name: group} for name in ("hands", "tracks") for group in groups]
    entries += [{"path": "a.jpg"}, {"path": "a.jpg", "hands": [], "pictures": ["b/../../a.jpg"]}]
    broken = [json.dumps({"format": 1, "photos": [one]}) for one in entries]
    for text in ("{", "[]", '{"format": 1}', *broken):
        (tmp_path / "hands.json").write_text(text)
        with pytest.raises(DataError, match=r"not an index|not valid JSON"):
            read_index(tmp_path)
    (tmp_path / "hands.json").write_text(json.dumps({"format": 99, "photos": []}))
    with pytest.raises(DataError, match="newer hifihr"):
        read_index(tmp_path)


def test_a_journal_of_a_stopped_run_is_read_and_a_broken_line_is_skipped(tmp_path: Path) -> None:
    write_index(tmp_path, [entry(tmp_path, "a.jpg")])
    done = {"path": "b.jpg", "hands": [{"files": ["b_0.obj"]}], "files": []}
    lines = [json.dumps(done), json.dumps({"path": "c.jpg", "planned": ["c_0.obj"]}), '{"path": "d.j']
    (tmp_path / ".hands-1234abcd.jsonl").write_text("\n".join(lines))
    index = RunIndex(tmp_path)
    assert index.names("b.jpg") == {"b_0.obj"}
    assert index.names("c.jpg") == {"c_0.obj"}
    assert index.entry("c.jpg") is None
    assert [one["path"] for one in read_index(tmp_path)] == ["a.jpg", "b.jpg"]
    write_index(tmp_path, [entry(tmp_path, "e.jpg")])
    assert [one["path"] for one in read_index(tmp_path)] == ["a.jpg", "b.jpg", "e.jpg"]
    assert RunIndex(tmp_path).names("c.jpg") == {"c_0.obj"}
    write_index(tmp_path, [entry(tmp_path, "c.jpg")])
    assert {path.name for path in tmp_path.iterdir()} == {"hands.json"}


def test_two_runs_into_one_folder_keep_what_the_other_wrote(tmp_path: Path) -> None:
    with RunIndex(tmp_path) as one, RunIndex(tmp_path) as two:
        one.add(entry(tmp_path, "a.jpg"))
        two.add(entry(tmp_path, "b.jpg"))
    assert {found["path"] for found in read_index(tmp_path)} == {"a.jpg", "b.jpg"}
