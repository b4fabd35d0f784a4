"""Write hands to disk: each format, of one hand or of all hands in a photo, is one row of a table."""

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from hifihr_core import __version__
from hifihr_core.errors import ConfigError, DataError
from hifihr_core.exports.bvh import write_bvh
from hifihr_core.exports.encoding import encode_png
from hifihr_core.exports.forearm import with_forearm
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.scenes import PhotoView, SceneHand, SceneLight, write_scene
from hifihr_core.exports.surfaces import write_obj, write_ply
from hifihr_core.exports.usd import write_usdz
from hifihr_core.files import write_atomically, write_text


@dataclass(frozen=True)
class ExportContext:
    """What files contain besides the hands: the photo's name, camera and pixels, and the bone naming scheme.

    `view` is None if the photo's size is unknown; its `image` is put behind the hands of a scene. With `forearm` the
    hands in scenes end in a short stub; OBJ and PLY contain the model's own mesh.
    """

    photo: str | None = None
    view: PhotoView | None = None
    bones: str = "vrm"
    forearm: bool = True


def _hand_glb(folder: Path, stem: str, hand: HandResult, context: ExportContext) -> list[Path]:
    path = folder / f"{stem}.glb"
    write_scene(
        path, [scene_hand(hand, stem, forearm=context.forearm)], bones=context.bones, extras=_extras([hand], context)
    )
    return [path]


def _obj(folder: Path, stem: str, hand: HandResult, context: ExportContext) -> list[Path]:
    return write_obj(folder / f"{stem}.obj", hand.mesh, name=stem)


def _ply(folder: Path, stem: str, hand: HandResult, context: ExportContext) -> list[Path]:
    return write_ply(folder / f"{stem}.ply", hand.mesh)


def _bvh(folder: Path, stem: str, hand: HandResult, context: ExportContext) -> list[Path]:
    if hand.mesh.rig is None:
        return []
    write_bvh(folder / f"{stem}.bvh", hand.mesh.rig, side=hand.side, bones=context.bones)
    return [folder / f"{stem}.bvh"]


def _json(folder: Path, stem: str, hand: HandResult, context: ExportContext) -> list[Path]:
    document = {"photo": context.photo, "hifihr": __version__, **hand.document()}
    write_text(folder / f"{stem}.json", json.dumps(document, indent=1) + "\n")
    return [folder / f"{stem}.json"]


def _npz(folder: Path, stem: str, hand: HandResult, context: ExportContext) -> list[Path]:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, photo=np.array(context.photo or ""), **hand.arrays())  # type: ignore[arg-type]
    with write_atomically(folder / f"{stem}.npz") as part:
        part.write_bytes(buffer.getvalue())
    return [folder / f"{stem}.npz"]


def _texture(folder: Path, stem: str, hand: HandResult, context: ExportContext) -> list[Path]:
    if hand.mesh.texture is None:
        return []
    path = folder / f"{stem}_texture.png"
    with write_atomically(path) as part:
        part.write_bytes(encode_png(hand.mesh.texture))
    return [path]


def _scene_glb(folder: Path, stem: str, hands: Sequence[HandResult], context: ExportContext) -> list[Path]:
    path = folder / f"{stem}.glb"
    write_scene(
        path,
        _scene_hands(stem, hands, context),
        view=context.view,
        light=_light(hands),
        bones=context.bones,
        extras=_extras(hands, context),
    )
    return [path]


def _scene_usdz(folder: Path, stem: str, hands: Sequence[HandResult], context: ExportContext) -> list[Path]:
    write_usdz(folder / f"{stem}.usdz", _scene_hands(stem, hands, context), bones=context.bones)
    return [folder / f"{stem}.usdz"]


WriteHand = Callable[[Path, str, HandResult, ExportContext], list[Path]]
WritePhoto = Callable[[Path, str, Sequence[HandResult], ExportContext], list[Path]]


