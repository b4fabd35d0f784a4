"""The marker file of a synthetic dataset that is written in the layout of a real one."""

from dataclasses import dataclass

from hifihr_core.errors import DataError
from hifihr_core.outside.json_text import parse_json
from hifihr_core.outside.zips import RawFile

#: A file in the root of a dataset written by `prepare synth --as ...`:
#: ``{"synthetic": true, "stand_in_vertices": true|false}``.
MARKER_NAME = "hifihr_synthetic.json"
#: The marker's entry until the dataset is complete.
UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Marker:
    """The statements of the marker. `stand_in_vertices` means that the dataset's 778 vertices are not MANO's."""

    synthetic: bool = False
    stand_in_vertices: bool = False


def read_marker(file: RawFile | None) -> Marker:
    """Read a marker file; None (no file) means a real download.

    Raises: DataError if it is not a marker, or the dataset is unfinished.
    """
    if file is None:
        return Marker()
    content = parse_json(file.read(), file.name, remedy="generate the dataset again")
    if isinstance(content, dict) and UNFINISHED in content:
        raise DataError(f"{file.name}: an unfinished dataset; run `hifihr prepare synth --as ...` again to complete it")
    if not isinstance(content, dict) or not {"synthetic", "stand_in_vertices"} <= content.keys():
        raise DataError(
            f"{file.name}: not the marker of a synthetic dataset, expected the entries synthetic and "
            "stand_in_vertices; generate the dataset again"
        )
    return Marker(synthetic=bool(content["synthetic"]), stand_in_vertices=bool(content["stand_in_vertices"]))
