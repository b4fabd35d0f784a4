"""The marker file of a synthetic dataset that is written in the layout of a real one."""

from dataclasses import dataclass

from hifihr_core.errors import DataError
from hifihr_core.outside.json_text import parse_json

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


def parse_marker(text: bytes | None, name: str = MARKER_NAME) -> Marker:
    """Parse the content of a marker file; None (no file) means a real download.

    Raises: DataError if the content is not that of a marker, or the dataset is unfinished.
    """
    if text is None:
        return Marker()
    try:
        content = parse_json(text, name, remedy="generate the dataset again")
        if UNFINISHED in content:
            raise DataError(f"{name}: an unfinished dataset; run `hifihr prepare synth --as ...` to its end")
        return Marker(synthetic=bool(content["synthetic"]), stand_in_vertices=bool(content["stand_in_vertices"]))
    except (TypeError, KeyError) as error:
        raise DataError(
            f"{name}: not the marker of a synthetic dataset ({error}); generate the dataset again"
        ) from error
