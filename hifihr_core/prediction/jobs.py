"""From photos on disk to files on disk: what `hifihr predict` runs."""

import json
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
from hifihr_core.exports.results import HandResult, PhotoResult
from hifihr_core.exports.run_index import INDEX_FILE, write_index
from hifihr_core.exports.scenes import PhotoView
from hifihr_core.files import read_text
from hifihr_core.geometry.lenses import focal_from_fov, ideal_K
from hifihr_core.photos.detectors import Detection
from hifihr_core.photos.reading import Photo, read_photo
from hifihr_core.prediction.predictor import Predictor
from hifihr_core.prediction.sheets import overlay, sheet


@dataclass(frozen=True)
class CameraChoice:
    """What the user says of the camera: at most one of these. All in pixels of the full photo.

    `intrinsics` is a 3 x 3 K; `fov_deg` is the field of view across the diagonal.
    """

    focal_px: float | None = None
    fov_deg: float | None = None
    intrinsics: np.ndarray | None = None

    def K(self, photo: Photo) -> np.ndarray | None:
        """Return the camera of the full photo, or None where the user said nothing."""
        if self.intrinsics is not None:
            return self.intrinsics
        height, width = (round(side * photo.reduction) for side in photo.image.shape[:2])
        if self.focal_px is not None:
            return ideal_K(self.focal_px, width, height)
        if self.fov_deg is not None:
            return ideal_K(focal_from_fov(self.fov_deg, width, height), width, height)
        return None


@dataclass(frozen=True)
class OutputSettings:
    """What is written, and where; `formats` are names of `exports.FORMATS`.

    `bones` is the style of bone names (vrm, unreal, mano); with `backdrop` a scene shows the photo behind its hands.
    """

    folder: Path
    formats: Sequence[str] = DEFAULT_FORMATS
    pictures: bool = True
    overwrite: bool = False
    bones: str = "vrm"
    backdrop: bool = False


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
            return {"path": str(self.path), "hands": [], "error": str(self.error)}
        hands = [
            {**hand.summary(), "files": [str(file) for file in files]}
            for hand, files in zip(self.result.hands, self.files, strict=True)
        ]
        entry: dict[str, object] = {"path": str(self.path), "hands": hands, "seconds": dict(self.result.seconds)}
        files = {"files": self.scenes, "pictures": self.pictures}
        return {**entry, **{name: [str(file) for file in paths] for name, paths in files.items()}}


def predict_files(
    predictor: Predictor,
    paths: Sequence[Path],
    output: OutputSettings,
    *,
    camera: CameraChoice = CameraChoice(),
    boxes: Mapping[str, Sequence[Detection]] | None = None,
    convert: Callable[[HandResult], HandResult] = lambda hand: hand,
    on_step: Callable[[int], None] = lambda step: None,
) -> Iterator[Done]:
    """Predict photo after photo and write the files of each hand; a photo that cannot be read is reported, not fatal.

    Hand n of `a.jpg` is written as `a_n.obj`, and so on, all its hands as `a.glb`; `hands.json` lists what there is.
    `boxes` maps paths or file names to the hands to take instead of the detector's. `convert` changes every hand before
    it is written: `ManoConverter.convert` makes it MANO's.

    Raises: ConfigError for an unknown format; DataError where files exist already or the disk refuses.
    """
    formats = check_formats(output.formats)
    check_bone_style(output.bones)
    stems = _stems(paths)
    if not output.overwrite:
        refuse_existing(file for stem in stems.values() for file in _earlier(output.folder, stem))
    for path in paths:
        try:
            photo = read_photo(path)
        except DataError as error:
            yield Done(path, None, error=error)
            continue
        given = None if boxes is None else boxes.get(str(path), boxes.get(path.name, ()))
        result = predictor.predict_photo(photo, K=camera.K(photo), detections=given, on_step=on_step)
        result = replace(result, hands=tuple(convert(hand) for hand in result.hands))
        for file in _earlier(output.folder, stems[path]):  # a hand that is no longer found must not stay behind
            file.unlink()
        with one_thread():
            done = _write(photo, result, path, stems[path], output, formats)
        if done.files or (output.folder / INDEX_FILE).exists():
            write_index(output.folder, [done.document()])
        yield done


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
    write_picture(over, overlay(photo.image, result.hands, reduction=photo.reduction))
    rows = [sheet(photo.image, hand, reduction=photo.reduction) for hand in result.hands]
    write_picture(beside, np.concatenate(rows, axis=0))
    return Done(path, result, files, scenes, (over, beside))


def _context(photo: Photo, result: PhotoResult, path: Path, output: OutputSettings) -> ExportContext:
    """Return what the files say of the photo; its camera is that of its hands."""
    if not result.hands:
        return ExportContext(path.name, bones=output.bones)
    height, width = (round(side * photo.reduction) for side in photo.image.shape[:2])
    view = PhotoView(result.hands[0].K, (width, height), photo.image if output.backdrop else None)
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
    yield path.stem
    yield f"{path.stem}_{path.suffix[1:].lower()}"
    number = 2
    while True:
        yield f"{path.stem}_{number}"
        number += 1


def read_boxes(path: Path) -> dict[str, list[Detection]]:
    """Read boxes from JSON: ``{"a.jpg": [{"box": [x, y, width, height], "side": "left", "keypoints": [[u, v, c]]}]}``.

    Boxes and keypoints are pixels of the upright photo; side and the 21 keypoints (with confidences) are optional.
    Raises DataError for a file that is missing or says something else.
    """
    try:
        document = json.loads(read_text(path))
        return {name: [_detection(entry) for entry in entries] for name, entries in document.items()}
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {error.lineno} is not JSON ({error.msg}); see docs/prediction.md") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        form = '{"photo.jpg": [{"box": [x, y, width, height], "side": "right"}]}'
        raise DataError(f"{path}: not a list of boxes ({error}); expected {form}") from error


def _detection(entry: Mapping[str, object]) -> Detection:
    x, y, width, height = np.array(entry["box"], dtype=np.float64)
    if not (np.isfinite([x, y, width, height]).all() and width > 0 and height > 0):
        raise ValueError(f"box {entry['box']} is empty or not finite")
    side = entry.get("side")
    if side not in (None, "left", "right"):
        raise ValueError(f"side {side!r} is neither left nor right")
    box = np.array([x, y, x + width, y + height])
    if entry.get("keypoints") is None:
        return Detection(box, 1.0, side=side)
    keypoints = np.array(entry["keypoints"], dtype=np.float64)
    if keypoints.shape != (21, 3) or not np.isfinite(keypoints).all():
        raise ValueError(f"keypoints have shape {keypoints.shape}, expected (21, 3) finite numbers")
    return Detection(box, 1.0, side, keypoints[:, :2], keypoints[:, 2])


def read_intrinsics(path: Path) -> np.ndarray:
    """Read a K: nine numbers as JSON (3 x 3), as text, or as `.npy`. Raises DataError for anything else."""
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        elif path.suffix == ".json":
            values = np.array(json.loads(read_text(path)), dtype=np.float64)
        else:
            values = np.array(read_text(path).split(), dtype=np.float64)
        K = np.asarray(values, dtype=np.float64).reshape(3, 3)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DataError(f"{path}: not a camera matrix ({error}); expected 3 x 3 numbers in pixels") from error
    if not (np.isfinite(K).all() and K[0, 0] > 0 and K[1, 1] > 0 and np.allclose(K[2], (0, 0, 1))):
        raise DataError(f"{path}: not a camera matrix; expected [[fx, s, cx], [0, fy, cy], [0, 0, 1]] in pixels")
    return K
