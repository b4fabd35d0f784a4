"""The file by which a generated raw tree says what it is."""

from dataclasses import dataclass

from hifihr_core.errors import DataError
from hifihr_core.outside.json_text import parse_json

#: Stands in the root of a raw tree that `prepare synth --as ...` wrote:
#: ``{"synthetic": true, "stand_in_vertices": true|false}``.
MARKER_NAME = "hifihr_synthetic.json"


@dataclass(frozen=True)
class Marker:
    """What is known about a raw tree. `stand_in_vertices`: its 778 vertices are not MANO's."""

    synthetic: bool = False
    stand_in_vertices: bool = False


def parse_marker(text: bytes | None, name: str = MARKER_NAME) -> Marker:
    """Return what a marker file says; no file means a real download. Raises: DataError if it is not a marker."""
    if text is None:
        return Marker()
    try:
        content = parse_json(text, name, remedy="write the tree again")
        return Marker(synthetic=bool(content["synthetic"]), stand_in_vertices=bool(content["stand_in_vertices"]))
    except (TypeError, KeyError) as error:
        raise DataError(f"{name}: not a marker of a synthetic tree ({error}); write the tree again") from error
