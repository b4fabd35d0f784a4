"""Convert stored results to MANO or NIMBLE, as the command `hifihr convert` does."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from hifihr_core.conversion.converters import CONVERTERS, Convert, build_converter, residual_mm
from hifihr_core.errors import ConfigError, DataError
from hifihr_core.exports.formats import FORMATS, ExportContext, check_formats, refuse_existing, write_hand
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.stored_hands import hand_from_document, read_hand_document, result_files
from hifihr_core.files import check_writable
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.hands.contract import JointDefinition
from hifihr_core.lookup import lookup
from hifihr_core.machine.device import one_thread

#: Suffixes in the names of converted hands, which are not converted again.
_ENDS = tuple(f"_{name}" for name in CONVERTERS)


@dataclass(frozen=True)
class Conversion:
    """One hand to convert: its file, and the path of its converted files without their endings."""

    source: Path
    folder: Path
    stem: str


@dataclass(frozen=True)
class Converted:
    """One converted hand: its source file, its side, its distance from the predicted surface, and the files written.

    A hand that could not be read or converted has an `error` and no files.
    """

    source: Path
    side: str = ""
    residual_mm: Mapping[str, float] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    error: DataError | None = None

    def document(self) -> dict[str, object]:
        """Return the entry of this hand in the JSON document that the command prints."""
        if self.error is not None:
            return {"source": str(self.source), "error": str(self.error)}
        files = [str(file) for file in self.files]
        return {"source": str(self.source), "side": self.side, "residual_mm": dict(self.residual_mm), "files": files}


def plan_conversions(
    paths: Sequence[Path], *, to: str, formats: Sequence[str], folder: Path | None = None, overwrite: bool = False
) -> tuple[tuple[Conversion, ...], int]:
    """Return the hands to convert from JSON files or results folders, each once, and the number already converted.

    Files are written to `folder`, by default beside their source.
    Raises: DataError if there are none, two would have the same files, or a file exists and `overwrite` is False;
    ConfigError for an unknown model or format, or a format that such hands do not have.
    """
    row = lookup(CONVERTERS, to, "hand model to convert to", error=ConfigError)
    chosen = check_formats(formats)
    for name in chosen:
        if FORMATS[name].write_hand is None:
            known = ", ".join(known for known, format in FORMATS.items() if format.write_hand is not None)
            raise ConfigError(f"format {name!r} is for whole photos, expected one of {known}")
        if name == "texture" and not row.textured:
            raise ConfigError(f"format 'texture': hands of {to} have a colour per vertex instead; leave it out")
    given = {file.resolve(): file for path in paths for file in result_files(path)}.values()
    files = [file for file in given if not file.stem.endswith(_ENDS)]
    if not files:
        raise DataError(f"{paths[0]}: found only converted hands, expected a hand's file from `hifihr predict`")
    plan = tuple(Conversion(file, folder or file.parent, f"{file.stem}_{to}") for file in files)
    _refuse_collisions(plan)
    endings = {ending for name in chosen for ending in FORMATS[name].endings}
    if not overwrite:
        refuse_existing(one.folder / f"{one.stem}{ending}" for one in plan for ending in sorted(endings))
    for one in {one.folder: one for one in plan}.values():
        check_writable(one.folder / f"{one.stem}{min(endings)}")
    return plan, len(given) - len(files)


def convert_files(
    plan: Sequence[Conversion],
    *,
    to: str = "mano",
    formats: Sequence[str] = ("json", "obj"),
    joints: JointDefinition = "freihand",
) -> Iterator[Converted]:
    """Fit the model `to` to hands and write them, one by one; a hand that is damaged does not stop the others.

    Raises: AssetError if the model is not installed; DataError if a file cannot be written; ConfigError for an unknown
    model or format.
    """
    hand = load_hand("anny").double()
    convert = build_converter(to, hand, joints=joints)
    for one in plan:
        try:
            with one_thread():
                photo, result = _convert_file(one.source, hand, convert)
        except DataError as error:
            yield Converted(one.source, error=error)
            continue
        with one_thread():
            written = write_hand(one.folder, one.stem, result, formats, ExportContext(photo))
        yield Converted(one.source, result.side, residual_mm(to, result), tuple(written))


def _refuse_collisions(plan: Sequence[Conversion]) -> None:
    """Raise DataError if two hands would be written to the same files."""
    sources: dict[Path, Path] = {}
    for one in plan:
        other = sources.setdefault(one.folder / one.stem, one.source)
        if other != one.source:
            raise DataError(
                f"{one.source} and {other} would both become {one.folder / one.stem}.*; convert them separately, "
                "each with its own --out"
            )


def _convert_file(path: Path, hand: HandModel, convert: Convert) -> tuple[str | None, HandResult]:
    """Return the photo's name and the converted hand. Raises: DataError for a file that is not a hand of `hand`."""
    document = read_hand_document(path)
    if document["hand"] != hand.name:
        raise DataError(
            f"{path}: is a hand of the model {document['hand']!r}, expected {hand.name!r}, the only one to convert from"
        )
    stored = hand_from_document(document, hand, path)
    try:
        result = convert(stored)
    except (torch.linalg.LinAlgError, DataError) as error:  # no solution, or one with NaN
        raise DataError(f"{path}: a damaged hand (it cannot be fitted); predict it again") from error
    if not all(np.isfinite(values).all() for values in (result.mesh.vertices, result.joints_cam, result.joints_px)):
        raise DataError(f"{path}: a damaged hand (its fit has no finite numbers); predict it again")
    return document.get("photo"), result
