"""The whole pipeline on a small scale: prepare synth -> pretrain -> train full, weak, self -> eval -> predict.

    python tools/demo.py demo

Runs in a few minutes on two cores and leaves a folder with shards, runs, scores, pictures, curves and `table.md`. The
numbers show that all parts work together; a network trained for two minutes on 1,200 hands is not a good model.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

EXAMPLE = Path(__file__).parent.parent / "examples" / "hand.jpg"
HANDS, HELD_OUT = 1200, 96
SMALL = (
    *("--set", "model.backbone=mobilenetv4_conv_small", "--set", "model.weights=none", "--set", "data.image_px=96"),
    *("--set", "train.batch_size=24", "--set", "train.warmup_steps=20", "--set", "data.workers=0"),
    *("--set", "data.validation_limit=48", "--set", "train.validate_every=0", "--set", "train.pictures_every_steps=0"),
)
LEVELS = ("full", "weak", "self")
#: The key of a column's number in the report of `hifihr eval`, and its heading.
COLUMNS = {
    "metrics.pa_mpjpe_mm": "PA-MPJPE, mm",
    "metrics.mpjpe_mm": "MPJPE, mm",
    "texture.strict.psnr": "PSNR of the hand, dB",
    "texture.strict.coverage": "coverage",
}


def main(folder: Path) -> None:
    """Run every step in `folder`, and write the table and the curves."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    shards = folder / "shards"
    hifihr("prepare", "synth", "--count", HANDS, "--evaluation", HELD_OUT, "--seed", 1, "--out", shards, "--overwrite")
    train, held_out = find_shards(shards, "train"), find_shards(shards, "evaluation")
    start = folder / "runs" / "pretrain"
    hifihr("pretrain", "--data", train, "--out", start, *SMALL, "--set", "train.max_steps=150")
    runs = {"pretrain": start}
    for level in LEVELS:
        runs[level] = folder / "runs" / level
        weights = start / "checkpoints" / "newest.safetensors"
        options = ("--supervision", level, "--data", train, "--init", weights, "--out", runs[level])
        hifihr("train", *options, *SMALL, "--set", "train.max_steps=60")
    reports = {name: score(run, held_out, folder / "scores" / name) for name, run in runs.items()}
    weights = runs["full"] / "checkpoints" / "newest.safetensors"
    options = ("--checkpoint", weights, "--detector", "none", "--out", folder / "predictions", "--overwrite")
    hifihr("predict", EXAMPLE, *options, "--refine", "--steps", 40)
    write_table(folder / "table.md", reports, minutes=(time.monotonic() - began) / 60)
    draw_curves(folder / "curves.png", runs)
    print((folder / "table.md").read_text())


def hifihr(*words: object) -> str:
    """Run one command line of this installation and return its stdout; stop if it fails."""
    line = [str(word) for word in words]
    print("$ hifihr", " ".join(line), file=sys.stderr)
    command = [sys.executable, "-m", "hifihr_cli", *line]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def find_shards(folder: Path, split: str) -> Path:
    """Return the shard folder of a split."""
    return next(path.parent for path in sorted(folder.rglob("index.json")) if split in path.parent.name)


def score(run: Path, shards: Path, out: Path) -> dict[str, float]:
    """Score the newest weights of a run on held-out hands; return its numbers as a flat mapping."""
    weights = run / "checkpoints" / "newest.safetensors"
    options = ("--checkpoint", weights, "--data", shards, "--out", out, "--json")
    return flatten(json.loads(hifihr("eval", "--dataset", "synth", *options)))


def flatten(document: object, name: str = "") -> dict[str, float]:
    """Return the numbers in a nested document, keyed by dotted names."""
    if isinstance(document, dict):
        nested = (flatten(value, f"{name}.{key}" if name else str(key)) for key, value in document.items())
        return {key: value for part in nested for key, value in part.items()}
    return {name: float(document)} if isinstance(document, int | float) and not isinstance(document, bool) else {}


def write_table(path: Path, reports: dict[str, dict[str, float]], *, minutes: float) -> None:
    """Write one row per run; "-" if its report lacks that number."""
    lines = ["| run | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, report in reports.items():
        cells = [f"{report[column]:.2f}" if column in report else "-" for column in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append(f"\n{HANDS:,} synthetic hands, {HELD_OUT} held out, {minutes:.1f} minutes in all.")
    path.write_text("\n".join(lines) + "\n")


def draw_curves(path: Path, runs: dict[str, Path]) -> None:
    """Draw the training loss of every run, relative to its first value."""
    figure, axes = plt.subplots(figsize=(7, 4))
    for name, run in runs.items():
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        rows = [row for row in rows if row["kind"] == "train"]
        axes.plot([row["step"] for row in rows], [row["loss"] / rows[0]["loss"] for row in rows], label=name)
    axes.set(xlabel="step", ylabel="loss, relative to its first value", title="Training loss of every run")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo"), help="folder to work in (default: demo)")
    main(parser.parse_args().folder)
