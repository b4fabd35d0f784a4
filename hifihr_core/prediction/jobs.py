"""From photos on disk to files on disk: what `hifihr predict` runs."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hifihr_core.device import one_thread
from hifihr_core.errors import DataError, HifihrError
from hifihr_core.exports.bone_names import check_bone_style
from hifihr_core.exports.formats import (
    DEFAULT_FORMATS,
    ExportContext,
    check_formats,
    refuse_existing,
    write_hand,
    write_photo,
    write_picture,
)
from hifihr_core.exports.page import MAX_PHOTOS, PAGE_FILE, page_photo, write_page
from hifihr_core.exports.results import HandResult, PhotoResult
from hifihr_core.exports.run_index import INDEX_FILE, write_index
from hifihr_core.exports.scenes import PhotoView
from hifihr_core.photos.cameras import CameraChoice
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.reading import Photo, read_photo
from hifihr_core.prediction.predictor import Predictor
from hifihr_core.prediction.sheets import overlay, sheet

#: Bytes of a photo's name that its files keep; file systems allow 255, endings and numbers need some.
_LONGEST_STEM = 180


@dataclass(frozen=True)
class OutputSettings:
    """What is written, and where; `formats` are names of `exports.FORMATS`.

    `bones` is the style of bone names (vrm, unreal, mano); with `backdrop` a scene shows the photo behind its hands;
    with `page` one HTML file shows all photos of the run.
    """

    folder: Path
    formats: Sequence[str] = DEFAULT_FORMATS
    pictures: bool = True
    overwrite: bool = False
    bones: str = "vrm"
    backdrop: bool = False
    page: bool = False


@dataclass(frozen=True)
class Done:
    """One finished photo: its result, the files of each hand, of all and its pictures, or why it could not be read."""

    path: Path
    result: PhotoResult | None
    files: tuple[tuple[Path, ...], ...] = ()
    scenes: tuple[Path, ...] = ()
    pictures: tuple[Path, ...] = ()
    error: HifihrError | None = None

    def document(self) -> dict[str, object]:
        """Return the entry of this photo in the JSON document on stdout."""
        if self.result is None:
            return {"path": str(self.path), "hands": [], "files": [], "pictures": [], "error": str(self.error)}
        hands = [
            {**hand.summary(), "files": [str(file) for file in files]}
            for hand, files in zip(self.result.hands, self.files, strict=True)
        ]
        entry: dict[str, object] = {"path": str(self.path), "hands": hands, "seconds": dict(self.result.seconds)}
        if self.result.notes:
            entry["notes"] = list(self.result.notes)
        files = {"files": self.scenes, "pictures": self.pictures}
        return {**entry, **{name: [str(file) for file in paths] for name, paths in files.items()}}


def predict_files(
    predictor: Predictor,
    paths: Sequence[Path],
    output: OutputSettings,
    *,
    camera: CameraChoice | None = None,
    boxes: Mapping[str, Sequence[Detection]] | None = None,
    convert: Callable[[HandResult], HandResult] = lambda hand: hand,
    on_step: Callable[[int], None] = lambda step: None,
) -> Iterator[Done]:
    """Predict photo after photo and write the files of each hand.

    A photo that cannot be read, or whose box or camera does not fit, is reported; the others are done all the same.

    Hand n of `a.jpg` is written as `a_n.obj`, and so on, all its hands as `a.glb`; `hands.json` lists what there is.
    `boxes` maps paths to the hands to take instead of the detector's. `convert` changes every hand before it is
    written: `ManoConverter.convert` makes it MANO's.

    Raises: ConfigError for an unknown format; DataError where files exist already or the disk refuses.
    """
    formats = check_formats(output.formats)
    check_bone_style(output.bones)
    stems = _stems(paths)
    if not output.overwrite:
        refuse_existing(file for stem in stems.values() for file in _earlier(output.folder, stem))
        refuse_existing([output.folder / PAGE_FILE] if output.page else [])
    shown: list[dict] = []
    for path in paths:
        given = None if boxes is None else boxes.get(str(path), ())
        try:
            photo = read_photo(path)
            result = predictor.predict(photo, camera=camera, detections=given, on_step=on_step)
        except DataError as error:
            yield Done(path, None, error=_named(error, path))
            continue
        result = replace(result, hands=tuple(convert(hand) for hand in result.hands))
        for file in _earlier(output.folder, stems[path]):  # a hand that is no longer found must not stay behind
            file.unlink()
        with one_thread():
            done = _write(photo, result, path, stems[path], output, formats)
        if output.page and done.files and len(shown) < MAX_PHOTOS:
            shown.append(page_photo(path.name, photo, result.hands))
        if done.files or (output.folder / INDEX_FILE).exists():
            write_index(output.folder, [done.document()])
        yield done
    if shown:
        write_page(output.folder / PAGE_FILE, shown)


def _named(error: DataError, path: Path) -> DataError:
    """Return the error with the name of its photo in front."""
    return error if str(path) in str(error) else DataError(f"{path}: {error}")


def _earlier(folder: Path, stem: str) -> list[Path]:
    """Return the files of an earlier prediction of this photo."""
    own = re.compile(re.escape(stem) + r"(_(\d+(_texture|_mano)?|overlay|sheet)\.[a-z]+|\.(glb|usdz|html))")
    return sorted(file for file in folder.iterdir() if own.fullmatch(file.name)) if folder.is_dir() else []


def _write(
    photo: Photo, result: PhotoResult, path: Path, stem: str, output: OutputSettings, formats: Sequence[str]
) -> Done:
    context = _context(photo, result, path, output)
    files = tuple(
        tuple(write_hand(output.folder, f"{stem}_{number}", hand, formats, context))
        for number, hand in enumerate(result.hands)
    )
    if not result.hands:
        return Done(path, result)
    scenes = tuple(write_photo(output.folder, stem, result.hands, formats, context))
    if not output.pictures:
        return Done(path, result, files, scenes)
    over, beside = (output.folder / f"{stem}_{name}.jpg" for name in ("overlay", "sheet"))
    write_picture(over, overlay(photo, result.hands))
    rows = [sheet(photo, hand) for hand in result.hands]
    write_picture(beside, np.concatenate(rows, axis=0))
    return Done(path, result, files, scenes, (over, beside))


def _context(photo: Photo, result: PhotoResult, path: Path, output: OutputSettings) -> ExportContext:
    """Return what the files say of the photo; its camera is that of its hands."""
    if not result.hands:
        return ExportContext(path.name, bones=output.bones)
    view = PhotoView(result.hands[0].K, photo.size_px, photo.image if output.backdrop else None)
    return ExportContext(path.name, view, output.bones)


def _stems(paths: Sequence[Path]) -> dict[Path, str]:
    """Return a name per photo for its files: its own, made unique by its suffix or a number where two are the same."""
    stems: dict[Path, str] = {}
    for path in paths:
        candidates = _candidates(path)
        taken = set(stems.values())
        stems[path] = next(name for name in candidates if name not in taken)
    return stems


def _candidates(path: Path) -> Iterable[str]:
    stem = path.stem
    while len(stem.encode(errors="surrogateescape")) > _LONGEST_STEM:
        stem = stem[:-1]
    yield stem
    yield f"{stem}_{path.suffix[1:].lower()}"
    number = 2
    while True:
        yield f"{stem}_{number}"
        number += 1
