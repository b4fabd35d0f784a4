"""Output: data goes to stdout, progress and messages go to stderr; both are plain text outside a terminal."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, TextIO

#: ANSI colours for the first word of a message.
COLORS = {"error": "31", "warning": "33", "note": "36", "done": "32"}


#: Minimum number of seconds between two progress lines with a text in a log.
_SECONDS_BETWEEN = 10.0


class OnProgress(Protocol):
    """The progress callback of core functions: amount done, total (None if unknown), and the current step.

    A `text` replaces the title; `done` and `total` then only drive the bar and are not shown as counts.
    """

    def __call__(self, done: int, total: int | None = None, text: str = "") -> None:
        """Report that `done` of `total` is complete."""


def in_color(stream: TextIO) -> bool:
    """Return whether to use colour: on a terminal, unless `NO_COLOR` (no-color.org) or `TERM=dumb` is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(message: str, *, kind: str | None = None) -> None:
    """Write one line to stderr; `kind`, one of `COLORS`, is the word before it, coloured on a terminal."""
    word = f"{kind}: " if kind else ""
    if kind and in_color(sys.stderr):
        word = f"\033[1;{COLORS[kind]}m{kind}:\033[0m "
    print(f"{word}{printable(message)}", file=sys.stderr)


def printable(text: str) -> str:
    """Return the text made safe for a terminal: control characters and lone surrogates are escaped."""
    return "".join(
        character if character.isprintable() or character == "\n" else character.encode("unicode_escape").decode()
        for character in text
    )


def emit(text: str) -> None:
    """Write data to stdout."""
    print(text)


def emit_json(document: object) -> None:
    """Write one JSON document to stdout; paths and other objects become strings, NaN and infinity become null."""
    from hifihr_core.outside.json_text import finite_json

    print(json.dumps(finite_json(document), indent=2, ensure_ascii=False, default=str))


def emit_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, styles: Mapping[str, str] | None = None
) -> None:
    """Write a table to stdout: aligned and coloured on a terminal, tab-separated elsewhere.

    `styles` maps the text of a cell to its style in rich's notation. If `columns` is empty, there is no header.
    """
    lines = [[printable(str(cell)).replace("\n", "\\n") for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in ([list(columns)] if columns else []) + lines:
            print("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=bool(columns))
    for index in range(len(lines[0]) if lines else 0):
        style = {"no_wrap": True, "style": "cyan"} if index == 0 else {"overflow": "fold"}
        table.add_column(columns[index] if columns else "", **style)
    for line in lines:
        table.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in line))
    Console(highlight=False).print(table)


@contextmanager
def progress(title: str, *, unit: str = "") -> Iterator[OnProgress]:
    """Yield a progress callback that draws a bar on a terminal, and prints a few plain lines elsewhere, all on stderr.

    `unit` is "bytes" to show sizes, a plural noun to show counts of it, or empty to show a percentage.
    """
    if not sys.stderr.isatty():
        yield PlainProgress(title, unit)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    counts = {"bytes": (DownloadColumn(),), "": (TaskProgressColumn(),)}
    count = counts.get(unit, (MofNCompleteColumn(), TextColumn(unit)))
    columns = (TextColumn("{task.description}"), BarColumn(), *count, TimeRemainingColumn())
    if not unit:  # the text already contains the remaining time
        columns = (BarColumn(), *count, TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True, no_color=not in_color(sys.stderr))) as bar:
        task = bar.add_task(title, total=None)

        def report(done: int, total: int | None = None, text: str = "") -> None:
            bar.update(task, completed=done, total=total, description=text or title)

        yield report


class PlainProgress:
    """Progress for logs: one line per tenth of the work, or, for calls with a text, at most one every ten seconds."""

    def __init__(self, title: str, unit: str) -> None:
        self._title, self._unit, self._tenths, self._last_s = title, unit, -1, -_SECONDS_BETWEEN

    def __call__(self, done: int, total: int | None = None, text: str = "") -> None:
        """Print a line when one is due; stay silent until there is a total or a text."""
        tenths = 10 * done // total if total else -1
        is_due = tenths > self._tenths
        if text:
            is_due = time.monotonic() - self._last_s >= _SECONDS_BETWEEN or (tenths == 10 and is_due)
        if not is_due:
            return
        self._tenths, self._last_s = tenths, time.monotonic()
        say(text or f"{self._title}: {done:,} of {total:,} {self._unit}".rstrip())
