"""A page with the overlay of a clip and a bar per track: dark where its hand was seen, pale where it was not."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from hifihr_core.files import write_text
from hifihr_core.video.fitting.fitted_track import FittedTrack

_WIDTH = 1000
_COLORS = ("#e05050", "#3f8fe0", "#3fae5a", "#d09a30", "#9a5fd0")
_PAGE = """<!doctype html><meta charset="utf-8"><title>{title}</title>
<style>body{{font:14px sans-serif;margin:1em auto;max-width:1040px}}video{{width:100%;max-height:70vh}}
svg{{width:100%;height:18px;background:#eee;cursor:pointer}}line{{stroke:#000}}</style>
<h1>{title}</h1><video src="{video}" controls></video>
{rows}
<script>
const video = document.querySelector("video"), seconds = {seconds};
document.querySelectorAll("svg").forEach(line => line.onclick = event => {{
  const box = line.getBoundingClientRect();
  video.currentTime = seconds * (event.clientX - box.left) / box.width;
}});
video.ontimeupdate = () => document.querySelectorAll("line").forEach(mark => {{
  const x = {width} * video.currentTime / seconds;
  mark.setAttribute("x1", x); mark.setAttribute("x2", x);
}});
</script>
"""


def write_timeline(path: Path, overlay: Path, tracks: Sequence[FittedTrack], *, start_s: float, end_s: float) -> Path:
    """Write the page beside `overlay`, the clip from `start_s` to `end_s` with its hands; return the page's path.

    A click on a bar jumps to that time. Raises: DataError if the page cannot be written.
    """
    seconds = max(end_s - start_s, 1e-3)
    rows = "\n".join(_row(track, start_s, seconds) for track in tracks)
    page = _PAGE.format(
        title=escape(path.stem), video=escape(overlay.name), rows=rows, seconds=round(seconds, 4), width=_WIDTH
    )
    write_text(path, page)
    return path


def _row(track: FittedTrack, start_s: float, seconds: float) -> str:
    color, seen = _COLORS[track.id % len(_COLORS)], track.seen
    step = float(np.median(np.diff(track.times_s))) if len(track) > 1 else seconds
    bars = []
    for first, last in runs(seen):
        left, right = (track.times_s[first] - start_s, track.times_s[last] + step - start_s)
        shade = 1.0 if seen[first] else 0.3
        x, width = _WIDTH * left / seconds, _WIDTH * (right - left) / seconds
        bars.append(f'<rect x="{x:.1f}" width="{width:.1f}" height="18" fill="{color}" opacity="{shade}"/>')
    words = f"track {track.id}, {track.side}, {track.times_s[0]:.2f} to {track.times_s[-1]:.2f} s"
    mark = '<line x1="0" x2="0" y1="0" y2="18"/>'
    return f'<p>{words}<br><svg viewBox="0 0 {_WIDTH} 18" preserveAspectRatio="none">{"".join(bars)}{mark}</svg></p>'


def runs(seen: Bool[np.ndarray, " T"]) -> list[tuple[int, int]]:
    """Return the first and last index of every run of equal values, in order."""
    ends = np.flatnonzero(np.diff(seen.astype(int)))
    firsts, lasts = np.concatenate(([0], ends + 1)), np.concatenate((ends, [len(seen) - 1]))
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))
