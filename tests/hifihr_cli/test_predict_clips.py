import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from hifihr_cli.main import main
from hifihr_core.errors import DataError
from hifihr_core.prediction.predictor import Predictor
from hifihr_core.video.clip_job import ClipDone
from hifihr_core.video.reading.frames import FrameSource

av = pytest.importorskip("av", reason="clips need the extra `video`")


@pytest.fixture
def blank_clip(tmp_path: Path) -> Path:
    with av.open(str(tmp_path / "blank.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(4):
            picture = av.VideoFrame.from_ndarray(np.full((120, 160, 3), 90, dtype=np.uint8), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return tmp_path / "blank.mp4"


def test_no_hands_at_all(blank_clip: Path, tmp_path: Path, capsys) -> None:
    assert main(["predict", str(blank_clip), "--out", str(tmp_path / "out")]) == 1
    assert "no hand was found in 1 clip" in capsys.readouterr().err


def test_options_that_clips_ignore_are_named(blank_clip: Path, tmp_path: Path, capsys) -> None:
    words = ["predict", str(blank_clip), "--out", str(tmp_path / "out"), "--min-score", "0.3", "--page", "--every", "2"]
    assert main(words) == 1
    assert "--min-score, --page: only for photos" in capsys.readouterr().err


def test_no_such_camera(tmp_path: Path, capsys) -> None:
    assert main(["predict", "--webcam", "97", "--out", str(tmp_path)]) == 5
    assert "camera 97" in capsys.readouterr().err


def test_no_such_clip(tmp_path: Path, capsys) -> None:
    assert main(["predict", str(tmp_path / "none.mp4"), "--out", str(tmp_path)]) == 3
    assert "no such file" in capsys.readouterr().err


def test_the_fault_of_one_clip_is_named_and_the_others_are_done(
    blank_clip: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    other = shutil.copyfile(blank_clip, tmp_path / "other.mp4")
    track = {"track": 0, "side": "left", "score": 0.9, "first_time_s": 0.0, "last_time_s": 1.0, "files": ["o.glb"]}

    def predict(source: FrameSource, *_: object, **__: object) -> ClipDone:
        if source.facts.name == "blank.mp4":
            raise DataError("it ends too soon")
        return ClipDone(source.facts.name, source.path, 4, (track,), kept=True)

    monkeypatch.setattr("hifihr_core.video.clip_job.predict_clip", predict)
    words = ["predict", str(blank_clip), str(other), "--out", str(tmp_path / "out"), "--json"]
    assert main(words) == 1
    out, err = capsys.readouterr()
    first, second = json.loads(out)["clips"]
    assert (first["error"], first["tracks"]) == ("blank.mp4: it ends too soon", [])
    assert (second["path"], second["tracks"]) == (str(other), [track])
    assert "clips done by an earlier run: 1 of 2" in err
    assert err.splitlines()[-1].endswith("1 of 2 clips could not be processed; the rest are done")
    assert main(["predict", str(blank_clip), "--out", str(tmp_path / "out")]) == 3
    assert capsys.readouterr().err.splitlines()[-1].endswith("blank.mp4: it ends too soon")


@pytest.mark.parametrize(
    "options", [["a.mp4", "b.jpg"], ["a.mp4", "--from", "2", "--to", "1"], ["a.mp4", "--every", "0"]]
)
def test_wrong_command_lines(tmp_path: Path, options: list[str], capsys) -> None:
    assert main(["predict", *options, "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_unknown_formats(blank_clip: Path, tmp_path: Path) -> None:
    assert main(["predict", str(blank_clip), "--format", "obj", "--out", str(tmp_path)]) == 2


def test_formats_may_follow_a_space(blank_clip: Path, tmp_path: Path, capsys) -> None:
    assert main(["predict", str(blank_clip), "--format", "npz, jsonl", "--out", str(tmp_path)]) == 1
    assert "no hand was found" in capsys.readouterr().err


def test_unknown_codecs(blank_clip: Path, tmp_path: Path, capsys) -> None:
    assert main(["predict", str(blank_clip), "--codec", "h265", "--out", str(tmp_path)]) == 2
    assert "unknown codec 'h265'" in capsys.readouterr().err


def test_looks_are_predicted_where_the_device_says(blank_clip: Path, tmp_path: Path, monkeypatch) -> None:
    asked, load = [], Predictor.load
    monkeypatch.setattr(
        Predictor, "load", lambda *given, device, **named: asked.append(str(device)) or load(*given, **named)
    )
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert main(["predict", str(blank_clip), "--device", "mps", "--out", str(tmp_path)]) == 1
    assert asked == ["mps"]
