"""`hifihr predict`: from photos to textured 3D hands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifihr_cli.console import emit_json, emit_table, progress, say
from hifihr_cli.params import Device, Json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hifihr_core.prediction.detectors import Detection
    from hifihr_core.prediction.jobs import Done

Photos = Annotated[list[str], typer.Argument(help="Photos, folders or globs.", metavar="IMAGE...", show_default=False)]
Out = Annotated[Path, typer.Option("--out", "--out_folder", help="Folder for the results.", metavar="FOLDER")]
Checkpoint = Annotated[
    Path | None, typer.Option("--checkpoint", help="Weights of a training run; else the shipped ones.", metavar="FILE")
]
DetectorName = Annotated[
    str, typer.Option("--detector", help="auto, mediapipe or none (the whole photo is the hand).", metavar="NAME")
]
Boxes = Annotated[
    Path | None, typer.Option("--boxes", help="JSON file with the boxes of the hands per photo.", metavar="FILE")
]
Box = Annotated[
    str | None, typer.Option("--box", help="One box for every photo: x,y,width,height in pixels.", metavar="X,Y,W,H")
]
HandSide = Annotated[
    str, typer.Option("--side", help="left or right where nobody tells; auto means right.", metavar="SIDE")
]
Mirrored = Annotated[
    bool, typer.Option("--mirrored", help="The photos are mirrored, as some selfies.", show_default=False)
]
StartName = Annotated[
    str, typer.Option("--start", help="auto, image (network) or keypoints (detector and lifter).", metavar="NAME")
]
Refine = Annotated[
    bool, typer.Option("--refine", help="Fit every hand to its photo; slower, closer.", show_default=False)
]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Steps of the refinement.", metavar="N")]
Focal = Annotated[float | None, typer.Option("--focal", min=1e-3, help="Focal length, pixels.", metavar="PX")]
Fov = Annotated[float | None, typer.Option("--fov", min=1, max=179, help="Field of view across the diagonal, degrees.")]
Intrinsics = Annotated[
    Path | None, typer.Option("--intrinsics", help="File with the 3 x 3 camera matrix.", metavar="FILE")
]
Formats = Annotated[
    str, typer.Option("--format", help="Of glb, obj, ply, json, npz, texture, with commas between.", metavar="LIST")
]
NoOverlay = Annotated[bool, typer.Option("--no-overlay", help="Write no pictures.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results.", show_default=False)]


def predict(
    images: Photos,
    out: Out = Path("predictions"),
    checkpoint: Checkpoint = None,
    detector: DetectorName = "auto",
    boxes: Boxes = None,
    box: Box = None,
    side: HandSide = "auto",
    mirrored: Mirrored = False,
    start: StartName = "auto",
    refine: Refine = False,
    steps: Steps = None,
    focal: Focal = None,
    fov: Fov = None,
    intrinsics: Intrinsics = None,
    format: Formats = "glb,obj,json,npz,texture",
    no_overlay: NoOverlay = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Turn photos into posed, textured 3D hands: mesh, texture, overlay, parameters.

    Per hand: .glb with skeleton and texture, .obj, parameters as .json and .npz; per photo: an overlay and a sheet.
    Exit code 1: no hand was found in any photo.
    """
    _check_choice("--side", side, ("auto", "left", "right"))
    _check_choice("--start", start, ("auto", "image", "keypoints"))
    if sum(value is not None for value in (focal, fov, intrinsics)) > 1:
        raise typer.BadParameter("give one of --focal, --fov and --intrinsics")
    if boxes is not None and box is not None:
        raise typer.BadParameter("give one of --box and --boxes")

    from hifihr_core.device import choose_device
    from hifihr_core.prediction.jobs import CameraChoice, OutputSettings, predict_files, read_intrinsics
    from hifihr_core.prediction.photos import find_photos
    from hifihr_core.prediction.predictor import Predictor, PredictSettings
    from hifihr_core.prediction.refine import RefineSettings

    paths = find_photos(images)
    given = _boxes(paths, boxes, box)
    settings = PredictSettings(
        start=start,  # type: ignore[arg-type]  # checked above
        refine=refine,
        refinement=RefineSettings() if steps is None else RefineSettings(steps=steps),
        default_side="left" if side == "left" else "right",
        mirrored=mirrored,
    )
    predictor = Predictor.load(
        checkpoint,
        detector=_detector(detector, needed=given is None, side=side),
        settings=settings,
        device=choose_device(device),
    )
    camera = CameraChoice(focal, fov, None if intrinsics is None else read_intrinsics(intrinsics))
    output = OutputSettings(out, tuple(format.split(",")), pictures=not no_overlay, overwrite=overwrite)
    done = []
    with progress("predict", unit="photos") as bar:
        bar(0, len(paths))
        for one in predict_files(predictor, paths, output, camera=camera, boxes=given):
            done.append(one)
            bar(len(done), len(paths))
    _report(done, json)


def _check_choice(option: str, value: str, known: "Sequence[str]") -> None:
    if value not in known:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(known)}", param_hint=option)


def _detector(name: str, *, needed: bool, side: str):  # type: ignore[no-untyped-def]
    """Return the detector, and say so where the whole photo has to do."""
    from dataclasses import replace

    from hifihr_core.prediction.detectors import (
        DETECTORS,
        INSTALL_LINE,
        available_detectors,
        build_detector,
        whole_image,
    )

    if not needed:
        return whole_image
    _check_choice("--detector", name, ("auto", *DETECTORS))
    if name == "auto" and available_detectors() == ["none"]:
        say(f"no detector is installed, so each photo is taken as one hand; {INSTALL_LINE}", kind="note")
    detect = build_detector(name)
    if side == "auto":
        return detect
    return lambda image: [replace(hand, side=side) for hand in detect(image)]


def _boxes(paths: "Sequence[Path]", file: Path | None, box: str | None) -> "Mapping[str, list[Detection]] | None":
    import numpy as np

    from hifihr_core.prediction.detectors import Detection
    from hifihr_core.prediction.jobs import read_boxes

    if file is not None:
        return read_boxes(file)
    if box is None:
        return None
    try:
        x, y, width, height = (float(value) for value in box.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{box!r} is not x,y,width,height", param_hint="--box") from error
    if width <= 0 or height <= 0:
        raise typer.BadParameter(f"{box!r} is empty; width and height must be positive", param_hint="--box")
    corners: np.ndarray = np.array([x, y, x + width, y + height])
    return {path.name: [Detection(corners, 1.0)] for path in paths}


def _report(done: "list[Done]", json: bool) -> None:
    from hifihr_core.errors import DataError, FindingsError

    if json:
        emit_json({"images": [one.document() for one in done]})
    for one in done:
        if one.error is not None:
            say(str(one.error), kind="warning")
    hands = [(one, i) for one in done if one.result for i in range(len(one.result.hands))]
    if not json and hands:
        columns = ("photo", "hand", "side", "score", "files")
        emit_table(columns, [_table_row(one, i) for one, i in hands])
    if hands:
        return
    if len(done) == 1 and done[0].error is not None:
        raise done[0].error
    if all(one.error is not None for one in done):
        raise DataError(f"none of {len(done)} photos could be read")
    raise FindingsError(f"no hand was found in {len(done)} photo(s); give --box, or --detector none for a close-up")


def _table_row(one: "Done", i: int) -> tuple[object, ...]:
    assert one.result is not None
    hand = one.result.hands[i]
    return (one.path.name, i, hand.side, f"{hand.score:.2f}", " ".join(str(file) for file in one.files[i][:1]))
