"""`hifihr prepare`: turn a dataset, photos or synthetic hands into shards."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hifihr_cli.console import emit, emit_json, emit_table, progress, say
from hifihr_cli.params import DryRun, Json, OutFolder, Root

if TYPE_CHECKING:
    from hifihr_core.shards.packing import Policy
    from hifihr_core.sources.contract import Request, Source
    from hifihr_core.sources.prepare import Report


def _source_names() -> str:
    """Return the names of all sources without importing them."""
    from hifihr_core.sources.table import SOURCES

    return ", ".join(SOURCES)


SourceName = Annotated[str, typer.Argument(help=f"Source of the data: {_source_names()}.", metavar="SOURCE")]
Check = Annotated[bool, typer.Option("--check", help="Check the download without packing it.", show_default=False)]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Use only the first N poses of each split.", metavar="N")
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        max=1024,
        help="Number of worker processes; default: one per core; 0: only the main process.",
    ),
]
Keypoints = Annotated[
    Path | None, typer.Option("--keypoints", help="images: keypoint file from hifihr or OpenPose.", metavar="FILE")
]
DetectorName = Annotated[
    str | None,
    typer.Option(
        "--detector", help="images: detector for photos without keypoints: auto (default), fast, thorough or none."
    ),
]
Outlines = Annotated[
    bool | None,
    typer.Option(
        "--outlines/--no-outlines",
        help="images: also add masks of the detected hands, for --supervision weak; default: yes.",
        show_default=False,
    ),
]
Count = Annotated[
    int | None,
    typer.Option(
        "--count", min=1, max=10**9, help="synth: number of hands to render; default: 10,000, or 200 with --as."
    ),
]
Evaluation = Annotated[
    int | None,
    typer.Option(
        "--evaluation",
        min=0,
        max=10**9,
        help="synth: number of hands in the evaluation split; default: 0, or a tenth of --count with --as.",
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="synth: random seed; default: 0.")]
Layout = Annotated[
    str | None,
    typer.Option(
        "--as", help="synth: write raw files in the layout of freihand, ho3d-v2 or ho3d-v3 instead of shards."
    ),
]
SynthHand = Annotated[
    str | None,
    typer.Option("--hand", help="synth: hand model: anny (default; with --as: mano if installed), mano or nimble."),
]
Backgrounds = Annotated[
    Path | None,
    typer.Option("--backgrounds", help="synth: folder of background photos; default: generated.", metavar="FOLDER"),
]
SynthLight = Annotated[
    str | None,
    typer.Option(
        "--light", help="synth: lighting: lamp (default), or environment (a panorama that matches the background)."
    ),
]
Environments = Annotated[
    Path | None,
    typer.Option(
        "--environments", help="synth: folder of .hdr or .exr environment maps for the lighting.", metavar="FOLDER"
    ),
]
Each = Annotated[
    int | None, typer.Option("--each", min=1, help="synth: number of images per person: 1 (default), 2, 4, 8 or 16.")
]
Clips = Annotated[
    int | None,
    typer.Option("--clips", min=1, help="synth: write N clips of moving hands instead of shards.", metavar="N"),
]
Frames = Annotated[int, typer.Option("--frames", min=1, help="synth: number of frames per clip.", metavar="M")]
MaxProblems = Annotated[
    float,
    typer.Option(
        "--max-problems", min=0, max=1, help="Stop if there are more problems (skipped pictures or poses) per pose."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Pack even if checks fail.", show_default=False)]
Part = Annotated[
    str | None,
    typer.Option("--part", help="Pack only part I of N; `hifihr shards merge` joins the parts.", metavar="I/N"),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace finished shards, datasets (--as) or clips.", show_default=False)
]

_MARKS = {"present": "ok", "optional": "--", "missing": "MISSING", "broken": "BROKEN"}


def prepare(
    source: SourceName,
    root: Root = None,
    out: OutFolder = None,
    workers: Workers = None,
    limit: Limit = None,
    check: Check = False,
    keypoints: Keypoints = None,
    detector: DetectorName = None,
    outlines: Outlines = None,
    count: Count = None,
    evaluation: Evaluation = None,
    seed: Seed = None,
    layout: Layout = None,
    hand: SynthHand = None,
    backgrounds: Backgrounds = None,
    light: SynthLight = None,
    environments: Environments = None,
    each: Each = None,
    clips: Clips = None,
    frames: Frames = 150,
    max_problems: MaxProblems = 0.01,
    force: Force = False,
    overwrite: Overwrite = False,
    part: Part = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Pack a dataset into shards for training; the same command resumes an interrupted run.

    Raw files (folders or zips) are expected in $HIFIHR_DATA/raw/SOURCE; shards are written to
    $HIFIHR_DATA/shards/SOURCE. Without HIFIHR_DATA, the data folder is ./data. Exits with code 3 if data is missing or
    broken.
    """
    import os

    from hifihr_core.config.data_folders import raw_folder, shards_folder
    from hifihr_core.machine.parts import parse_part
    from hifihr_core.shards.packing import Policy
    from hifihr_core.sources.contract import Request
    from hifihr_core.sources.table import find_source

    row = find_source(source)
    asked = {"keypoints": keypoints, "detector": detector, "count": count, "evaluation": evaluation, "seed": seed}
    asked |= {"outlines": outlines, "hand": hand, "backgrounds": backgrounds, "as": layout}
    asked |= {"light": light, "environments": environments, "each": each}
    options = {name: value for name, value in asked.items() if value is not None}
    _refuse_foreign(row, options)
    if clips is not None or layout is not None:
        _refuse_shard_options({"check": check, "limit": limit is not None, "part": part is not None})
    if clips is not None:
        _write_clips(source, out, (clips, frames), options, overwrite=overwrite, dry_run=dry_run, json=json)
        return
    if layout is not None:
        del options["as"]
        _write_raw(layout, out, options, overwrite=overwrite, dry_run=dry_run, json=json)
        return
    request = Request(root=root or raw_folder(source), limit=limit, options=options)
    target = out or shards_folder(source)
    policy = Policy(
        workers=(os.cpu_count() or 1) if workers is None else workers,
        max_problems=max_problems,
        force=force,
        overwrite=overwrite,
        part=None if part is None else parse_part(part),
    )
    if check:
        _check(row, request, json)
    elif dry_run:
        _print_plan(row, request, target, policy, json)
    else:
        _pack(row, request, target, policy, json)


