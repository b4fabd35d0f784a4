"""Store a frozen dataclass of arrays and strings in a plain `.npz` without pickles and with a format number."""

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hifihr_core.errors import AssetError
from hifihr_core.outside.array_archives import MOST_BYTES, read_arrays

RecordT = TypeVar("RecordT")


def save_record(record: Any, target: Path, *, kind: str, format_number: int, compress: bool = True) -> None:
    """Write every field of `record` that is not None, and an entry "format" made of `kind` and `format_number`."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in values.items() if value is not None}
    save = np.savez_compressed if compress else np.savez
    # A file object, because NumPy would add a suffix to a path.
    with target.open("wb") as file:
        save(file, format=np.array(f"{kind} {format_number}"), **arrays)


def load_record(
    record: type[RecordT],
    path: Path,
    *,
    kind: str,
    format_number: int,
    remedy: str,
    most_bytes: int = MOST_BYTES,
) -> RecordT:
    """Read a file that `save_record` wrote. Raises: AssetError if it is missing, damaged or in another format."""
    arrays = read_arrays(path, what=f"a {kind} file of hifihr", remedy=remedy, most_bytes=most_bytes)
    found, expected = str(arrays.pop("format", "missing")), f"{kind} {format_number}"
    if found != expected:
        raise AssetError(f"{path}: its format is {found}, expected {expected}; {remedy}")
    names = {field.name for field in fields(record)}  # type: ignore[arg-type]
    if unknown := arrays.keys() - names:
        raise AssetError(f"{path}: has unknown entries: {', '.join(sorted(unknown))}; {remedy}")
    values = {name: value.item() if value.dtype.kind == "U" else value for name, value in arrays.items()}
    try:
        return record(**values)
    except TypeError as error:
        raise AssetError(f"{path}: an entry is missing ({error}); {remedy}") from error
