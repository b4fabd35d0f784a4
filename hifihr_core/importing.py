"""Install an asset from a user's file, folder or zip: find, check, convert and store it."""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path

from hifihr_core.assets.fetch import check_bytes
from hifihr_core.assets.registry import Asset
from hifihr_core.assets.store import install
from hifihr_core.errors import AssetError, DataError
from hifihr_core.files import describe_os_error
from hifihr_core.hands.table import HANDS
from hifihr_core.lookup import load_attribute
from hifihr_core.outside.folders import find_files
from hifihr_core.outside.whole_files import check_regular
from hifihr_core.outside.zips import RawFile, is_zip, read_zip_index

Convert = Callable[[Path, Path], None]

#: Asset id -> "module:function" that converts the user's files to the cache's file, without running code in them.
CONVERTERS: dict[str, str] = {
    **{row.asset: row.convert for row in HANDS.values() if row.asset and row.convert},
    "mano-left": "hifihr_core.hands.mano.convert:convert_mano_left",
    "hifihr-t7": "hifihr_core.models.legacy:convert_t7",
}


def import_asset(asset: Asset, source: Path) -> Path:
    """Install `asset` from a file, a folder or a zip, and return its path in the cache. `source` is not modified.

    Names in a folder or zip are matched at any depth, ignoring case; a single file may have any name with the right
    suffix. Raises: AssetError if files are missing, damaged, untrusted, or differ from the registry's checksum.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="hifihr-") as scratch:
            given = gather(asset, source, Path(scratch))
            if asset.source is not None:
                check_bytes(asset, given, origin=str(source))
            return install(asset, given, converter(asset))
    except OSError as error:
        raise AssetError(describe_os_error(error, source)) from error


def converter(asset: Asset) -> Convert:
    """Return the function that converts the gathered file or folder to the file in the cache."""
    if asset.source is not None:  # its bytes were compared with the registry's checksum
        return _copy
    function: Convert = load_attribute(CONVERTERS[asset.id])
    return function


def gather(asset: Asset, source: Path, scratch: Path) -> Path:
    """Return the path of the user's file, or of a folder with all files if `asset` needs several.

    Members of a zip are unpacked, and files of several folders linked, into `scratch`. Raises: AssetError if a file is
    missing, too large or ambiguous.
    """
    if not source.exists():
        raise AssetError(f"{source}: no such file or folder; {_expected(asset)}")
    if not source.is_dir():
        _check_file(asset, source)
    if source.suffix.lower() == ".zip" and is_zip(source):
        found = _unpack(asset, source, scratch)
    elif source.is_dir():
        below = {str(path.relative_to(source)): path for path in _shallow_first(source)}
        found = {wanted: below[name] for wanted, name in _choose(asset, source, below).items()}
    elif len(asset.wanted) > 1:
        raise AssetError(f"{source}: one file, but {asset.id} needs {len(asset.wanted)}; {_expected(asset)}")
    else:
        return _check_suffix(asset, source)
    if len(found) == 1:
        return next(iter(found.values()))
    folders = {path.parent for path in found.values()}
    if len(folders) == 1 and all(path.name == wanted for wanted, path in found.items()):
        return folders.pop()
    for wanted, path in found.items():
        (scratch / wanted).symlink_to(path.resolve())
    return scratch


def _check_file(asset: Asset, source: Path) -> None:
    """Raise AssetError for a pipe or device, which may never end, and for a file (but not a zip) that is too large."""
    check_regular(source, error=AssetError)
    size = source.stat().st_size
    if size > asset.largest_bytes and source.suffix.lower() != ".zip":
        raise AssetError(f"{source}: {size:,} bytes, expected at most {asset.largest_bytes:,}; {_expected(asset)}")


def _shallow_first(folder: Path) -> list[Path]:
    return sorted(find_files(folder), key=lambda path: (len(path.parts), str(path)))


def _choose(asset: Asset, source: Path, names: Iterable[str]) -> dict[str, str]:
    """Map each wanted name or pattern to one of `names`. Raises: AssetError for a missing or ambiguous name."""
    candidates, found = list(names), dict[str, str]()
    for wanted in asset.wanted:
        matches = [name for name in candidates if fnmatch(Path(name).name.lower(), wanted.lower())]
        if not matches:
            raise AssetError(f"{source}: contains no {wanted}; {_expected(asset)}")
        if len(matches) > 1 and "*" in wanted:
            raise AssetError(f"{source}: {', '.join(matches)} all match {wanted}, expected one; give the file itself")
        found[wanted] = matches[0]
    return found


def _unpack(asset: Asset, archive: Path, scratch: Path) -> dict[str, Path]:
    """Unpack only the wanted members, under the wanted names, so that paths in the archive do no harm."""
    try:
        members = {file.inner: file for file in read_zip_index(RawFile(archive)).files()}
        unpacked = {}
        for wanted, name in _choose(asset, archive, members).items():
            unpacked[wanted] = scratch / wanted.replace("*", asset.id)
            _copy_bounded(members[name], unpacked[wanted], asset.largest_bytes)
        return unpacked
    except DataError as error:
        raise AssetError(str(error)) from error


def _copy_bounded(packed: RawFile, target: Path, most: int) -> None:
    """Unpack at most `most` bytes, whatever the archive claims. Raises: AssetError if there are more."""
    if packed.size > most:
        raise AssetError(
            f"{packed.name}: unpacks to {packed.size:,} bytes, expected at most {most:,}; it is damaged or malicious"
        )
    with packed.open() as stream, target.open("wb") as file:
        shutil.copyfileobj(stream, file, 1 << 20)


def _check_suffix(asset: Asset, source: Path) -> Path:
    suffix = Path(asset.wanted[0]).suffix
    if source.suffix.lower() != suffix:
        raise AssetError(f"{source}: suffix {source.suffix or '(none)'}, expected {suffix}; {_expected(asset)}")
    return source


def _expected(asset: Asset) -> str:
    what = ", ".join(asset.wanted)
    one = len(asset.wanted) == 1
    given = "this file, or a folder or zip that contains it" if one else "a folder or zip that contains these files"
    return f"{asset.id} is made from {what}; give {given}, from {asset.homepage}"


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
