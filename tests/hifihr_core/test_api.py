"""What `import hifihr_core as hifihr` offers: listed, documented, cheap to import, and short to print."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hifihr_core as hifihr
from hifihr_core.errors import ConfigError, DataError
from hifihr_core.exports.page import has_screen

ROOT = Path(__file__).parent.parent.parent
PHOTO = ROOT / "examples" / "hand.jpg"


@pytest.fixture(scope="module")
def result():
    return hifihr.predict(PHOTO, device="cpu")


def test_importing_loads_nothing_heavy(run_fresh):
    code = """
import sys
import hifihr_core as hifihr
heavy = {"torch", "numpy", "cv2", "pydantic", "scipy", "onnxruntime"}
print(sorted(heavy & set(sys.modules)), "predict" in dir(hifihr))
"""
    ended = run_fresh("-c", code)
    assert ended.code == 0, ended.err
    assert ended.out.split() == ["[]", "True"]


@pytest.mark.parametrize("name", hifihr.__all__)
def test_public_names_exist_and_are_documented(name):
    value = getattr(hifihr, name)
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    assert name in page
    assert isinstance(value, str) or value.__doc__


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(AttributeError, match="public names: predict, train"):
        _ = hifihr.prediction_of


def test_a_photo_becomes_hands(result):
    (hand, *_) = result.hands
    assert hand.joints_px.shape == (21, 2)
    assert hand.vertices.shape[1] == 3
    assert hand.texture is not None
    assert hand.texture.dtype == np.uint8


def test_printing_a_result_is_short(result):
    lines = repr(result).splitlines()
    assert len(lines) == 1 + len(result.hands) <= 12
    assert lines[0].startswith("hand.jpg: ")
    assert "score" in lines[1]


def test_printing_many_hands_stays_short(result):
    (hand, *_) = result.hands
    many = replace(result, hands=(hand,) * 30)
    assert repr(many).splitlines()[0] == "hand.jpg: 30 hands"
    assert len(repr(many).splitlines()) <= 12
    assert len(repr(many)) < 1500


def test_showing_writes_one_page_and_opens_it_where_there_is_a_screen(result, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("hifihr_core.exports.page.sys.platform", "linux")
    page = result.show(tmp_path / "hand.html", browser=False)
    assert page == tmp_path / "hand.html"
    assert "hand.jpg" in page.read_text(encoding="utf-8")
    assert opened == []
    result.show(page, browser=True)
    assert opened == [page.resolve().as_uri()]


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": ""}, False),
        ("darwin", {}, True),
        ("win32", {}, True),
    ],
)
def test_a_browser_needs_a_screen(platform, environment, expected):
    assert has_screen(environment, platform) is expected


def test_showing_needs_the_picture(result, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(DataError, match="predict the photo again"):
        replace(result, path=None).show(browser=False)
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    blank = hifihr.Predictor.load().predict(image)
    assert blank.hands == ()
    assert blank.show(browser=False).is_relative_to(tmp_path)


def test_saving_writes_what_predict_writes(result, tmp_path):
    files = result.save(tmp_path, formats=["json", "obj"])
    assert {path.name for path in files} >= {"hand_0.json", "hand_0.obj"}
    assert json.loads((tmp_path / "hand_0.json").read_text())["side"] == result.hands[0].side
    with pytest.raises(ConfigError, match="fbx"):
        result.save(tmp_path, formats=["fbx"])


def test_the_predictor_gives_the_same_as_the_function(result):
    again = hifihr.Predictor.load().predict(PHOTO)
    assert np.array_equal(again.hands[0].joints_px, result.hands[0].joints_px)


def test_training_takes_the_settings_of_the_command_line(tmp_path):
    with pytest.raises(ConfigError, match=r"train\.learning_rate"):
        hifihr.train(tmp_path / "run", supervision="self", settings={"train.learning_rate": 1.0})


def test_evaluation_names_what_is_missing(tmp_path):
    with pytest.raises(DataError):
        hifihr.evaluate("freihand", predictions=tmp_path / "pred.json", ground_truth=tmp_path)
