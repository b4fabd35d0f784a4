"""`hifihr view`: show results in a browser."""

import time
from pathlib import Path
from typing import Annotated

import typer

from hifihr_cli.console import say
from hifihr_cli.imports import quick_imports

Results = Annotated[Path, typer.Argument(help="A folder written by `hifihr predict`.", metavar="RESULTS")]
Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.", metavar="N")]
Host = Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0: every address.", metavar="NAME")]


def view(results: Results = Path("predictions"), port: Port = 8080, host: Host = "127.0.0.1") -> None:
    """View predicted hands in a browser: over their photo, from any side, with bones and finger sliders.

    Clips get a time slider and a switch per track; hands are translucent in frames in which they were not seen.

    Needs the extra `view` (pip install 'hifihr[view]'). Stop with Ctrl-C.
    """
    with quick_imports():
        from hifihr_core.video.clip_viewer import ClipViewer
        from hifihr_core.viewing.app import HandViewer
        from hifihr_core.viewing.stored_photos import StoredPhotos
        from hifihr_core.viewing.stored_tracks import StoredClips, has_tracks

    viewer: HandViewer | ClipViewer
    if has_tracks(results):
        viewer = ClipViewer(StoredClips(results), host=host, port=port)
    else:
        viewer = HandViewer(StoredPhotos(results), host=host, port=port)
    say(f"open http://{'localhost' if host == '0.0.0.0' else host}:{viewer.port} in a browser; press Ctrl-C to stop")
    try:
        while True:
            time.sleep(1)  # a signal just before a sleep is noticed after it
    finally:
        viewer.stop()
