"""`report.html` of a run: curves, the newest sample pictures, the validations as a table, and the settings."""

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hifihr_core.files import write_text
from hifihr_core.outside.whole_files import read_text
from hifihr_core.training.folder.run_journal import METRICS_FILE, SETTINGS_FILE, read_journal
from hifihr_core.training.folder.samples_page import FOLDER as SAMPLES

REPORT_FILE = Path("report.html")

#: Size of a curve and its margin, pixels of the page.
WIDTH, HEIGHT, MARGIN = 360.0, 160.0, 34.0

#: Maximum number of points per curve; longer journals are averaged over equal intervals.
MOST_POINTS = 200

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .8rem .2rem 0; text-align: right; }
th { border-bottom: 1px solid #999; } pre { background: #f5f5f5; padding: 1rem; overflow-x: auto; }
figure { display: inline-block; margin: 0 1rem 1rem 0; } figcaption { font-size: 13px; } img { max-width: 100%; }
"""


def write_report(folder: Path) -> Path:
    """Write the report of the run in `folder` from its files. Raises: DataError if it cannot be written."""
    rows = read_journal(folder / METRICS_FILE) if (folder / METRICS_FILE).exists() else []
    validations = [row for row in rows if row.get("kind") == "validation"]
    training = [row for row in rows if row.get("kind") == "train"]
    sections = [
        _section("Curves", _curves(training, validations)),
        _section("Newest samples", _samples(folder)),
        _section("Validations", _table(validations)),
        _section("Settings", _settings(folder)),
    ]
    title = html.escape(f"Run {folder.resolve().name}")
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body><h1>{title}</h1>{''.join(sections)}</body></html>\n"
    )
    write_text(folder / REPORT_FILE, page)
    return folder / REPORT_FILE


def _section(title: str, body: str) -> str:
    return f"<h2>{html.escape(title)}</h2>{body}" if body else ""


def _curves(training: Sequence[Mapping[str, Any]], validations: Sequence[Mapping[str, Any]]) -> str:
    """Return the curve of the training loss, and one curve per validation metric."""
    named = [("training loss", points_of(training, "loss"))]
    named += [(f"validation {name}", points_of(validations, name)) for name in _columns(validations)]
    return "".join(draw_curve(title, points) for title, points in named)


def points_of(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    """Return (step, value) of all rows that have a finite value `name`.

    If there are more than `MOST_POINTS`, they are averaged over intervals of steps.
    """
    found = [
        (float(row["step"]), float(row[name]))
        for row in rows
        if isinstance(row.get(name), int | float) and math.isfinite(row[name])
    ]
    stretch = math.ceil(len(found) / MOST_POINTS) or 1
    parts = [found[start : start + stretch] for start in range(0, len(found), stretch)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def draw_curve(title: str, points: Sequence[tuple[float, float]]) -> str:
    """Return an HTML figure with the (step, value) `points` as a line in SVG; an empty string if there are none."""
    if not points:
        return ""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    to_x = _scale(min(xs), max(xs), MARGIN, WIDTH - 8)
    to_y = _scale(min(ys), max(ys), HEIGHT - 18, 8.0)
    line = " ".join(f"{to_x(x):.1f},{to_y(y):.1f}" for x, y in points)
    marks = "".join(f'<circle cx="{to_x(x):.1f}" cy="{to_y(y):.1f}" r="2"/>' for x, y in points[-1:])
    axis = (
        f'<text x="2" y="16">{max(ys):.4g}</text><text x="2" y="{HEIGHT - 20}">{min(ys):.4g}</text>'
        f'<text x="{MARGIN}" y="{HEIGHT - 4}">{min(xs):,.0f}</text>'
        f'<text x="{WIDTH - 8}" y="{HEIGHT - 4}" text-anchor="end">step {max(xs):,.0f}</text>'
    )
    return (
        f'<figure><svg width="{WIDTH:.0f}" height="{HEIGHT:.0f}" font-size="10" fill="#555" role="img">'
        f'<polyline points="{line}" fill="none" stroke="#2563eb" stroke-width="1.5"/>'
        f'<g fill="#2563eb">{marks}</g>{axis}</svg>'
        f"<figcaption>{html.escape(title)}: {ys[-1]:.4g}</figcaption></figure>"
    )


def _scale(low: float, high: float, start: float, end: float) -> Any:
    span = high - low or 1.0
    return lambda value: start + (end - start) * (value - low) / span


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row if name not in ("kind", "step", "epoch")))


def _table(validations: Sequence[Mapping[str, Any]]) -> str:
    if not validations:
        return "<p>None yet.</p>"
    columns = _columns(validations)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("step", "epoch", *columns))
    lines = [[f"{row['step']:,}", *(_cell(row.get(name)) for name in ("epoch", *columns))] for row in validations]
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else ""


def _samples(folder: Path) -> str:
    pictures = sorted((folder / SAMPLES).glob("step_*.png")) if (folder / SAMPLES).is_dir() else []
    if not pictures:
        return ""
    place = f"{SAMPLES.as_posix()}/{pictures[-1].name}"
    panels = "input, render, overlay with skeletons (orange predicted, green label), silhouette"
    caption = f"{panels}; without rendering, only input and skeletons"
    return f'<figure><img src="{place}" alt="samples"><figcaption>{pictures[-1].stem}: {caption}</figcaption></figure>'


def _settings(folder: Path) -> str:
    path = folder / SETTINGS_FILE
    return f"<pre>{html.escape(read_text(path))}</pre>" if path.exists() else ""
