"""Write synthetic clips to measure tracking: for each, an mp4 and the ground truth of every frame."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hifihr_core.files import write_atomically
from hifihr_core.hands import load_hand
from hifihr_core.machine.progress import OnProgress, no_progress
from hifihr_core.outside.json_text import parse_json
from hifihr_core.outside.whole_files import read_text
from hifihr_core.synthesis.clip_frames import ClipOptions, ClipSynthesizer, HandLabel, SynthFrame
from hifihr_core.video.writing.clip_writer import new_clip


def write_synth_clips(
    folder: Path,
    count: int,
    options: ClipOptions,
    *,
    overwrite: bool = False,
    on_progress: OnProgress = no_progress,
) -> list[Path]:
    """Write `clip_0000.mp4`, `clip_0000.jsonl` and so on; return the paths of the clips.

    Each line of the .jsonl is a frame: number, time, K, and for each hand its side, joints, their visibility, and
    parameters. Unless `overwrite`, a clip whose two files exist is kept, so that an interrupted run resumes.
    Raises: DataError if a file cannot be written.
    """
    synthesizer = ClipSynthesizer(load_hand("anny").eval(), options)
    total, paths = count * options.frames, []
    for clip in range(count):
        path = folder / f"clip_{clip:04}.mp4"
        labels = path.with_suffix(".jsonl")
        paths.append(path)
        if path.is_file() and labels.is_file() and not overwrite:
            continue
        with (
            new_clip(path, width=options.width, height=options.height, fps=options.fps) as writer,
            write_atomically(labels) as part,
            part.open("w", encoding="utf-8") as lines,
        ):
            for frame in synthesizer.frames(clip):
                writer.write(frame.image, frame.time_s)
                lines.write(json.dumps(_document(frame), separators=(",", ":")) + "\n")
                on_progress(clip * options.frames + frame.number + 1, total)
    return paths


def read_truth(path: Path) -> Iterator[dict]:
    """Yield the frames of a synthetic clip's .jsonl. Raises: DataError if it is missing or damaged."""
    for line in read_text(path).splitlines():
        yield parse_json(line, path)


def _document(frame: SynthFrame) -> dict[str, object]:
    return {
        "frame": frame.number,
        "time_s": round(frame.time_s, 6),
        "kind": frame.kind,
        "K": np.round(frame.K, 4).tolist(),
        "hands": [_hand(hand) for hand in frame.hands],
    }


def _hand(hand: HandLabel) -> dict[str, object]:
    return {
        "id": hand.id,
        "side": hand.side,
        "joints_px": np.round(hand.joints_px, 3).tolist(),
        "joints_cam": np.round(hand.joints_cam, 6).tolist(),
        "visible": hand.visible.astype(int).tolist(),
        "parameters": {name: np.round(value, 6).tolist() for name, value in hand.parameters.items()},
    }