def _write_clips(
    source: str,
    out: Path | None,
    size: tuple[int, int],
    options: dict[str, Any],
    *,
    overwrite: bool,
    dry_run: bool,
    json: bool,
) -> None:
    """Write synthetic clips; `size` is their number, and the number of frames of each.

    Raises: ConfigError for another source, or for an option that clips do not support.
    """
    from hifihr_core.config.data_folders import raw_folder
    from hifihr_core.errors import ConfigError
    from hifihr_core.synthesis.clip_frames import ClipOptions
    from hifihr_core.video.writing.synthetic_clips import write_synth_clips

    foreign = next((name for name in options if name != "seed"), None)
    if source != "synth" or foreign is not None:
        found = f"--{foreign}" if foreign else f"the source {source}"
        raise ConfigError(f"--clips: found {found}, expected the source synth and none of its options except --seed")
    clips, frames = size
    folder, wanted = out or raw_folder("synth-clips"), ClipOptions(frames=frames, seed=options.get("seed", 0))
    if dry_run:
        if json:
            emit_json({"root": str(folder), "clips": clips, "frames": frames, "written": False})
        else:
            emit(f"{folder}: would contain clips: {clips:,}, frames in each: {frames:,}")
        return
    with progress("synth", unit="frames") as bar:
        paths = write_synth_clips(folder, clips, wanted, overwrite=overwrite, on_progress=bar)
    if json:
        emit_json({"clips": [str(path) for path in paths]})
    else:
        emit(str(folder))


def _refuse_foreign(row: "Source", options: dict[str, Any]) -> None:
    """Raise ConfigError for an option that does not apply to this source."""
    from hifihr_core.errors import ConfigError
    from hifihr_core.sources.table import owners_of

    foreign = next((name for name in options if name not in row.options), None)
    if foreign is not None:
        owners = " and ".join(f"`{owner}`" for owner in owners_of(foreign))
        raise ConfigError(f"--{foreign} is an option of {owners}, not of {row.name}; leave it out")


def _refuse_shard_options(given: dict[str, bool]) -> None:
    """Raise ConfigError for an option that only applies to shards."""
    from hifihr_core.errors import ConfigError

    if name := next((name for name, is_given in given.items() if is_given), None):
        raise ConfigError(f"--{name} is for shards, not for --as or --clips; leave one of them out")


