from pathlib import Path

import numpy as np

from hifihr_cli.main import main
from hifihr_core.synthesis.clip_frames import ClipOptions
from hifihr_core.video.reading.containers import VideoFile
from hifihr_core.video.writing.synthetic_clips import read_truth, write_synth_clips


def test_clips_and_their_truth(tmp_path: Path) -> None:
    options = ClipOptions(width=96, height=64, frames=3)
    done: list[int] = []
    paths = write_synth_clips(tmp_path, 2, options, on_progress=lambda now, total: done.append(now))
    assert [path.name for path in paths] == ["clip_0000.mp4", "clip_0001.mp4"]
    assert done == [1, 2, 3, 4, 5, 6]
    truth = list(read_truth(paths[1].with_suffix(".jsonl")))
    assert [frame["frame"] for frame in truth] == [0, 1, 2]
    assert np.array(truth[0]["hands"][0]["joints_cam"]).shape == (21, 3)
    assert len(list(VideoFile(paths[1]).frames())) == 3
    paths[1].unlink()
    done.clear()
    write_synth_clips(tmp_path, 2, options, overwrite=True, on_progress=lambda now, total: done.append(now))
    assert len(done) == 6


def test_clips_belong_to_synth(tmp_path: Path, capsys) -> None:
    assert main(["prepare", "freihand", "--clips", "1", "--out", str(tmp_path)]) == 2
    assert "--clips" in capsys.readouterr().err


def test_a_dry_run_writes_no_clips(tmp_path, capsys):
    folder = tmp_path / "clips"
    assert main(["prepare", "synth", "--clips", "2", "--frames", "9", "--out", str(folder), "--dry-run"]) == 0
    assert capsys.readouterr().out == f"{folder}: would contain clips: 2, frames in each: 9\n"
    assert main(["prepare", "synth", "--clips", "2", "--check", "--out", str(folder)]) == 2
    assert "--check is for shards, not for --as or --clips" in capsys.readouterr().err
    assert not folder.exists()
