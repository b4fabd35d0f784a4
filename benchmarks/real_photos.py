"""The paper's question on real photos: does the picture help the pose beyond the 2D joints?

The shipped image network learns from photos as `prepare images` packs them, with the joints that the eyes see, at level
self, and at level weak with their outlines; with `--synth`, half of each batch are drawn hands. Each with and without
the picture, for the same number of steps, scored on photos with labelled joints of other people, and on drawn hands.

Usage: python benchmarks/real_photos.py --photos FOLDER ... --labelled FOLDER --held-out SHARDS --out FOLDER
[--levels self weak] [--pictures without with] [--limit 300] [--synth 512] [--steps 60] [--json FILE]. `--labelled` is
as `tools/score_hands.py` reads it. Finished rows are kept under names that depend on everything that changes them, so
that each row may be a command of its own, and runs with other photos or steps may share a folder.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from kept_rows import kept, named
from reporting import write

from hifihr_cli.training import bare_start, resolve
from hifihr_core.config.tree import RunSettings
from hifihr_core.geometry.cameras import project
from hifihr_core.lifting.seen_definition import as_seen
from hifihr_core.models.checkpoint import Checkpoint, load_checkpoint
from hifihr_core.models.placing import place_estimate
from hifihr_core.models.shipped import IMAGE_NETWORK, shipped_model
from hifihr_core.shards.schema import read_index
from hifihr_core.stream.batch_stream import StreamOptions
from hifihr_core.stream.datasets import open_dataset, open_stream
from hifihr_core.training.distributed import join_world
from hifihr_core.training.loop import fit
from hifihr_core.training.setup import set_up
from hifihr_core.training.validation import validate

NEAR = (0.05, 0.1)
#: Warm-up steps; a bare run has more of them than these short runs have steps.
WARM_UP = 5


def main() -> None:
    """Measure every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--labelled", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--levels", nargs="+", choices=("self", "weak"), default=["self", "weak"])
    parser.add_argument("--synth", type=int, default=0, help="draw so many hands for the other half of each batch")
    parser.add_argument("--pictures", nargs="+", choices=("without", "with"), default=["without", "with"])
    parser.add_argument("--limit", type=int, default=300, help="photos of each folder")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    photos = [
        _packed(folder, named(arguments.out / folder.name, folder.resolve(), arguments.limit), limit=arguments.limit)
        for folder in arguments.photos
    ]
    judges = _labelled(arguments.labelled, arguments.out), arguments.held_out.resolve()
    data = _mixed(photos, arguments.out, synth=arguments.synth)
    network = shipped_model(IMAGE_NETWORK)
    assert network is not None
    same = (hashlib.sha256(network.read_bytes()).hexdigest(), *judges)
    start = named(arguments.out / "start.json", *same)
    rows = {"start": kept(start, lambda: _scores(network, *judges))}
    for level in arguments.levels:
        for picture in arguments.pictures:
            folder = named(arguments.out / f"{level}-{picture}-{arguments.steps}", *same, *data.items())
            settings, init = _settings(level, picture, data, arguments.steps)
            fit_once = _learnt(settings, init, folder)
            rows[f"{level}, {picture} the picture"] = kept(
                folder.with_suffix(".json"), lambda learn=fit_once: _scores(learn(), *judges)
            )
            _print(rows)
    facts = {"steps": arguments.steps, "hands": {path.parent.name: _count(path) for path in data}}
    write("real_photos", {"rows": rows, **facts}, arguments.json)


def _packed(root: Path, out: Path, *, limit: int | None = None, keypoints: Path | None = None) -> Path:
    """Return the shards of photos, whose hands the eyes find unless a file contains them."""
    if not (out / "train").exists():
        words = [sys.executable, "-m", "hifihr_cli", "prepare", "images", "--root", root, "--out", out]
        words += ["--workers", 0, "--max-problems", 1, "--detector", "fast"]
        words += [] if limit is None else ["--limit", limit]
        words += [] if keypoints is None else ["--keypoints", keypoints]
        subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL)
    return out.resolve() / "train"


