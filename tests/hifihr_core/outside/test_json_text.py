"""External JSON: the output of common tools is read, harmful texts are rejected in one line."""

import json
import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifihr_core.errors import AssetError, DataError
from hifihr_core.outside.json_text import finite_json, parse_json, read_json
from hifihr_core.outside.whole_files import open_found, read_whole, sha256_of


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_output_of_json_is_read(value):
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        assert parse_json(json.dumps(value, ensure_ascii=False).encode(encoding), "x") == value


def test_brackets_inside_texts_are_not_deep():
    value = ["[" * 1000, {"{" * 100: '"[' * 100}]
    assert parse_json(json.dumps(value), "x") == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[1,", "Expecting value"),
        (b"\xff\xfe\xfa", "codec can't decode"),
        ("[" * 100_000, "more than 64 levels"),
        ("[" * 65 + "]" * 65, "more than 64 levels"),
        ('{"a":' * 100 + "1" + "}" * 100, "more than 64 levels"),
        (f"[{'9' * 6000}]", "a number has 6,000 digits"),
        (r'{"name": "\ud83d"}', "half a character"),
    ],
)
def test_harmful_texts_are_refused_in_one_line(text, reason):
    with pytest.raises(AssetError, match=reason) as caught:
        parse_json(text, "file.json", error=AssetError, remedy="ask again")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("file.json: not valid JSON (")
    assert str(caught.value).endswith("; ask again")


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[1]", encoding="utf-8-sig")
    assert read_json(path) == [1]
    assert len(sha256_of(path)) == 64
    with pytest.raises(DataError, match="6 bytes, expected at most 5"):
        read_whole(path, most_bytes=5)
    with pytest.raises(DataError, match="no such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(DataError, match="a folder, expected a file"):
        read_json(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="a pipe or device"):
        read_json(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for read in (read_whole, sha256_of):
        with pytest.raises(DataError, match="a pipe or device"):
            read(tmp_path / "zero")


def test_what_takes_the_place_of_a_file_that_was_found_is_refused_once_it_is_open(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"123456")
    with open_found(path, most_bytes=6) as file:
        assert file.read() == b"123456"
    with pytest.raises(DataError, match="6 bytes, expected at most 5"):
        open_found(path, most_bytes=5)
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        open_found(path)
    os.mkfifo(path)
    with pytest.raises(DataError, match="a pipe or device"):
        open_found(path)
    with pytest.raises(DataError, match="a folder, expected a file"):
        open_found(tmp_path)
    with pytest.raises(DataError, match="null"):
        open_found(tmp_path / "a\0b")


def test_numbers_that_json_lacks_become_null():
    assert finite_json({1: (math.nan, [math.inf, 2.0])}) == {"1": [None, [None, 2.0]]}
