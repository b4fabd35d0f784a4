"""Download free assets: resumable, checked against the registry, and moved into the cache when complete."""

import shutil
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from io import BufferedIOBase
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from hifihr_core.assets.registry import Asset, Source
from hifihr_core.assets.store import install, installed_path, remedy
from hifihr_core.errors import AssetError
from hifihr_core.files import describe_os_error
from hifihr_core.lookup import needed
from hifihr_core.machine.progress import OnProgress, no_progress
from hifihr_core.outside.whole_files import sha256_of

TIMEOUT_S = 30.0
BLOCK_BYTES = 1 << 18


def fetch(asset: Asset, on_progress: OnProgress = no_progress) -> Path:
    """Download `asset` into the cache, resuming an interrupted download, and return its path.

    `on_progress` is called with the number of bytes so far and the total. A partial download is kept as
    `<file>.download`. Raises: AssetError if the asset is not free, the network fails, the disk is full or the checksum
    differs.
    """
    if asset.source is None:
        raise AssetError(
            f"{asset.id}: licence class {asset.licence}, but only free assets are downloaded; {remedy(asset)}"
        )
    target = installed_path(asset)
    part = target.with_name(target.name + ".download")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        _download(asset, asset.source, part, on_progress)
        check_bytes(asset, part, origin=asset.source.url)
    except AssetError:
        raise
    except HTTPError as error:
        raise AssetError(
            f"{asset.source.url}: the server answered {error.code} {error.reason}; {_by_hand(asset)}"
        ) from error
    except (URLError, TimeoutError, ConnectionError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        host = urlsplit(asset.source.url).hostname
        raise AssetError(
            f"{asset.id}: no answer from {host} ({reason}); check the network and run again to resume; "
            f"or {_by_hand(asset)}"
        ) from error
    except OSError as error:
        raise AssetError(describe_os_error(error, part)) from error
    return install(asset, part, lambda source, staged: _move(source, staged))


def check_bytes(asset: Asset, path: Path, *, origin: str) -> None:
    """Compare a file with the registry's checksum; `origin` is where it came from, for the message.

    A download that differs is removed, so that the next run starts over. Raises: AssetError with both checksums.
    """
    found = sha256_of(path, error=AssetError)
    expected = needed(asset.source, f"{asset.id}: the source").checksum
    if found.startswith(expected):
        return
    if path.suffix == ".download":
        path.unlink()
    raise AssetError(
        f"{origin}: sha256 {found[: len(expected)]}, expected {expected}; the file is damaged or was replaced, "
        "so get it again"
    )


def _download(asset: Asset, source: Source, part: Path, on_progress: OnProgress) -> None:
    """Download what `part` still lacks of the file at `source`, and append it."""
    if urlsplit(source.url).scheme not in ("http", "https"):
        raise AssetError(f"{source.url}: expected an address starting with https://; {_by_hand(asset)}")
    have = part.stat().st_size if part.exists() else 0
    if source.size is not None and have == source.size:
        return
    request = Request(source.url, headers={"User-Agent": "hifihr", **({"Range": f"bytes={have}-"} if have else {})})
    try:
        response = urlopen(request, timeout=TIMEOUT_S)
    except HTTPError as error:
        if (
            error.code == 416 and have
        ):  # there is nothing more to download; the checksum shows whether the file is right
            return
        raise
    with response:
        if response.status != 206:  # the server ignores the range and sends the whole file
            have = 0
        length = _length(response.headers)
        total = have + length if length is not None else source.size
        _check_space(part, total, have)
        most = total if total is not None else asset.largest_bytes
        with part.open("ab" if have else "wb") as file:
            _copy(Bounded(response, most - have), file, have, total, on_progress)
    if part.stat().st_size > most:
        part.unlink()
        raise AssetError(f"{source.url}: sent more than the expected {most:,} bytes; {_by_hand(asset)}")
    if total is not None and (found := part.stat().st_size) < total:
        raise AssetError(f"{asset.id}: the connection ended at {found:,} of {total:,} bytes; run again to resume")


@dataclass
class Bounded:
    """A response body with `left` expected bytes; at most one byte more is read, to detect a body that is too long."""

    body: BufferedIOBase
    left: int

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end of the body, or after one byte more than expected."""
        block = self.body.read(min(size, self.left + 1)) if self.left >= 0 else b""
        self.left -= len(block)
        return block


def _copy(response: Bounded, file: BufferedIOBase, done: int, total: int | None, on_progress: OnProgress) -> None:
    on_progress(done, total)
    while block := response.read(BLOCK_BYTES):
        file.write(block)
        done += len(block)
        on_progress(done, total)


def _length(headers: HTTPMessage) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _check_space(part: Path, total: int | None, have: int) -> None:
    """Raise AssetError if the disk has too little space for the rest of a download."""
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - have > free:
        raise AssetError(
            f"{part.parent}: {free / 1e6:,.0f} MB are free, but {(total - have) / 1e6:,.0f} MB are needed; "
            "free some space, or set HIFIHR_HOME to another folder"
        )


def _move(source: Path, staged: Path) -> None:
    source.replace(staged)


def _by_hand(asset: Asset) -> str:
    url = needed(asset.source, "the source").url
    return f"get {url} on another machine, then run `hifihr assets import {asset.id} FILE`"
