"""The output of an evaluation: `metrics.json`, readable tables, PCK curves, and missed bounds."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hifihr_core.errors import ConfigError
from hifihr_core.evaluation.benchmarks.scoring import Scores
from hifihr_core.evaluation.benchmarks.table import MESH_ALIGNMENTS, PREFIXES, Benchmark
from hifihr_core.files import write_atomically, write_text
from hifihr_core.metrics.image import TEXTURE_METRICS
from hifihr_core.metrics.pose import PCK_THRESHOLDS_M, ErrorSummary
from hifihr_core.outside.json_text import finite_json
from hifihr_core.skeleton import JOINT_NAMES, gather_from

#: Display name of each alignment.
TITLES = {"raw": "unaligned", "procrustes": "Procrustes", "scale_translation": "scale and translation"}

#: Quantities in the table: title, name after the alignment's prefix, decimals.
_COLUMNS = (
    ("joints [mm]", "mpjpe_mm", 2),
    ("joints AUC", "auc_joints", 3),
    ("mesh [mm]", "mpvpe_mm", 2),
    ("mesh AUC", "auc_vertices", 3),
    ("F@5 mm", "f5", 3),
    ("F@15 mm", "f15", 3),
)
NOT_APPLICABLE = "not applicable"
#: Errors of parameters, on data with known true ones.
PARAMETER_METRICS = ("shape_mm", "texture_l1", "ambient_l1", "light_color_l1", "light_angle_deg")


def score_document(scores: Scores, *, complete: bool) -> dict[str, Any]:
    """Return the scores as JSON: official keys in official units, ours in millimetres, curves, and errors per joint.

    `complete` is True if every sample of the benchmark was scored; only then are the numbers official.
    """
    benchmark = scores.benchmark
    return {
        "protocol": {
            "name": benchmark.name,
            "samples": len(scores.joints["raw"].per_sample_m),
            "complete": complete,
            "joint_definition": benchmark.joint_definition,
        },
        "official": scores.official() if benchmark.official else None,
        "metrics": scores.metrics(),
        "joints_mm": _per_joint(scores),
        "pck": {"thresholds_mm": [round(1000 * t, 6) for t in PCK_THRESHOLDS_M], **_curves(scores)},
        "notes": scores.notes(),
    }


def score_table(scores: Scores) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of the readable table: one row per alignment, errors in millimetres."""
    values = scores.metrics()
    rows = []
    for alignment in scores.benchmark.joint_alignments:
        cells = [_cell(values, PREFIXES[alignment] + name, decimals) for _, name, decimals in _COLUMNS]
        rows.append([TITLES[alignment], *cells])
    return ["alignment", *(title for title, _, _ in _COLUMNS)], rows


