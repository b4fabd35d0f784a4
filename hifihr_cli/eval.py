"""`hifihr eval`: score a prediction file, or a checkpoint, on FreiHAND, HO-3D or the synthetic benchmark."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hifihr_cli.console import emit_json, emit_table, progress, say
from hifihr_cli.params import Json, Limit, OutFolder

Dataset = Annotated[str, typer.Option("--dataset", help="freihand, ho3d or synth.", metavar="NAME")]
Version = Annotated[str | None, typer.Option("--version", help="v2 or v3 of HO-3D.", metavar="NAME")]
Predictions = Annotated[
    Path | None, typer.Option("--predictions", help="Score this pred.json or pred.zip.", metavar="FILE")
]
GroundTruth = Annotated[
    Path | None,
    typer.Option("--gt", help="Folder with evaluation_xyz.json and evaluation_verts.json.", metavar="FOLDER"),
]
FailUnder = Annotated[
    list[str] | None,
    typer.Option("--fail-under", help="Exit 1 where METRIC is worse than VALUE.", metavar="METRIC=VALUE"),
]
SelfTest = Annotated[
    bool, typer.Option("--self-test", help="Check the scorer on known predictions.", show_default=False)
]


def evaluate(
    dataset: Dataset,
    version: Version = None,
    predictions: Predictions = None,
    gt: GroundTruth = None,
    out: OutFolder = None,
    limit: Limit = None,
    fail_under: FailUnder = None,
    self_test: SelfTest = False,
    json: Json = False,
) -> None:
    """Score a prediction file on FreiHAND or HO-3D, as the official evaluators do.

    Prints a table in millimetres, or with --json the whole report; writes it with PCK curves to --out.
    """
    from hifihr_core.config.folders import raw_folder

    ground_truth = gt or raw_folder(dataset)
    if self_test:
        _self_test(ground_truth, dataset, version, json)
        return
    if predictions is None:
        from hifihr_core.errors import ConfigError

        raise ConfigError("hifihr eval: nothing to score; give --predictions pred.json")
    from hifihr_core.evaluation.run import evaluate_files, write_evaluation

    with progress("scoring", unit="samples") as on_progress:
        evaluation = evaluate_files(
            predictions,
            ground_truth,
            dataset,
            version=version,
            limit=limit,
            fail_under=fail_under or (),
            on_progress=on_progress,
        )
    folder = out or Path("evaluations") / evaluation.scores.protocol.name
    write_evaluation(folder, evaluation)
    _show(evaluation, folder, json)


def _show(evaluation: Any, folder: Path, json: bool) -> None:
    """Print the result and end with a finding where a bound was missed."""
    from hifihr_core.errors import FindingsError
    from hifihr_core.evaluation.report import score_table

    if json:
        emit_json(evaluation.document)
    else:
        emit_table(*score_table(evaluation.scores))
    for note in evaluation.document["notes"]:
        say(note, kind="note")
    say(f"report in {folder}", kind="done")
    if evaluation.missed:
        raise FindingsError(f"--fail-under: {'; '.join(evaluation.missed)}")


def _self_test(ground_truth: Path, dataset: str, version: str | None, json: bool) -> None:
    """Score predictions with known scores, and end with a finding where one is not met."""
    from hifihr_core.errors import FindingsError
    from hifihr_core.evaluation.files import read_ground_truth
    from hifihr_core.evaluation.selftest import run_self_test

    with progress("self-test", unit="samples") as on_progress:
        truth, protocol = read_ground_truth(ground_truth, dataset, version=version)
        checks = run_self_test(truth, protocol, on_progress=on_progress)
    failed = [check for check in checks if not check.passed]
    if json:
        emit_json({"protocol": protocol.name, "passed": not failed, "checks": [vars(check) for check in checks]})
    else:
        rows = [
            (
                check.prediction,
                check.metric,
                f"{check.expected:g}",
                f"{check.found:.6g}",
                "ok" if check.passed else "OFF",
            )
            for check in checks
        ]
        emit_table(("prediction", "metric", "expected", "found", ""), rows)
    if failed:
        raise FindingsError(
            f"self-test: {len(failed)} of {len(checks)} scores are off; is this the right ground truth?"
        )
    say(f"self-test: all {len(checks)} scores are as expected", kind="done")
