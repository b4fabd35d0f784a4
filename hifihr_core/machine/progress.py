"""Progress reports from long-running work."""

from collections.abc import Callable

#: Called with the amount done and the total (None if unknown); the unit depends on the work.
OnProgress = Callable[[int, int | None], None]


def no_progress(done: int, total: int | None = None) -> None:
    """Ignore progress reports."""