@dataclass(frozen=True)
class Format:
    """An output format: how to write one hand, or all hands of a photo, under a stem; each function returns its files.

    `endings` lists what may follow the stem in its file names: no other file is written or replaced.
    """

    endings: tuple[str, ...]
    write_hand: WriteHand | None = None
    write_photo: WritePhoto | None = None


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "glb": Format((".glb",), write_photo=_scene_glb),
        "usdz": Format((".usdz",), write_photo=_scene_usdz),
        "hand-glb": Format((".glb",), write_hand=_hand_glb),
        "obj": Format((".obj", ".mtl", "_texture.png"), write_hand=_obj),
        "ply": Format((".ply",), write_hand=_ply),
        "bvh": Format((".bvh",), write_hand=_bvh),
        "json": Format((".json",), write_hand=_json),
        "npz": Format((".npz",), write_hand=_npz),
        "texture": Format(("_texture.png",), write_hand=_texture),
    }
)
DEFAULT_FORMATS = ("glb", "obj", "json", "npz")


def check_formats(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names without duplicates. Raises: ConfigError for an unknown format."""
    chosen = tuple(dict.fromkeys(names))
    for name in chosen:
        if name not in FORMATS:
            raise ConfigError(f"unknown format {name!r}, expected one of {', '.join(FORMATS)}")
    return chosen


def possible_names(stem: str, hands: int, formats: Iterable[str]) -> set[str]:
    """Return every file name that `write_hand` and `write_photo` may use for a photo with `hands` hands."""
    rows = [FORMATS[name] for name in check_formats(formats)]
    of_hands = {
        f"{stem}_{number}{ending}"
        for row in rows
        if row.write_hand
        for ending in row.endings
        for number in range(hands)
    }
    return of_hands | {f"{stem}{ending}" for row in rows if row.write_photo for ending in row.endings}


def write_hand(
    folder: Path,
    stem: str,
    hand: HandResult,
    formats: Iterable[str] = DEFAULT_FORMATS,
    context: ExportContext = ExportContext(),
) -> list[Path]:
    """Write one hand in those `formats` that hold a single hand; return the files.

    Raises: DataError if a file cannot be written, ConfigError for an unknown format or an extra that is not installed.
    """
    writers = [FORMATS[name].write_hand for name in check_formats(formats)]
    return [file for write in writers if write is not None for file in write(folder, stem, hand, context)]


def write_photo(
    folder: Path,
    stem: str,
    hands: Sequence[HandResult],
    formats: Iterable[str] = DEFAULT_FORMATS,
    context: ExportContext = ExportContext(),
) -> list[Path]:
    """Write all hands of a photo in those `formats` that combine them; return the files.

    Raises: DataError if a file cannot be written, ConfigError for an unknown format or an extra that is not installed.
    """
    writers = [FORMATS[name].write_photo for name in check_formats(formats)]
    return [file for write in writers if write is not None for file in write(folder, stem, hands, context)]


def scene_hand(hand: HandResult, name: str, *, forearm: bool = True) -> SceneHand:
    """Return the hand as part of a scene, by default with a forearm stub."""
    extras = {"score": round(float(hand.score), 4), "metric": hand.metric, "model": hand.hand}
    return SceneHand(with_forearm(hand.mesh) if forearm else hand.mesh, name, hand.side, extras=extras)


def _scene_hands(stem: str, hands: Sequence[HandResult], context: ExportContext) -> list[SceneHand]:
    return [scene_hand(hand, f"{stem}_{number}", forearm=context.forearm) for number, hand in enumerate(hands)]


def _light(hands: Sequence[HandResult]) -> SceneLight | None:
    """Return one light for the scene, the mean of the hands' estimates; None if there are no hands."""
    if not hands:
        return None
    color, direction, ambient = (
        np.mean([hand.light[name] for hand in hands], axis=0) for name in ("color", "direction", "ambient")
    )
    return SceneLight(color, direction if np.linalg.norm(direction) > 1e-6 else np.array([0, 0, -1.0]), ambient)


def _extras(hands: Sequence[HandResult], context: ExportContext) -> dict[str, object]:
    licences = {name: licence for hand in hands for name, licence in hand.licences.items()}
    return {"photo": context.photo, "licences": licences}


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write an RGB uint8 picture; the suffix of `path` names the format."""
    with write_atomically(path) as part:
        Image.fromarray(image).save(part, format=Image.registered_extensions()[path.suffix.lower()])


def refuse_existing(paths: Iterable[Path]) -> None:
    """Raise DataError for the first path that already exists, so that nothing is overwritten without permission."""
    for path in paths:
        if path.exists():
            raise DataError(f"{path}: already exists; give another --out, or --overwrite")
