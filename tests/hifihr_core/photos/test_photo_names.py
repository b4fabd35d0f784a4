from pathlib import Path

import pytest

from hifihr_core.errors import DataError
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.photo_names import match_photos

HAND = (Detection([0.0, 0.0, 9.0, 9.0]),)


@pytest.mark.parametrize(
    "name",
    ["img.jpg", "./img.jpg", "a/img.jpg", "a\\img.jpg", "./a//img.jpg", "IMG.JPG", "../x/../a/img.jpg", "{absolute}"],
)
def test_many_spellings_of_one_photo(tmp_path: Path, name: str) -> None:
    name = name.format(absolute=tmp_path / "a" / "img.jpg")
    matched = match_photos({name: HAND}, ["a/img.jpg", "a/other.jpg"], "h.json", root=tmp_path)
    assert matched.hands == {"a/img.jpg": HAND}
    assert matched.unmatched == ()


def test_the_exact_name_comes_first_and_capitals_decide_where_both_exist() -> None:
    photos = ["img.jpg", "a/img.jpg", "IMG.jpg"]
    assert match_photos({"img.jpg": HAND}, photos, "h.json").hands == {"img.jpg": HAND}
    assert match_photos({"./IMG.jpg": HAND}, photos, "h.json").hands == {"IMG.jpg": HAND}


def test_an_ambiguous_name_is_refused() -> None:
    with pytest.raises(DataError, match=r"'img\.jpg' matches a/img\.jpg and b/img\.jpg; give more of the path"):
        match_photos({"img.jpg": HAND}, ["a/img.jpg", "b/img.jpg"], "h.json")
    with pytest.raises(DataError, match="two entries match"):
        match_photos({"a/img.jpg": HAND, "./a/img.jpg": HAND}, ["a/img.jpg"], "h.json")


def test_a_name_that_matches_no_photo_is_reported() -> None:
    matched = match_photos({"img.jpg": HAND, "imgg.jpg": HAND}, ["img.jpg"], "h.json")
    assert matched.unmatched == ("imgg.jpg",)
    with pytest.raises(DataError, match=r"match none of the photos \(entry 'imgg\.jpg', photo 'img\.jpg'"):
        match_photos({"imgg.jpg": HAND}, ["x.jpg", "img.jpg"], "h.json")
    assert match_photos({}, ["img.jpg"], "h.json").hands == {}
