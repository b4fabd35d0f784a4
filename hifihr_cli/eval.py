"""`hifihr eval`: score a checkpoint, or a prediction file, on FreiHAND, HO-3D or the synthetic benchmark."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifihr_cli.console import emit_json, emit_table, progress, say
from hifihr_cli.params import Device, Json, Limit, OutFolder, PartOf, Workers

if TYPE_CHECKING:
    from hifihr_core.evaluation.checkpoint_job import RunOptions
    from hifihr_core.evaluation.run import Evaluation


class BoxesFrom(str, Enum):
    """Source of the hand boxes."""

    labels = "labels"
    predicted = "predicted"


class RootOf(str, Enum):
    """Where a predicted hand is placed."""

    predicted = "predicted"
    gt = "gt"


Dataset = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="Benchmark: freihand, ho3d or synth; or another dataset, for its own evaluation split.",
        metavar="NAME",
    ),
]
Version = Annotated[str | None, typer.Option("--version", help="HO-3D version, v2 or v3; default: that of the data.")]
CheckpointFile = Annotated[
    Path | None,
    typer.Option("--checkpoint", help="Weight file or run folder; default: the shipped model.", metavar="PATH"),
]
Shards = Annotated[
    Path | None, typer.Option("--data", help="Shard folder; default: $HIFIHR_DATA/shards/DATASET.", metavar="FOLDER")
]
Predictions = Annotated[
    Path | None,
    typer.Option("--predictions", help="Score this pred.json or pred.zip instead of a checkpoint.", metavar="FILE"),
]
GroundTruth = Annotated[
    Path | None,
    typer.Option(
        "--gt",
        help="Folder with evaluation_xyz.json and evaluation_verts.json; default: the shards, or "
        "$HIFIHR_DATA/raw/DATASET with --predictions or --self-test.",
        metavar="FOLDER",
    ),
]
FailUnder = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under", help="Exit with code 1 if METRIC is worse than VALUE; repeatable.", metavar="METRIC=VALUE"
    ),
]
SelfTest = Annotated[
    bool, typer.Option("--self-test", help="Check the scorer on predictions with known scores.", show_default=False)
]
RootOption = Annotated[RootOf, typer.Option("--root", help="Place hands at the predicted or the true (gt) root.")]
BoxesOption = Annotated[BoxesFrom, typer.Option("--boxes", help="Crop around the labelled or the detected hand.")]
Merge = Annotated[
    bool,
    typer.Option("--merge", help="Merge and score the parts that runs with --part wrote to --out.", show_default=False),
]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Number of crops per batch.", metavar="N")]


def evaluate(
    dataset: Dataset,
    version: Version = None,
    checkpoint: CheckpointFile = None,
    data: Shards = None,
    root: RootOption = RootOf.predicted,
    boxes: BoxesOption = BoxesFrom.labels,
    predictions: Predictions = None,
    gt: GroundTruth = None,
    out: OutFolder = None,
    limit: Limit = None,
    fail_under: FailUnder = None,
    self_test: SelfTest = False,
    part: PartOf = None,
    merge: Merge = False,
    batch_size: BatchSize = 32,
    workers: Workers = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score a checkpoint on prepared evaluation data, or a prediction file, as the official evaluators do.

    Prints a table with errors in millimetres, or with --json the whole report. Writes metrics.json, PCK curves, a page
    of samples and, if a checkpoint has predicted all samples, pred.zip to --out (default: ./evaluations/BENCHMARK). To
    use several machines, predict on each with --part, then score on one with --merge. Exits with code 1 if a score
    misses --fail-under, and 3 if data is missing or broken.
    """
    if part is not None or merge:
        others = {"--predictions": predictions is not None, "--self-test": self_test}
        _check_parts(part, merge, others | {"--boxes predicted": boxes is BoxesFrom.predicted})
    if self_test:
        _self_test(gt, dataset, version, json)
        return
    if part is not None:
        from hifihr_core.evaluation.checkpoint_job import RunOptions
        from hifihr_core.machine.device import choose_device

        _work_on_part(
            part,
            out,
            (checkpoint, dataset, version, data),
            RunOptions(root.value, limit=limit, batch_size=batch_size, workers=workers, device=choose_device(device)),
            json,
        )
        return
    with progress("evaluating", unit="samples") as on_progress:
        if predictions is not None:
            from hifihr_core.config.data_folders import raw_folder
            from hifihr_core.evaluation.run import evaluate_files

            evaluation = evaluate_files(
                predictions,
                gt or raw_folder(dataset),
                dataset,
                version=version,
                limit=limit,
                fail_under=fail_under or (),
                on_progress=on_progress,
            )
        else:
            from hifihr_core.evaluation.checkpoint_job import RunOptions
            from hifihr_core.evaluation.score_checkpoint import evaluate_checkpoint
            from hifihr_core.machine.device import choose_device

            evaluation = evaluate_checkpoint(
                checkpoint,
                dataset,
                version=version,
                shards=data,
                ground_truth=gt,
                options=RunOptions(
                    root.value,
                    boxes.value,
                    limit=limit,
                    batch_size=batch_size,
                    workers=workers,
                    device=choose_device(device),
                ),
                fail_under=fail_under or (),
                parts=_folder(out, dataset, version) if merge else None,
                on_progress=on_progress,
            )
    _finish(evaluation, out, json)


