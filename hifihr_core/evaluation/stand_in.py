"""Generate hands in the layout of a benchmark, so that hifihr can be tried without the benchmark's dataset."""

from pathlib import Path

from hifihr_core.config.data_folders import data_home, generated_trees, shards_folder
from hifihr_core.machine.progress import OnProgress, no_progress
from hifihr_core.sources.contract import Request
from hifihr_core.sources.prepare import prepare
from hifihr_core.sources.table import find_source
from hifihr_core.sources.written.layouts import LAYOUTS, RawRequest, write_raw_tree

#: Number of hands in the evaluation split.
HANDS = 8


def wants_stand_in(dataset: str) -> bool:
    """Return whether there is no data of a benchmark, and the data folder contains only generated datasets.

    It must contain at least one, and none in the layout of this benchmark.
    """
    if dataset not in {layout.partition("-")[0] for layout in LAYOUTS} or shards_folder(dataset).exists():
        return False
    trees, raw = set(generated_trees()), data_home() / "raw"
    return bool(trees) and not generated_trees(dataset) and trees == {path for path in raw.iterdir() if path.is_dir()}


def make_stand_in(dataset: str, *, on_progress: OnProgress = no_progress) -> str:
    """Generate and prepare a small dataset in the layout of a benchmark; return a note about it.

    Raises: DataError if it cannot be written.
    """
    layout = next(layout for layout in LAYOUTS if layout.partition("-")[0] == dataset)
    root: Path = data_home() / "raw" / f"synth-{layout}"
    write_raw_tree(layout, RawRequest(root, 1, HANDS), on_progress=on_progress)
    prepare(find_source(dataset), Request(root), shards_folder(dataset))
    return (
        f"the data folder has only generated data and nothing of {dataset}, so {HANDS} hands were generated in its "
        f"layout ({shards_folder(dataset)}); these scores are not comparable with scores on {dataset}"
    )
