"""Where data lies by default: one data folder, raw downloads in it, and the shards made from them."""

import os
from pathlib import Path


def data_home() -> Path:
    """Return the data folder: `$HIFIHR_DATA`, else `./data`. It may not exist yet."""
    return Path(os.environ.get("HIFIHR_DATA") or "data").expanduser()


def raw_folder(dataset: str) -> Path:
    """Return where the raw files of a dataset are looked for."""
    return data_home() / "raw" / dataset


def shards_folder(dataset: str) -> Path:
    """Return where the shards of a dataset are written to and read from."""
    return data_home() / "shards" / dataset