def _check_parts(part: str | None, merge: bool, others: "dict[str, bool]") -> None:
    """Raise BadParameter if `--part` or `--merge` is combined with an option that does not work in parts."""
    if part is not None and merge:
        raise typer.BadParameter("--part and --merge cannot be combined; run --merge once all parts are done")
    for name in (name for name, given in others.items() if given):
        raise typer.BadParameter(f"--part and --merge cannot be combined with {name}, which is not split into parts")


def _folder(out: Path | None, dataset: str, version: str | None) -> Path:
    """Return the output folder of an evaluation; it also holds the parts."""
    from hifihr_core.evaluation.benchmarks.table import find_benchmark

    return out or Path("evaluations") / find_benchmark(dataset, version=version).name


def _work_on_part(
    text: str,
    out: Path | None,
    job: "tuple[Path | None, str, str | None, Path | None]",
    options: "RunOptions",
    json: bool,
) -> None:
    """Predict one part of the samples and store it; `job` is checkpoint, dataset, version and shards."""
    from hifihr_core.evaluation.score_checkpoint import collect_part
    from hifihr_core.machine.parts import parse_part

    checkpoint, dataset, version, shards = job
    part = parse_part(text)
    with progress(f"part {text}", unit="samples") as on_progress:
        path = collect_part(
            checkpoint,
            dataset,
            part,
            _folder(out, dataset, version),
            version=version,
            shards=shards,
            options=options,
            on_progress=on_progress,
        )
    if json:
        emit_json({"part": str(path)})
    say(
        f"wrote {path}; once all parts are done ({part.of} in total), run the same command with --merge "
        "instead of --part",
        kind="done",
    )


def _finish(evaluation: "Evaluation", out: Path | None, json: bool) -> None:
    """Write and print the report. Raises: FindingsError if a --fail-under bound is missed."""
    from hifihr_core.errors import FindingsError
    from hifihr_core.evaluation.report import look_table, score_table, texture_table
    from hifihr_core.evaluation.run import write_evaluation

    folder = out or Path("evaluations") / evaluation.scores.benchmark.name
    write_evaluation(folder, evaluation)
    if json:
        emit_json(evaluation.document)
    else:
        document = evaluation.document
        for columns, rows in (score_table(evaluation.scores), texture_table(document), look_table(document)):
            if rows:
                emit_table(columns, rows)
    for note in evaluation.document["notes"]:
        say(note, kind="note")
    say(f"report in {folder}", kind="done")
    if evaluation.missed:
        raise FindingsError(f"--fail-under: {'; '.join(evaluation.missed)}")


def _self_test(gt: Path | None, dataset: str, version: str | None, json: bool) -> None:
    """Score predictions whose scores are known. Raises: FindingsError if one differs."""
    from hifihr_core.config.data_folders import raw_folder
    from hifihr_core.errors import FindingsError
    from hifihr_core.evaluation.benchmarks.point_files import read_ground_truth
    from hifihr_core.evaluation.benchmarks.selftest import run_self_test

    with progress("self-test", unit="samples") as on_progress:
        truth, benchmark = read_ground_truth(gt or raw_folder(dataset), dataset, version=version)
        checks = run_self_test(truth, benchmark, on_progress=on_progress)
    failed = [check for check in checks if not check.passed]
    if json:
        emit_json({"protocol": benchmark.name, "passed": not failed, "checks": [vars(check) for check in checks]})
    else:
        rows = [(c.prediction, c.metric, f"{c.expected:g}", f"{c.found:.6g}", c.verdict) for c in checks]
        emit_table(("prediction", "metric", "expected", "found", ""), rows)
    if failed:
        raise FindingsError(
            f"self-test: {len(failed)} of {len(checks)} scores differ from the expected ones; "
            "check that --gt is the right ground truth"
        )
    say(f"self-test: all {len(checks)} scores match", kind="done")
