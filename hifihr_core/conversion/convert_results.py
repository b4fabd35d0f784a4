"""Convert stored results to MANO or NIMBLE, as the command `hifihr convert` does."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hifihr_core.conversion.converters import CONVERTERS, build_converter, residual_mm
from hifihr_core.errors import DataError
from hifihr_core.exports.formats import FORMATS, ExportContext, check_formats, refuse_existing, write_hand
from hifihr_core.exports.stored_hands import hand_from_document, read_hand_document, result_files
from hifihr_core.hands import load_hand
from hifihr_core.hands.contract import JointDefinition
from hifihr_core.machine.device import one_thread

#: Suffixes in the names of converted hands, which are not converted again.
_ENDS = tuple(f"_{name}" for name in CONVERTERS)


@dataclass(frozen=True)
class Converted:
    """One converted hand: its source file, its side, its distance from the predicted surface, and the files written."""

    source: Path
    side: str
    residual_mm: Mapping[str, float]
    files: tuple[Path, ...]

    def document(self) -> dict[str, object]:
        """Return the entry of this hand in the JSON document that the command prints."""
        files = [str(file) for file in self.files]
        return {"source": str(self.source), "side": self.side, "residual_mm": dict(self.residual_mm), "files": files}


def convert_files(
    paths: Sequence[Path],
    *,
    to: str = "mano",
    formats: Sequence[str] = ("json", "obj"),
    joints: JointDefinition = "freihand",
    folder: Path | None = None,
    overwrite: bool = False,
) -> Iterator[tuple[int, int, Converted]]:
    """Fit the model `to` to the hands in JSON files or results folders; yield (done, count, hand) one by one.

    Files are written to `folder`, by default beside their source.
    Raises: AssetError if the model is not installed; DataError for a file that is not a hand of the free model, a
    format of whole photos, or an output file that already exists, unless `overwrite`; ConfigError for an unknown model
    or format.
    """
    chosen = check_formats(formats)
    for name in chosen:
        if FORMATS[name].write_hand is None:
            known = ", ".join(known for known, row in FORMATS.items() if row.write_hand is not None)
            raise DataError(f"format {name!r} is for whole photos, expected one of {known}")
    files = [file for path in paths for file in result_files(path) if not file.stem.endswith(_ENDS)]
    targets = [(folder or file.parent) / f"{file.stem}_{to}" for file in files]
    if not overwrite:
        refuse_existing(target.with_suffix(".json") for target in targets)
    hand = load_hand("anny").double()
    convert = build_converter(to, hand, joints=joints)
    for number, (file, target) in enumerate(zip(files, targets, strict=True), start=1):
        document = read_hand_document(file)
        if document["hand"] != hand.name:
            raise DataError(f"{file}: is a hand of the model {document['hand']!r}, expected {hand.name!r}")
        with one_thread():
            result = convert(hand_from_document(document, hand))
            written = write_hand(target.parent, target.name, result, chosen, ExportContext(document.get("photo")))
        yield number, len(files), Converted(file, result.side, residual_mm(to, result), tuple(written))
