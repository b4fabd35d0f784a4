import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hifihr_core.exports.page import page_photo, write_page
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.textured_meshes import TexturedMesh, posed_mesh
from hifihr_core.hands import HandParameters, load_hand
from hifihr_core.photos.reading import Photo
from hifihr_core.placed_hands import PlacedHands

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
PHOTO = np.full((240, 320, 3), 80, dtype=np.uint8)


def as_result(mesh: TexturedMesh, side: str = "right") -> HandResult:
    light = {"ambient": np.full(3, 0.5), "color": np.full(3, 0.5), "direction": np.array([0, -0.5, -1.0])}
    return HandResult(
        side, 1.0, np.array([0, 0, 1, 1.0]), K, True, "anny", np.zeros((21, 3)), np.zeros((21, 2)), mesh, {}, light
    )


@pytest.fixture(scope="module")
def hand_mesh() -> TexturedMesh:
    import torch

    hand = load_hand("anny", texture_px=64)
    mean = hand.mean_parameters()
    parameters = HandParameters(mean.global_orient, mean.pose, mean.shape, torch.zeros(1, hand.texture_dim))
    return posed_mesh(hand, PlacedHands(parameters, torch.tensor([[0.0, 0.0, 0.5]])))


def data_of(path: Path) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(found.group(1))


def test_a_page_is_one_file_without_network(tmp_path: Path, mesh: TexturedMesh) -> None:
    photo = Photo(None, PHOTO, (640, 480))
    entry = page_photo("</script> a.jpg", photo, [as_result(mesh), as_result(mesh, "left")])
    text = write_page(tmp_path / "index.html", [entry]).read_text()
    assert not re.search(r"https?://|src=\"(?!data:)|@import", text)
    [one] = data_of(tmp_path / "index.html")["photos"]
    assert one["name"] == "</script> a.jpg"
    assert [hand["side"] for hand in one["hands"]] == ["right", "left"]
    np.testing.assert_allclose(one["K"], np.diag([0.5, 0.5, 1]) @ K)  # the photo that is shown is half the full one


def test_two_hands_and_a_large_photo_stay_below_three_megabytes(tmp_path: Path, hand_mesh: TexturedMesh) -> None:
    noise = np.random.default_rng(0)
    photo = noise.integers(0, 255, (60, 80, 3), dtype=np.uint8).repeat(40, 0).repeat(40, 1)
    texture = noise.integers(0, 255, (128, 128, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    detailed = TexturedMesh(**{**vars(hand_mesh), "texture": texture})
    entry = page_photo("a.jpg", Photo(None, photo, (3200, 2400)), [as_result(detailed)] * 2)
    assert write_page(tmp_path / "index.html", [entry]).stat().st_size < 3e6


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.slow
def test_the_page_shows_the_hand_and_a_slider_moves_a_finger(tmp_path: Path, hand_mesh: TexturedMesh) -> None:
    write_page(tmp_path / "index.html", [page_photo("a.jpg", Photo(None, PHOTO, (320, 240)), [as_result(hand_mesh)])])
    still, curled = (
        _open(tmp_path / "index.html", fragment, tmp_path) for fragment in ("report=1", "report=1&index=70")
    )
    over, free = (float(share) for share in still["covered"].split())
    assert 0.03 < over < 0.6
    assert 0.03 < free < 0.9
    moved = np.linalg.norm(np.subtract(json.loads(curled["joints"]), json.loads(still["joints"]))[0], axis=1)
    assert (moved[[6, 7, 8]] > 0.01).all()
    np.testing.assert_allclose(np.delete(moved, [6, 7, 8]), 0, atol=1e-4)
    joints = hand_mesh.rig.T_cam_bone[:, :3, 3]
    np.testing.assert_allclose(json.loads(still["joints"])[0], joints, atol=1e-4)


def _open(page: Path, fragment: str, folder: Path) -> dict[str, str]:
    """Return the page's report about itself in a headless browser; an error in its console fails."""
    ended = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader"),
            *("--enable-unsafe-swiftshader", "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}"),
            *("--virtual-time-budget=8000", "--window-size=1000,700", "--dump-dom", f"{page.as_uri()}#{fragment}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    body = re.search(r"<body([^>]*)>", ended.stdout).group(1)
    found = {name: value.replace("&quot;", '"') for name, value in re.findall(r'data-(\w+)="([^"]*)"', body)}
    assert found.get("ready") == "yes", ended.stderr[-2000:]
    assert not re.search(r"CONSOLE.*(Uncaught|Refused|Error)", ended.stderr), ended.stderr[-2000:]
    return found
