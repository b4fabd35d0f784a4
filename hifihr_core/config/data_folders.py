"""Default locations of data: one data folder with raw downloads, and shards made from them."""

import os
from pathlib import Path


def data_home() -> Path:
    """Return the data folder: `$HIFIHR_DATA`, else `./data`. It may not exist yet."""
    return Path(os.environ.get("HIFIHR_DATA") or "data").expanduser()


def raw_folder(dataset: str) -> Path:
    """Return the folder in which the raw files of a dataset are expected.

    If this folder does not exist, but `prepare synth --as` has generated a dataset in the same layout, the folder of
    the generated dataset is returned.
    """
    place = data_home() / "raw" / dataset
    return place if place.exists() else next(iter(generated_trees(dataset)), place)


def generated_trees(dataset: str = "") -> list[Path]:
    """Return the folders of generated raw datasets, in the layout of `dataset` or (if empty) in any."""
    return sorted(path for path in (data_home() / "raw").glob(f"synth-{dataset}*") if path.is_dir())


def cache_folder() -> Path:
    """Return the folder in which shards from an object store are cached."""
    return data_home() / "cache"


def shards_folder(dataset: str) -> Path:
    """Return the folder in which the shards of a dataset are written and read."""
    return data_home() / "shards" / dataset