def _mixed(photos: list[Path], out: Path, *, synth: int) -> dict[Path, float]:
    """Return the shards to learn from, each with its share: photos by their number, and drawn hands for half."""
    total, drawn = sum(map(_count, photos)), out.resolve() / f"synth-{synth}" / "train"
    if not synth:
        return {path: _count(path) / total for path in photos}
    if not drawn.exists():
        words = [sys.executable, "-m", "hifihr_cli", "prepare", "synth", "--count", synth, "--out", drawn.parent]
        subprocess.run([*map(str, words), "--workers", "0"], check=True, stdout=subprocess.DEVNULL)
    return {path: 0.5 * _count(path) / total for path in photos} | {drawn: 0.5}


def _count(shards: Path) -> int:
    return read_index(shards).samples


def _labelled(folder: Path, out: Path) -> Path:
    entries = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    hands = {
        entry["file"]: [{"keypoints": one["keypoints"], "side": one["side"]} for one in entry["hands"]]
        for entry in entries
    }
    packed = named(out / "labelled", folder.resolve())
    path = packed.with_suffix(".json")
    path.write_text(json.dumps(hands), encoding="utf-8")
    return _packed(folder, packed, keypoints=path)


def _settings(level: str, picture: str, shards: dict[Path, float], steps: int) -> tuple[RunSettings, Path]:
    """Return the settings and the start of a bare `hifihr train` on these shards."""
    given = [f"data.train={json.dumps(list(map(str, shards)))}", "data.validation_part=0", f"train.max_steps={steps}"]
    given += [f"data.proportions={json.dumps(list(shards.values()))}"]
    given += ["train.epochs=10000", "train.pictures_every_steps=0", f"train.warmup_steps={min(steps, WARM_UP)}"]
    given += ["model.hand=anny"] + ([] if picture == "with" else ["render.enabled=false"])
    flags: dict[str, Any] = {"train.supervision": level}
    start = bare_start(resolve(None, given, flags, paper=False, resumed=None), given, pretraining=False)
    assert start is not None
    assert start.init is not None
    return resolve(None, given, flags, paper=False, resumed=None, start=start), start.init


def _learnt(settings: RunSettings, init: Path, folder: Path) -> Any:
    return lambda: fit(settings, folder, init=init, resume=folder.exists()).weights


def _scores(weights: Path, labelled: Path, held_out: Path) -> dict[str, float]:
    found = load_checkpoint(weights)
    settings, _ = _settings("self", "with", {held_out: 1.0}, 1)
    settings = settings.model_copy(update={"data": settings.data.model_copy(update={"validation": (str(held_out),)})})
    with join_world("cpu") as world:
        run = set_up(settings, weights.parent / "none", world, init=weights)
        drawn = validate(run, epoch=0) or {}
    drawn.pop("loss", None)
    return _photo_scores(found, labelled) | {f"drawn: {name}": value for name, value in drawn.items()}


@torch.no_grad()
def _photo_scores(found: Checkpoint, labelled: Path) -> dict[str, float]:
    """Return the PCK and the mean error of labelled joints, as fractions of the longer side of their box."""
    dataset = open_dataset(str(labelled), training=True, labels=None)
    options = StreamOptions(batch_size=32, image_px=found.settings.data.image_px, shuffle=False, drop_last=False)
    errors = []
    with join_world("cpu") as world:
        for batch in open_stream([dataset], options, world.share, world.device, weights=[None]):
            placed = place_estimate(found.network(batch.image, batch.K), batch.K, found.hand)
            seen_px = project(as_seen(placed.joints_cam, found.hand.joint_definition), batch.K)
            known, true_px = batch.labels["keypoints_confidence"] > 0, batch.labels["keypoints_px"]
            sides = [
                points[some].amax(dim=0) - points[some].amin(dim=0) for points, some in zip(true_px, known, strict=True)
            ]
            size = torch.stack(sides).amax(dim=1, keepdim=True)
            errors.append(((seen_px - true_px).norm(dim=-1) / size)[known])
    every = torch.cat(errors)
    near = {f"photos: PCK@{part}": float((every < part).float().mean()) for part in NEAR}
    return {**near, "photos: mean error": float(every.mean())}


def _print(rows: dict[str, dict[str, float]]) -> None:
    titles = list(next(iter(rows.values())))
    print("| | " + " | ".join(titles) + " |\n|---|" + "---|" * len(titles))
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[title]:.3f}" for title in titles) + " |", flush=True)


if __name__ == "__main__":
    main()
