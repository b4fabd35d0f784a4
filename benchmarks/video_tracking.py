"""Compare tracking and the smooth fit with the ground truth of synthetic clips, and with prediction frame by frame.

hifihr prepare synth --clips 6 --frames 120 --seed 7 --out clips
python benchmarks/video_tracking.py clips
"""

import argparse
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from hifihr_core.geometry.alignment import procrustes
from hifihr_core.lifting.fitting import SEEN_HANDS, fit_keypoints
from hifihr_core.lifting.second_sight import FIT_STEPS, SecondSight, trust_of_sigma
from hifihr_core.lifting.seen_definition import seen_definition
from hifihr_core.machine.device import one_thread
from hifihr_core.prediction.load_models import load_models
from hifihr_core.video.fitting.closer_look import CloserHands, closer_hands, with_lift
from hifihr_core.video.fitting.fitted_track import FittedTrack, TrackFitter, placed_in_clip
from hifihr_core.video.fitting.sighted_tracks import SightedTrack, sighted_tracks
from hifihr_core.video.fitting.track_start import reshaped, sequence_of
from hifihr_core.video.reading.containers import VideoFile
from hifihr_core.video.reading.frames import WHOLE
from hifihr_core.video.tracking.journal import Journal, SeenFrame
from hifihr_core.video.tracking.palm_motion import PALM
from hifihr_core.video.tracking.tracker import TrackSettings
from hifihr_core.video.tracking.watch_clip import watch_clip
from hifihr_core.video.tracking.watching import QuickEyes
from hifihr_core.video.writing.synthetic_clips import read_truth

#: The number of visible joints with which a hand counts as present, and the distance of its palm, in hand sizes, within
#: which it counts as found.
_VISIBLE, _FOUND = 11, 0.4
#: More than the sum of any two distances within which hands count as found.
_KEPT = 1.0

COUNTS = ("hands", "unseen", "lost", "switches", "wrong_side", "gaps", "bridged")


