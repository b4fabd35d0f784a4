"""Show a result on the screen: a page of its own in the browser, or only on disk where there is no screen."""

import os
import sys
import tempfile
import webbrowser
from collections.abc import Mapping
from pathlib import Path

from hifihr_core.exports.page import PAGE_FILE, page_photo, write_page
from hifihr_core.exports.results import PhotoResult
from hifihr_core.photos.reading import Photo


def show_result(result: PhotoResult, photo: Photo, page: Path | None, *, browser: bool | None) -> Path:
    """Write the page of one photo and open it; return its path.

    With `page` None it goes into a new temporary folder, which stays, since the browser reads it later. With `browser`
    None it is opened if there is a screen. Raises: DataError if the page cannot be written.
    """
    path = Path(tempfile.mkdtemp(prefix="hifihr-")) / PAGE_FILE if page is None else page
    name = "photo" if result.path is None else result.path.name
    write_page(path, [page_photo(name, photo, result.hands)])
    if has_screen(os.environ, sys.platform) if browser is None else browser:
        webbrowser.open(path.resolve().as_uri())
    return path


def has_screen(environment: Mapping[str, str], platform: str) -> bool:
    """Return whether a browser window can open; a browser inside the terminal would block the program."""
    return platform in ("darwin", "win32") or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
