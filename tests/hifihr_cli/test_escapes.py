"""File names may contain anything; on a terminal they are plain text."""

import json
import subprocess
import sys

import pytest

from hifihr_cli.console import emit_table, printable, say


def test_control_characters_and_halves_of_characters_are_escaped(capsys) -> None:
    assert printable("a\x1b[31mb\té あ\ud800") == "a\\x1b[31mb\\té あ\\ud800"
    say("one\x1b]0;title\x07.jpg: not an image", kind="error")
    assert "\x1b]" not in capsys.readouterr().err
    emit_table(("photo",), [("two\nlines\x1b[2J.jpg",)])
    assert capsys.readouterr().out.splitlines() == ["photo", "two\\nlines\\x1b[2J.jpg"]


def test_a_photo_with_such_a_name_is_named_in_one_line(run_cli, tmp_path) -> None:
    path = tmp_path / "a\x1b[31m\nb.jpg"
    path.write_bytes(b"no photo")
    ended = run_cli("predict", path, "--box", "1,2,30,40", "--out", tmp_path / "out", "--json")
    assert ended.code == 3
    assert "\x1b[31m" not in ended.err
    assert json.loads(ended.out)["images"][0]["path"] == str(path)


def test_stdout_is_utf8_wherever_it_goes(run_fresh, tmp_path) -> None:
    path = tmp_path / "\u624b\u03b1.jpg"
    path.write_bytes(b"no photo")
    words = ("-m", "hifihr_cli", "predict", path, "--box", "1,2,30,40", "--out", tmp_path / "out", "--json")
    ended = run_fresh(*words, PYTHONIOENCODING="cp1252")
    assert ended.code == 3, ended.err
    assert json.loads(ended.out)["images"][0]["path"] == str(path)
    assert path.name in ended.err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that closes files")
def test_a_closed_stdout_is_not_an_error() -> None:
    ended = subprocess.run(
        f'"{sys.executable}" -m hifihr_cli assets list >&-', shell=True, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