def main() -> None:
    """Print a row per clip and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    eyes, models = QuickEyes.load(threads=1), load_models(None, device=torch.device("cpu"))
    assert models.lifter is not None
    fitter, sight, rows = TrackFitter(models.hand, models.lifter), models.second_sight, []
    assert sight is not None
    for path in sorted(arguments.folder.glob("clip_*.mp4")):
        truth = list(read_truth(path.with_suffix(".jsonl")))
        row = {"clip": path.stem, "kind": truth[0]["kind"], **measure(path, truth, eyes, fitter, sight)}
        rows.append(row)
        print(
            "  ".join(
                f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
            )
        )
    totals = {name: sum(row[name] for row in rows) for name in COUNTS}
    shares = {name: f"{100 * totals[name] / totals['hands']:.2f} %" for name in ("unseen", "lost", "switches")}
    print(totals, shares)
    for name in ("pa_smooth", "pa_alone", "acc_smooth", "acc_alone"):
        values = [row[name] for row in rows if name in row and np.isfinite(row[name])]
        print(f"mean {name}: {np.mean(values):.3f}" if values else f"{name}: none")


def measure(
    path: Path, truth: list[dict], eyes: QuickEyes, fitter: TrackFitter, sight: SecondSight
) -> dict[str, float | int]:
    """Return counts of tracking and errors of the fit of one clip.

    A hand is lost in a frame if no written track has it there, bridged frames included; `unseen` counts those without a
    sighting.
    """
    source, K = VideoFile(path), np.array(truth[0]["K"])
    with tempfile.TemporaryDirectory() as folder:
        seen = watch_clip(source, eyes, Journal(Path(folder) / "seen.jsonl", {}), TrackSettings())
    watched = follow(seen, truth)
    tracks = {track.id: track for track in sighted_tracks(seen, K, source.facts.width)}
    closer = closer_hands(sight, fitter.hand, source, WHOLE, seen, list(tracks.values()))
    errors: dict[str, list[float]] = defaultdict(list)
    written = [replace(frame, hands={}) for frame in seen]
    for track in tracks.values():
        smooth = fitter.fit(with_lift(fitter.hand, track, closer[track.id]), K)
        alone = frame_by_frame(fitter, track, closer[track.id], K)
        for name, fitted in (("smooth", smooth), ("alone", alone)):
            pa, acceleration = against_truth(fitted, watched["matches"], truth, source.facts.fps)
            errors[f"pa_{name}"] += pa
            errors[f"acc_{name}"] += acceleration
        for row, number in enumerate(smooth.frames.tolist()):
            written[number].hands[track.id] = SimpleNamespace(joints_px=smooth.joints_px[row])
    found = follow(written, truth)
    sides = [
        (tracks[id].side, hand["side"])
        for (_, hand_id), id in found["matches"].items()
        for hand in truth[0]["hands"]
        if hand["id"] == hand_id and id in tracks
    ]
    counts = {name: value for name, value in found.items() if name != "matches"}
    counts["unseen"] = watched["lost"]
    counts["wrong_side"] = sum(one != other for one, other in sides)
    return {**counts, **{name: float(np.mean(values)) if values else float("nan") for name, values in errors.items()}}


def follow(seen: list[SeenFrame], truth: list[dict]) -> dict:
    """Match tracks to true hands in every frame; count hands that are present, lost, or have changed identity, and
    gaps.
    """
    matches, last, hidden, counts = {}, {}, defaultdict(int), defaultdict(int)
    for frame, true in zip(seen, truth, strict=True):
        pairs = _pairs(frame, true, last)
        for hand in true["hands"]:
            id = pairs.get(hand["id"])
            visible = sum(hand["visible"]) >= _VISIBLE
            counts["hands"] += visible
            counts["lost"] += visible and id is None
            if id is None:
                hidden[hand["id"]] += 1
                continue
            matches[frame.number, hand["id"]] = id
            before, gap = last.get(hand["id"]), hidden[hand["id"]] / 30
            if before is not None and 0.1 < gap <= 0.5:
                counts["gaps"] += 1
                counts["bridged"] += before == id
            counts["switches"] += before is not None and before != id and gap <= 0.5
            last[hand["id"]], hidden[hand["id"]] = id, 0
    names = ("hands", "lost", "switches", "gaps", "bridged")
    return {"matches": matches, **{name: int(counts[name]) for name in names}}


def _pairs(frame: SeenFrame, true: dict, last: dict[int, int]) -> dict[int, int]:
    """Return the track of each true hand of a frame: its `last` one if that is still near enough (as in CLEAR MOT,
    since two hands may be in one place), otherwise by the assignment with the least total distance.
    """
    ids, hands = list(frame.hands), true["hands"]
    if not ids:
        return {}
    costs = np.zeros((len(hands), len(ids)))
    for row, hand in enumerate(hands):
        joints = np.array(hand["joints_px"])
        size = np.ptp(joints, axis=0).max()
        for column, id in enumerate(ids):
            own = frame.hands[id].joints_px[list(PALM)].mean(axis=0)
            costs[row, column] = np.linalg.norm(own - joints[list(PALM)].mean(axis=0)) / size
            if costs[row, column] < _FOUND and last.get(hand["id"]) == id:
                costs[row, column] -= _KEPT
    return {
        hands[row]["id"]: ids[column]
        for row, column in zip(*linear_sum_assignment(costs), strict=True)
        if costs[row, column] < _FOUND
    }


def frame_by_frame(fitter: TrackFitter, track: SightedTrack, closer: CloserHands, K: np.ndarray) -> FittedTrack:
    """Return the track predicted like photos: every frame lifted and fitted separately, with its own shape."""
    points, frames, hand = torch.from_numpy(track.seen.joints_px[closer.rows]).float(), closer.rows, fitter.hand
    sigma_px, own_K = torch.from_numpy(closer.sigma_px).float(), torch.from_numpy(track.seen.K).float()
    definition, fitted, first = seen_definition(hand.joint_definition), [], 0
    with one_thread():
        for part in closer.parts:
            rows = slice(first, first + len(part))
            first = rows.stop
            trust = trust_of_sigma(points[rows], sigma_px[rows])
            fitted.append(
                fit_keypoints(
                    hand,
                    part,
                    points[rows],
                    trust,
                    own_K.expand(len(part), 3, 3),
                    steps=FIT_STEPS,
                    weights=SEEN_HANDS,
                    definition=definition,
                )
            )
        sequence, shapes = sequence_of(hand, fitted, track.seen.times_s, frames)
    parts = []
    for row, frame in enumerate(frames):
        one = reshaped(hand, sequence.part(slice(frame, frame + 1)), shapes[row])
        single = replace(
            track,
            frames=track.frames[frame : frame + 1],
            score=track.score[frame : frame + 1],
            seen=track.seen.part(slice(frame, frame + 1)),
        )
        parts.append(placed_in_clip(hand, single, one, K))
    return replace(
        parts[0],
        frames=track.frames[frames],
        times_s=track.seen.times_s[frames],
        score=track.score[frames],
        joints_cam=np.concatenate([part.joints_cam for part in parts]),
        joints_px=np.concatenate([part.joints_px for part in parts]),
    )


def against_truth(track: FittedTrack, matches: dict, truth: list[dict], fps: float) -> tuple[list[float], list[float]]:
    """Return PA-MPJPE (mm) of frames, and errors of the acceleration of joints about the root (m/s^2)."""
    pa, about_root = [], {}
    for row, number in enumerate(track.frames.tolist()):
        hand_id = next((hand for (frame, hand), id in matches.items() if frame == number and id == track.id), None)
        if hand_id is None:
            continue
        hand = next(one for one in truth[number]["hands"] if one["id"] == hand_id)
        if sum(hand["visible"]) < _VISIBLE:
            continue
        true, own = np.array(hand["joints_cam"]), track.joints_cam[row]
        source, target = (torch.from_numpy(joints)[None] for joints in (own, true))
        aligned = procrustes(source, target)(source)[0].numpy()
        pa.append(float(np.linalg.norm(aligned - true, axis=1).mean() * 1000))
        about_root[number] = own - own[9], true - true[9]
    accelerations = []
    for number in about_root:
        if number + 1 in about_root and number + 2 in about_root:
            trio = [about_root[number + k] for k in range(3)]
            own, true = (trio[0][k] - 2 * trio[1][k] + trio[2][k] for k in (0, 1))
            accelerations.append(float(np.linalg.norm(own - true, axis=1).mean() * fps**2))
    return pa, accelerations


if __name__ == "__main__":
    main()
