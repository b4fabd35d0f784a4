"""Stored results as hands of MANO: what `hifihr convert` runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hifihr_core.conversion.to_mano import ManoConverter
from hifihr_core.errors import DataError
from hifihr_core.exports.formats import FORMATS, ExportContext, check_formats, refuse_existing, write_hand
from hifihr_core.exports.stored_hands import hand_from_document, read_hand_document, result_files
from hifihr_core.hands import load_hand
from hifihr_core.hands.contract import JointDefinition
from hifihr_core.lookup import needed
from hifihr_core.machine.device import one_thread

_SUFFIX = "_mano"


@dataclass(frozen=True)
class Converted:
    """One converted hand: where it came from, how far MANO is from its surface, and the files written."""

    source: Path
    side: str
    vertices_mm: float
    joints_mm: float
    files: tuple[Path, ...]

    def document(self) -> dict[str, object]:
        """Return the entry of this hand in the JSON document on stdout."""
        residual = {"vertices_mean": self.vertices_mm, "joints_mean": self.joints_mm}
        files = [str(file) for file in self.files]
        return {"source": str(self.source), "side": self.side, "residual_mm": residual, "files": files}


def convert_files(
    paths: Sequence[Path],
    *,
    formats: Sequence[str] = ("json", "obj"),
    joints: JointDefinition = "freihand",
    folder: Path | None = None,
    overwrite: bool = False,
) -> Iterator[tuple[int, int, Converted]]:
    """Fit MANO to the hands of JSON files or of folders of results; yield (done, count, hand) one by one.

    Raises: AssetError without MANO; DataError for a file that is not a hand of the free model, or exists already;
    ConfigError for an unknown format.
    """
    chosen = check_formats(formats)
    for name in chosen:
        if FORMATS[name].write_hand is None:
            known = ", ".join(known for known, row in FORMATS.items() if row.write_hand is not None)
            raise DataError(f"format {name!r} holds a whole photo; expected {known}")
    files = [file for path in paths for file in result_files(path) if not file.stem.endswith(_SUFFIX)]
    targets = [(folder or file.parent) / f"{file.stem}{_SUFFIX}" for file in files]
    if not overwrite:
        refuse_existing(target.with_suffix(".json") for target in targets)
    hand = load_hand("anny").double()
    converter = ManoConverter(hand, joints=joints)
    for number, (file, target) in enumerate(zip(files, targets, strict=True), start=1):
        document = read_hand_document(file)
        if document["hand"] != hand.name:
            raise DataError(f"{file}: a hand of {document['hand']}, expected one of {hand.name}")
        with one_thread():
            result = converter.convert(hand_from_document(document, hand))
            written = write_hand(target.parent, target.name, result, chosen, ExportContext(document.get("photo")))
        residual = needed(result.mano, "the MANO of a converted hand")["residual_mm"]
        assert isinstance(residual, dict)
        yield (
            number,
            len(files),
            Converted(file, result.side, residual["vertices_mean"], residual["joints_mean"], tuple(written)),
        )