def texture_table(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of the texture metrics: one row per available protocol."""
    names = [*TEXTURE_METRICS, "coverage", "iou"]
    texture = document.get("texture") or {}
    rows = []
    for part in ("paper", "strict"):
        values = texture.get(part, {})
        if "samples" in values:
            cells = [NOT_APPLICABLE if values.get(n, "") is None else values.get(n, "") for n in names]
            rows.append([part, str(values["samples"]), *(c if isinstance(c, str) else f"{c:.4f}" for c in cells)])
    return ["texture", "samples", *names], rows


def look_table(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of the look metrics: PSNR and CIEDE2000 of every scene, and the tone."""
    look = document.get("look") or {}
    scenes = ("input", "other", "behind")
    rows = []
    for name, row in look.get("rows", {}).items():
        cells = [_decimals(row[scene].get(score), 2) for scene in scenes for score in ("psnr", "ciede2000")]
        together = row["tone"]["correlation"]
        tone = NOT_APPLICABLE if None in together else f"{sum(together) / 3:.3f}"
        rows.append([name, str(look["people"]), *cells, tone, _decimals(sum(row["tone"]["error"]) / 3, 4)])
    titles = [f"{scene} {unit}" for scene in scenes for unit in ("[dB]", "CIEDE2000")]
    return ["look", "people", *titles, "tone correlation", "tone error"], rows


def _decimals(value: float | None, decimals: int) -> str:
    return NOT_APPLICABLE if value is None else f"{value:.{decimals}f}"


def _cell(values: Mapping[str, float | None], name: str, decimals: int) -> str:
    if name not in values:
        return ""  # the benchmark does not define it for this alignment
    value = values[name]
    return NOT_APPLICABLE if value is None else f"{value:.{decimals}f}"


def _per_joint(scores: Scores) -> dict[str, dict[str, float]]:
    """Return the mean error of every joint, by alignment and joint name, millimetres."""
    gather = gather_from(scores.benchmark.joint_order)
    return {
        alignment: {
            name: 1000 * float(summary.per_point_m[place]) for name, place in zip(JOINT_NAMES, gather, strict=True)
        }
        for alignment, summary in scores.joints.items()
    }


def _summaries(scores: Scores) -> dict[str, ErrorSummary]:
    named = {f"{PREFIXES[alignment]}joints": summary for alignment, summary in scores.joints.items()}
    if scores.vertices:
        named |= {f"{PREFIXES[alignment]}vertices": scores.vertices[alignment] for alignment in MESH_ALIGNMENTS}
    return named


def _curves(scores: Scores) -> dict[str, list[float]]:
    return {name: summary.pck.tolist() for name, summary in _summaries(scores).items()}


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a report as JSON, atomically; NaN and infinities become null."""
    write_text(path, json.dumps(finite_json(document), indent=2) + "\n")


def write_curves(path: Path, scores: Scores) -> None:
    """Draw the PCK curves as a PNG: joints in the left panel, vertices in the right, one line per alignment."""
    from matplotlib.figure import Figure  # matplotlib is slow to load and only needed here

    panels = [("Joints", scores.joints)] + ([("Vertices", scores.vertices)] if scores.vertices else [])
    figure = Figure(figsize=(5.2 * len(panels), 4.2), layout="constrained")
    for column, (title, summaries) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), column + 1)
        for alignment, summary in summaries.items():
            label = f"{TITLES[alignment]}: AUC {summary.auc:.3f}, mean {1000 * summary.mean_m:.1f} mm"
            axes.plot(1000 * PCK_THRESHOLDS_M, 100 * summary.pck, label=label)
        axes.set(title=title, xlabel="error threshold [mm]", ylabel="points within [%]", xlim=(0, 50), ylim=(0, 101))
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", fontsize="small")
    figure.suptitle(f"PCK, {scores.benchmark.name}, {len(scores.joints['raw'].per_sample_m):,} samples")
    with write_atomically(path) as part:
        figure.savefig(part, dpi=150, metadata={"Software": None})


@dataclass(frozen=True)
class Bound:
    """A required score: at most `value` for an error, at least `value` for every other metric."""

    metric: str
    value: float


def lower_is_better(metric: str) -> bool:
    """Return whether a metric is an error: a length, an angle, or a picture difference."""
    return metric.endswith(("_mm", "_mean3d", "_l1", "_deg", ".l1", ".l2", ".lpips"))


def bound_names(benchmark: Benchmark) -> list[str]:
    """Return every name that a bound may use: our metrics, official keys, texture and parameter metrics, and recall."""
    textures = [f"paper.{name}" for name in TEXTURE_METRICS]
    textures += [f"strict.{name}" for name in (*TEXTURE_METRICS, "coverage", "iou")]
    parameters = PARAMETER_METRICS if benchmark.dataset == "synth" else ()
    return [*benchmark.metrics, *benchmark.official, *textures, *parameters, "recall"]


def all_values(document: Mapping[str, Any]) -> dict[str, float | None]:
    """Return all values in a report that a bound may name."""
    texture = document.get("texture") or {}
    named = {
        f"{part}.{name}": value
        for part in ("paper", "strict")
        for name, value in texture.get(part, {}).items()
        if name not in ("mask", "unavailable", "samples")
    }
    recall = (document.get("boxes") or {}).get("recall")  # for predicted boxes
    parameters = document.get("parameters") or {}
    return {**document["metrics"], **(document["official"] or {}), **named, **parameters, "recall": recall}


def parse_bound(text: str, benchmark: Benchmark) -> Bound:
    """Parse METRIC=VALUE. Raises: ConfigError for any other form or an unknown metric."""
    metric, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        raise ConfigError(f"--fail-under {text}: expected METRIC=VALUE, such as pa_mpjpe_mm=12") from None
    if metric not in (names := bound_names(benchmark)):
        raise ConfigError(
            f"--fail-under {text}: {benchmark.name} has no metric {metric!r}, expected one of {', '.join(names)}"
        )
    return Bound(metric, value)


def missed_bounds(bounds: Sequence[Bound], values: Mapping[str, float | None]) -> list[str]:
    """Return one sentence per missed bound; a metric without a value counts as missed."""
    missed = []
    for bound in bounds:
        value = values.get(bound.metric)
        if value is None or math.isnan(value):
            missed.append(f"{bound.metric} has no value in this evaluation")
        elif lower_is_better(bound.metric) and value > bound.value:
            missed.append(f"{bound.metric} is {_exact(value, bound)}, more than {bound.value:g}")
        elif not lower_is_better(bound.metric) and value < bound.value:
            missed.append(f"{bound.metric} is {_exact(value, bound)}, less than {bound.value:g}")
    return missed


def _exact(value: float, bound: Bound) -> str:
    """Return a value with four digits, or with all of them if rounding would move it to its bound or past it."""
    short = f"{value:.4g}"
    return short if (float(short) - bound.value) * (value - bound.value) > 0 else repr(value)