def _write_raw(
    layout: str, out: Path | None, options: dict[str, Any], *, overwrite: bool, dry_run: bool, json: bool
) -> None:
    from hifihr_core.config.data_folders import raw_folder
    from hifihr_core.errors import ConfigError
    from hifihr_core.sources.written.layouts import LAYOUTS, RawRequest, refuse_taken, write_raw_tree

    if foreign := next((name for name in ("light", "environments", "each") if name in options), None):
        raise ConfigError(f"--{foreign} is for shards of `synth`, not for --as {layout}; leave one of them out")
    if layout not in LAYOUTS:
        raise ConfigError(f"--as: unknown layout {layout!r}, expected one of {', '.join(LAYOUTS)}")
    count = options.pop("count", 200)
    evaluation = options.pop("evaluation", max(1, count // 10))
    photos = options.pop("backgrounds", None)
    request = RawRequest(out or raw_folder(f"synth-{layout}"), count, evaluation, photos=photos, **options)
    if dry_run:
        refuse_taken(request.root, overwrite=overwrite)
    else:
        with progress("synth", unit="poses") as bar:
            write_raw_tree(layout, request, overwrite=overwrite, on_progress=bar)
    if json:
        plan = {"train": count, "evaluation": evaluation, "hand": request.hand_name, "written": not dry_run}
        emit_json({"root": str(request.root), **plan})
    elif dry_run:
        poses = f"{count:,} training and {evaluation:,} evaluation poses of {request.hand_name}"
        emit(f"{request.root}: would contain {poses}")
    else:
        emit(str(request.root))


def _pack(source: "Source", request: "Request", out: Path, policy: "Policy", json: bool) -> None:
    from hifihr_core.sources.prepare import prepare as run

    with progress(source.name, unit="poses") as bar:
        finished = run(source, request, out, policy=policy, on_progress=lambda _, done, total: bar(done, total))
    for folder, index in finished.items():
        for check in index.checks:
            if check.status == "skipped":
                say(f"{folder}: not checked: {check.name} ({check.detail})", kind="note")
        for problem in index.problems[:10]:
            say(f"skipped {problem.key}: {problem.reason}", kind="warning")
        if index.problem_count > 10:
            say(f"... and {index.problem_count - 10:,} more; see {folder}/index.json", kind="warning")
    if json:
        emit_json({str(folder): index.model_dump(mode="json") for folder, index in finished.items()})
        return
    rows = [
        (folder, f"{index.samples:,}", f"{index.annotations:,}", len(index.shards), index.problem_count)
        for folder, index in finished.items()
    ]
    emit_table(("folder", "samples", "poses", "shards", "problems"), rows)


def _print_plan(source: "Source", request: "Request", out: Path, policy: "Policy", json: bool) -> None:
    from hifihr_core.sources.prepare import plan

    planned = plan(source, request, out, policy=policy)
    if json:
        emit_json([vars(split) for split in planned])
        return
    rows = [(p.name, p.folder, f"{p.poses:,}", p.shards, f"{p.about_bytes / 2**20:,.0f} MiB", p.state) for p in planned]
    emit_table(("split", "folder", "poses", "shards", "about", "state"), rows)


def _check(source: "Source", request: "Request", json: bool) -> None:
    from dataclasses import asdict

    from hifihr_core.sources.prepare import check

    report = check(source, request)
    if json:
        checks = {name: [c.model_dump() for c in found] for name, found in report.checks.items()}
        emit_json(
            {
                "good": report.good,
                "parts": [asdict(part) for part in report.parts],
                "checks": checks,
                "error": report.error,
            }
        )
    else:
        for line in _tree(request.root, report):
            emit(line)
    if not report.good:
        from hifihr_core.errors import DataError

        raise DataError(
            report.error or f"{request.root}: cannot be packed as it is (see the checks above); {source.download}"
        )


def _tree(root: Path, report: "Report") -> list[str]:
    """Return the parts of a download as an indented tree, followed by the checks of each split."""
    lines, last = [str(root)], ""
    for part in report.parts:
        folder, _, name = part.path.rpartition("/")
        if folder != last and folder:
            lines.append(f"  {folder}/")
        last = folder
        indent = "    " if folder else "  "
        lines.append(f"{indent}{_MARKS[part.state]:8}{name}{f'  ({part.detail})' if part.detail else ''}")
    for split, checks in report.checks.items():
        lines.append(f"checks of {split}")
        lines += [f"  {check.status:8}{check.name}: {check.detail}" for check in checks]
    return lines
