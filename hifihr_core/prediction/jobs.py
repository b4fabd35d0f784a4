"""Predict photos on disk and write the results to disk: the work of `hifihr predict`."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hifihr_core.errors import DataError, HifihrError
from hifihr_core.exports.bone_names import check_bone_style
from hifihr_core.exports.formats import (
    DEFAULT_FORMATS,
    ExportContext,
    check_formats,
    write_hand,
    write_photo,
    write_picture,
)
from hifihr_core.exports.page import MAX_PHOTOS, PAGE_FILE, page_photo, write_page
from hifihr_core.exports.results import HandResult, PhotoResult
from hifihr_core.exports.run_index import RunIndex, files_of
from hifihr_core.exports.scenes import PhotoView
from hifihr_core.machine.device import one_thread
from hifihr_core.machine.parts import Part
from hifihr_core.photos.camera_choice import CameraChoice
from hifihr_core.photos.detections import Detection, check_in_photo
from hifihr_core.photos.reading import Photo, read_photo
from hifihr_core.prediction.predictor import Predictor
from hifihr_core.prediction.result_folder import (
    PICTURES,
    choose_stem,
    digest,
    fingerprint,
    is_done,
    refuse_foreign_page,
    refuse_other_results,
    remove_leftovers,
    result_names,
    result_of,
)
from hifihr_core.prediction.sheets import overlay, sheet


@dataclass(frozen=True)
class OutputSettings:
    """What is written, and where; `formats` are names of `exports.FORMATS`.

    `pictures` adds an overlay and a sheet of views as JPEG. `bones` is the bone naming scheme (vrm, unreal, mano). With
    `backdrop`, a scene shows the photo behind its hands; with `page`, one HTML file shows up to `MAX_PHOTOS` photos of
    the run; with `forearm`, hands in scenes have a short piece of forearm.
    """

    folder: Path
    formats: Sequence[str] = DEFAULT_FORMATS
    pictures: bool = True
    overwrite: bool = False
    bones: str = "vrm"
    backdrop: bool = False
    page: bool = False
    forearm: bool = True


@dataclass(frozen=True)
class Done:
    """One photo of a run: its entry in the JSON document on stdout, and its result or error.

    `result` is None for a photo that an earlier run finished (`kept`), and for one with an `error`.
    """

    path: Path
    document: Mapping[str, Any]
    result: PhotoResult | None = None
    error: HifihrError | None = None
    kept: bool = False


def predict_files(
    predictor: Predictor,
    paths: Sequence[Path],
    output: OutputSettings,
    *,
    camera: CameraChoice | None = None,
    boxes: Mapping[str, Sequence[Detection]] | None = None,
    convert: Callable[[HandResult], HandResult] = lambda hand: hand,
    same_person: bool = False,
    part: Part | None = None,
    on_step: Callable[[int], None] = lambda step: None,
) -> Iterator[Done]:
    """Predict the photos one by one and write the files of each hand.

    Hand n of `a.jpg` is written as `a_n.obj` and so on, and all hands of the photo as `a.glb`; `hands.json` lists the
    results. A photo that an earlier run finished with the same settings is skipped (unless `output` asks for a page or
    to overwrite), so an interrupted run resumes. A photo that cannot be read, or whose box or camera does not fit, is
    reported; the others are still processed. `boxes` maps paths to hands that replace the detector's. `convert` changes
    every hand before it is written, for example to MANO with `ManoConverter.convert`. With `same_person`, all photos
    are of one person, whose hands get the same skin; if one photo must be processed again, all are. With a `part`,
    `paths` are only its photos (`photos_of_part`); other parts may write to the same folder at the same time, and the
    index of that folder lists the photos of all parts.

    Raises: ConfigError for an unknown format; DataError if results with other settings exist, or results cannot be
    written.
    """
    check_formats(output.formats)
    check_bone_style(output.bones)
    with RunIndex(output.folder, part=part) as index:
        run = _Run(predictor, output, camera or CameraChoice(), boxes, convert, on_step, index, same_person)
        yield from run.photos(paths)


#: A photo with its hands, or the error that prevented them.
_Found = tuple[Photo, PhotoResult] | DataError


@dataclass(frozen=True)
class _Run:
    """State shared by the photos of one run."""

    predictor: Predictor
    output: OutputSettings
    camera: CameraChoice
    boxes: Mapping[str, Sequence[Detection]] | None
    convert: Callable[[HandResult], HandResult]
    on_step: Callable[[int], None]
    index: RunIndex
    same_person: bool = False

    def photos(self, paths: Sequence[Path]) -> Iterator[Done]:
        """Process the photos, and yield each when it is finished, in order.

        Before the first, check that no results made with other settings would be overwritten.
        """
        settings = {path: self._settings(path) for path in paths}
        kept = {path for path in paths if self._is_kept(path, settings[path])}
        if self.same_person:
            settings = dict.fromkeys(paths, digest([str(paths), *settings.values()]))
            kept = set(paths) if all(self._is_kept(path, settings[path]) for path in paths) else set()
        for path in paths:
            if not self.output.overwrite and path not in kept and os.path.isfile(path):
                refuse_other_results(self.index, path, settings[path])
        if self.output.page:
            refuse_foreign_page(self.output.folder / PAGE_FILE, overwrite=self.output.overwrite)
        taken: set[str] = set()
        shown: list[dict] = []
        found = self._together([path for path in paths if path not in kept]) if self.same_person else {}
        for path in paths:
            if path in kept:
                yield self._keep(path)
                continue
            photo = found[path] if path in found else self._alone(path)
            yield self._done(path, photo, settings[path], taken, shown)
        if shown:
            write_page(self.output.folder / PAGE_FILE, shown)

    def _keep(self, path: Path) -> Done:
        entry = self.index.entry(str(path)) or {}
        return Done(path, result_of(entry, self.output.folder), kept=True)

    def _given(self, path: Path) -> Sequence[Detection] | None:
        return None if self.boxes is None else self.boxes.get(str(path), ())

    def _alone(self, path: Path) -> "_Found":
        """Return a photo with its hands, or the error that prevented them."""
        try:
            photo = read_photo(path)
            given = self._given(path)
            return photo, self.predictor.predict(photo, camera=self.camera, detections=given, on_step=self.on_step)
        except DataError as error:
            return _named(error, path)

    def _together(self, paths: Sequence[Path]) -> dict[Path, "_Found"]:
        """Return the photos of one person, each with its hands, or its error if it could not be processed.

        Photos with an error do not contribute to the shared skin.
        """
        read: dict[Path, Photo] = {}
        found: dict[Path, _Found] = {}
        for path in paths:
            try:
                read[path] = read_photo(path)
                for hand in self._given(path) or ():
                    check_in_photo(hand, *read[path].size_px)
            except DataError as error:
                read.pop(path, None)
                found[path] = _named(error, path)
        given = [self._given(path) for path in read]
        results = self.predictor.predict_person(
            list(read.values()), camera=self.camera, detections=given, on_step=self.on_step
        )
        return found | {path: (read[path], result) for path, result in zip(read, results, strict=True)}

    def _done(self, path: Path, found: "_Found", settings: str, taken: set[str], shown: list[dict]) -> Done:
        if isinstance(found, DataError):
            document = {"path": str(path), "hands": [], "files": [], "pictures": [], "error": str(found)}
            return Done(path, document, error=found)
        photo, result = found
        result = replace(result, hands=tuple(self.convert(hand) for hand in result.hands))
        document = self._write(photo, result, path, settings, taken)
        if self.output.page and result.hands and len(shown) < MAX_PHOTOS:
            shown.append(page_photo(path.name, photo, result.hands))
        return Done(path, document, result)

    def _write(self, photo: Photo, result: PhotoResult, path: Path, settings: str, taken: set[str]) -> dict[str, Any]:
        """Write the files of a photo under unused names, and record it in the index."""
        index, hands, earlier = self.index, len(result.hands), self.index.names(str(path))
        if not hands and not earlier:
            return {"path": str(path), "hands": [], "files": [], "pictures": [], **_remarks(result)}
        stem = choose_stem(index, path, hands, self.output.formats, taken)
        taken.add(stem)
        index.plan(str(path), sorted(result_names(stem, hands, self.output.formats) | earlier))
        with one_thread():
            document = _write(photo, result, path, stem, self.output)
        remove_leftovers(index, path, [Path(file) for file in files_of(document)])
        index.add({**document, "settings": settings, "file": fingerprint(path)})
        return document

    def _is_kept(self, path: Path, settings: str) -> bool:
        if self.output.overwrite or self.output.page or not os.path.isfile(path):  # a page shows every photo of the run
            return False
        return is_done(self.index, path, settings)

    def _settings(self, path: Path) -> str:
        """Return a short text that changes if any setting changes on which the results of a photo depend."""
        given = None if self.boxes is None else [repr(hand) for hand in self.boxes.get(str(path), ())]
        detector, convert = (
            getattr(one, "__qualname__", type(one).__name__) for one in (self.predictor.detector, self.convert)
        )
        output = replace(self.output, folder=Path(), formats=sorted(self.output.formats), overwrite=False, page=False)
        facts = [self.predictor.settings, self.predictor.source, detector, convert, output, self.camera, given]
        return digest([repr(fact) for fact in facts])


def _named(error: DataError, path: Path) -> DataError:
    """Return the error, prefixed with the name of its photo."""
    return error if str(path) in str(error) else DataError(f"{path}: {error}")


def _write(photo: Photo, result: PhotoResult, path: Path, stem: str, output: OutputSettings) -> dict[str, Any]:
    """Write the files of a photo; return its entry in the JSON document."""
    folder, formats, context = output.folder, output.formats, _context(photo, result, path, output)
    hands = []
    for number, hand in enumerate(result.hands):
        files = write_hand(folder, f"{stem}_{number}", hand, formats, context)
        hands.append({**hand.summary(), "files": [str(file) for file in files]})
    scenes = write_photo(folder, stem, result.hands, formats, context) if hands else []
    pictures = _write_pictures(photo, result, folder / stem) if hands and output.pictures else []
    files_and_pictures = {"files": [str(file) for file in scenes], "pictures": [str(file) for file in pictures]}
    return {"path": str(path), "hands": hands, **files_and_pictures, **_remarks(result)}


def _remarks(result: PhotoResult) -> dict[str, Any]:
    return {"seconds": dict(result.seconds), **({"notes": list(result.notes)} if result.notes else {})}


def _write_pictures(photo: Photo, result: PhotoResult, stem: Path) -> list[Path]:
    over, beside = (stem.with_name(f"{stem.name}{ending}") for ending in PICTURES)
    write_picture(over, overlay(photo, result.hands))
    write_picture(beside, np.concatenate([sheet(photo, hand) for hand in result.hands], axis=0))
    return [over, beside]


def _context(photo: Photo, result: PhotoResult, path: Path, output: OutputSettings) -> ExportContext:
    """Return what exports need to know about the photo; its camera is the one with which its hands were computed."""
    if not result.hands:
        return ExportContext(path.name, bones=output.bones, forearm=output.forearm)
    view = PhotoView(result.hands[0].K, photo.size_px, photo.image if output.backdrop else None)
    return ExportContext(path.name, view, output.bones, output.forearm)
