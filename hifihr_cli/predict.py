"""`hifihr predict`: turn photos and clips into textured 3D hands."""

from dataclasses import dataclass
from enum import Enum
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hifihr_cli.clips import ClipOptions, has_clips, note_ignored, predict_clips
from hifihr_cli.console import emit_json, emit_table, progress, say
from hifihr_cli.imports import quick_imports
from hifihr_cli.params import Device, Json, PartOf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hifihr_core.errors import HifihrError
    from hifihr_core.exports.results import HandResult
    from hifihr_core.machine.parts import Part
    from hifihr_core.photos.camera_choice import CameraChoice
    from hifihr_core.photos.detections import Detection
    from hifihr_core.prediction.jobs import OutputSettings
    from hifihr_core.prediction.predictor import Predictor


class SideName(str, Enum):
    """The side of every hand: left, right, or `auto` for the side that the detector reports."""

    auto = "auto"
    left = "left"
    right = "right"


class JointsName(str, Enum):
    """Definition of the 21 joints to write."""

    freihand = "freihand"
    openpose = "openpose"
    ho3d = "ho3d"


class HandName(str, Enum):
    """Hand model of the mesh and parameters to write."""

    anny = "anny"
    mano = "mano"
    nimble = "nimble"


class StartName(str, Enum):
    """Starting point of a reconstruction."""

    auto = "auto"
    image = "image"
    keypoints = "keypoints"


Photos = Annotated[
    list[str] | None, typer.Argument(help="Photos, clips, folders or globs.", metavar="IMAGE...", show_default=False)
]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results.", metavar="FOLDER")]
Checkpoint = Annotated[
    Path | None,
    typer.Option("--checkpoint", help="Weight file or run folder; default: the shipped networks.", metavar="PATH"),
]
DetectorName = Annotated[
    str,
    typer.Option(
        "--detector", help="Detector: fast, auto, thorough, or none (treat the whole photo as a hand).", metavar="NAME"
    ),
]
MaxHands = Annotated[
    int | None,
    typer.Option(
        "--max-hands", min=1, help="Keep only the N most confident hands; default: all (clips: 2).", metavar="N"
    ),
]
MinScore = Annotated[
    float | None,
    typer.Option("--min-score", min=0, max=1, help="Ignore hands with a lower score; default: 0.5.", metavar="SCORE"),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        "--boxes",
        help="JSON file with each photo's hands (boxes, sides, keypoints), or an earlier result.",
        metavar="FILE",
    ),
]
Box = Annotated[
    str | None, typer.Option("--box", help="One box for every photo: x,y,width,height in pixels.", metavar="X,Y,W,H")
]
Side = Annotated[SideName, typer.Option("--side", help="Treat every hand as left or right; auto: as detected.")]
Mirrored = Annotated[
    bool, typer.Option("--mirrored", help="Treat the photos as mirrored, as some selfies are.", show_default=False)
]
Hand = Annotated[
    HandName, typer.Option("--hand", help="Hand model to write; mano and nimble are fitted to the result.")
]
Joints = Annotated[
    JointsName,
    typer.Option("--joints", help="Joint definition: freihand (same as openpose), or ho3d (the model's own skeleton)."),
]
Start = Annotated[
    StartName, typer.Option("--start", help="Start from keypoints or the image network; auto: keypoints if found.")
]
Refine = Annotated[
    bool, typer.Option("--refine", help="Fit each hand to its photo: slower but more accurate.", show_default=False)
]
HandLength = Annotated[
    float | None,
    typer.Option(
        "--hand-length",
        min=50,
        max=300,
        help="Length of the flat hand from wrist to middle fingertip, mm; fixes the size of every hand.",
        metavar="MM",
    ),
]
Steps = Annotated[
    int | None, typer.Option("--steps", min=1, help="Maximum number of refinement steps; default: 60.", metavar="N")
]
Focal = Annotated[
    float | None,
    typer.Option("--focal", min=1e-3, help="Focal length, pixels; default: from EXIF, else --fov 60.", metavar="PX"),
]
Fov = Annotated[
    float | None,
    typer.Option("--fov", min=6, max=140, help="Field of view across the diagonal, degrees.", metavar="DEG"),
]
Intrinsics = Annotated[
    Path | None, typer.Option("--intrinsics", help="File with the 3 x 3 camera matrix, pixels.", metavar="FILE")
]
Formats = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Comma-separated: glb, usdz (per photo); hand-glb, obj, ply, bvh, json, npz, texture (per hand); "
        "default: glb,obj,json,npz. Clips: glb, bvh, npz, jsonl; default: all.",
        metavar="LIST",
    ),
]
Bones = Annotated[str, typer.Option("--bones", help="Bone naming scheme: vrm, unreal or mano.", metavar="NAME")]
Backdrop = Annotated[
    bool, typer.Option("--backdrop", help="Put the photo behind the hands in the .glb.", show_default=False)
]
Page = Annotated[
    bool,
    typer.Option(
        "--page", help="Also write a single index.html that shows the hands in up to 30 photos.", show_default=False
    ),
]
SamePerson = Annotated[
    bool,
    typer.Option(
        "--same-person",
        help="Treat all hands as one person's: same skin and texture, and the same size within a photo.",
        show_default=False,
    ),
]
NoForearm = Annotated[
    bool, typer.Option("--no-forearm", help="End meshes at the wrist, without a forearm stub.", show_default=False)
]
NoOverlay = Annotated[
    bool, typer.Option("--no-overlay", help="Do not write pictures (overlays and sheets).", show_default=False)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results.", show_default=False)]
# Clips only.
From = Annotated[float, typer.Option("--from", min=0.0, help="Clips: start S seconds into the clip.", metavar="S")]
To = Annotated[
    float | None,
    typer.Option("--to", min=0.0, help="Clips: stop S seconds into the clip; default: at its end.", metavar="S"),
]
Every = Annotated[int, typer.Option("--every", min=1, help="Clips: take every N-th frame.", metavar="N")]
Camera = Annotated[
    int | None,
    typer.Option("--webcam", min=0, help="Record a clip from camera N, until --to or Ctrl-C.", metavar="N"),
]
Fps = Annotated[
    float | None,
    typer.Option("--fps", min=0.1, max=1000, help="Treat the photos as one clip with this frame rate.", metavar="HZ"),
]
Codec = Annotated[str, typer.Option("--codec", help="Clips: codec of the overlay: auto, h264 or vp9.", metavar="NAME")]
# HaMeR's and WiLoR's option names, so that their command lines work here.
ImageFolder = Annotated[list[str] | None, typer.Option("--img_folder", hidden=True)]
OutFolder = Annotated[Path | None, typer.Option("--out_folder", hidden=True)]
BoxScale = Annotated[float | None, typer.Option("--rescale_factor", min=1.0, max=5.0, hidden=True)]
SaveMesh = Annotated[bool, typer.Option("--save_mesh", hidden=True)]
BatchSize = Annotated[int | None, typer.Option("--batch_size", hidden=True)]
FileType = Annotated[list[str] | None, typer.Option("--file_type", hidden=True)]
SideView = Annotated[bool, typer.Option("--side_view", hidden=True)]
FullFrame = Annotated[bool, typer.Option("--full_frame", hidden=True)]


def predict(
    context: typer.Context,
    images: Photos = None,
    out: Out = Path("predictions"),
    checkpoint: Checkpoint = None,
    detector: DetectorName = "auto",
    max_hands: MaxHands = None,
    min_score: MinScore = None,
    boxes: Boxes = None,
    box: Box = None,
    side: Side = SideName.auto,
    mirrored: Mirrored = False,
    hand: Hand = HandName.anny,
    joints: Joints = JointsName.freihand,
    start: Start = StartName.auto,
    refine: Refine = False,
    steps: Steps = None,
    hand_length: HandLength = None,
    focal: Focal = None,
    fov: Fov = None,
    intrinsics: Intrinsics = None,
    format: Formats = None,
    bones: Bones = "vrm",
    backdrop: Backdrop = False,
    page: Page = False,
    same_person: SamePerson = False,
    no_forearm: NoForearm = False,
    no_overlay: NoOverlay = False,
    overwrite: Overwrite = False,
    from_: From = 0.0,
    to: To = None,
    every: Every = 1,
    webcam: Camera = None,
    codec: Codec = "auto",
    fps: Fps = None,
    part: PartOf = None,
    device: Device = "auto",
    json: Json = False,
    img_folder: ImageFolder = None,
    out_folder: OutFolder = None,
    rescale_factor: BoxScale = None,
    save_mesh: SaveMesh = False,  # a mesh is always written
    batch_size: BatchSize = None,  # the hands of one photo are always one batch
    file_type: FileType = None,
    side_view: SideView = False,  # the sheet shows each hand from several views
    full_frame: FullFrame = False,  # the overlay covers the whole photo
) -> None:
    """Turn photos and clips into posed, textured 3D hands: mesh, texture, overlay, parameters.

    Per photo: a .glb with all hands, skeletons and textures, an overlay, and a sheet with each hand from several sides;
    per hand: .obj, and parameters as .json and .npz. hands.json lists all files. Per clip: an overlay .mp4; per tracked
    hand: an animated .glb and .bvh, and parameters as .npz and .jsonl. The same command resumes an interrupted run.
    Options that clips ignore: --detector, --min-score, --boxes, --box, --hand, --joints, --backdrop, --page. Exits with
    code 1 if no hand was found or only some of the inputs could be processed, and 3 if none could be processed.
    """
    _check_at_most_one({"--focal": focal, "--fov": fov, "--intrinsics": intrinsics})
    _check_at_most_one({"--box": box, "--boxes": boxes})
    whole_run = {"--same-person": same_person, "--page": page, "--webcam": webcam is not None, "--fps": fps is not None}
    for name in (name for name, given in whole_run.items() if given):
        _check_at_most_one({"--part": part, name: True})
    words = _words(images or [], img_folder or [], file_type or [])
    if not words and webcam is None:
        raise typer.BadParameter("name at least one photo, clip, folder or glob", param_hint="IMAGE...")

    with quick_imports():
        from hifihr_core.exports.formats import DEFAULT_FORMATS, check_formats
        from hifihr_core.machine.device import choose_device
        from hifihr_core.machine.parts import parse_part
        from hifihr_core.photos.camera_choice import CameraChoice, read_intrinsics
        from hifihr_core.photos.detectors import build_detector
        from hifihr_core.photos.finding import find_photos
        from hifihr_core.prediction.jobs import OutputSettings
        from hifihr_core.prediction.predictor import Predictor, PredictSettings
        from hifihr_core.prediction.refine import RefineSettings
        from hifihr_core.prediction.result_folder import photos_of_part, without_results

    settings = PredictSettings(
        start=start.value,
        refine=refine,
        refinement=RefineSettings() if steps is None else RefineSettings(steps=steps),
        box_scale=rescale_factor,
        side=None if side is SideName.auto else side.value,
        mirrored=mirrored,
        hand_length_m=None if hand_length is None else hand_length / 1000,
        same_person=same_person,
    )
    own = parse_part(part or "1/1")
    camera = CameraChoice(focal, fov, None if intrinsics is None else read_intrinsics(intrinsics))
    if webcam is not None or fps is not None or has_clips(words):
        note_ignored(context)
        if own.of > 1:
            words = [str(path) for path in photos_of_part([Path(word) for word in words], own)]
            if not words:
                _report_nothing(own, "clips", json)
                return
        wanted = ClipOptions(
            out_folder or out,
            format,
            not no_overlay,
            overwrite,
            bones,
            forearm=not no_forearm,
            codec=codec,
            start_s=from_,
            end_s=to,
            every=every,
            max_hands=max_hands or 2,
        )
        predict_clips(words, wanted, (checkpoint, settings, device), camera, webcam=webcam, fps=fps, json=json)
        return
    formats = DEFAULT_FORMATS if format is None else check_formats(name.strip() for name in format.split(","))
    found = find_photos(words)
    if line := found.left_out_line():
        say(line, kind="note")
    folder = out_folder or out
    paths = without_results(found.photos, folder)
    if not paths:
        raise typer.BadParameter(
            "the only photos found are outputs of an earlier run; give the original photos", param_hint="IMAGE..."
        )
    paths = photos_of_part(paths, own)
    if not paths:
        _report_nothing(own, "images", json)
        return
    given = _given_hands(paths, boxes, box)
    predictor = Predictor.load(
        checkpoint,
        detector=build_detector(detector, max_hands=max_hands, min_score=min_score),
        settings=settings,
        device=choose_device(device),
    )
    output = OutputSettings(
        folder,
        formats,
        pictures=not no_overlay,
        overwrite=overwrite,
        bones=bones,
        backdrop=backdrop,
        page=page,
        forearm=not no_forearm,
    )
    tag = own if own.of > 1 else None
    convert = _converter(hand, joints, predictor)
    _report(_work(predictor, paths, output, camera, given, convert, part=tag), json)


@dataclass(frozen=True)
class _Entry:
    """What remains in memory of a photo after its files are written; `kept` is True if an earlier run wrote them."""

    document: "dict[str, Any]"
    error: "HifihrError | None"
    kept: bool


def _work(
    predictor: "Predictor",
    paths: "Sequence[Path]",
    output: "OutputSettings",
    camera: "CameraChoice",
    boxes: "Mapping[str, Sequence[Detection]] | None",
    convert: "Callable[[HandResult], HandResult]",
    *,
    part: "Part | None" = None,
) -> "list[_Entry]":
    from hifihr_core.prediction.jobs import predict_files

    settings = predictor.settings
    per_photo, unit = (settings.refinement.steps, "steps") if settings.refine else (1, "photos")
    done: list[_Entry] = []
    with progress("predict", unit=unit) as bar:

        def on_step(step: int) -> None:
            bar(len(done) * per_photo + step, len(paths) * per_photo)

        on_step(0)
        for one in predict_files(
            predictor,
            paths,
            output,
            camera=camera,
            boxes=boxes,
            convert=convert,
            same_person=settings.same_person,
            part=part,
            on_step=on_step,
        ):
            # The meshes of a whole folder would fill the memory.
            done.append(_Entry(dict(one.document), one.error, one.kept))
            on_step(0)
    return done


def _converter(hand: HandName, joints: JointsName, predictor: "Predictor") -> "Callable[[HandResult], HandResult]":
    """Return the function that converts a predicted hand to the chosen model and joints."""
    own = hand.value == predictor.hand.name
    if own and joints is not JointsName.ho3d:
        return lambda result: result
    from hifihr_core.conversion.converters import build_converter
    from hifihr_core.conversion.joint_choice import convert_joints, joint_definition
    from hifihr_core.hands import load_hand

    definition = joint_definition(joints.value)
    if own:
        convert = convert_joints(predictor.hand.name, definition)
    else:
        convert = build_converter(hand.value, load_hand(predictor.hand.name), joints=definition)

    def converted(result: "HandResult") -> "HandResult":
        return convert(result)

    converted.__qualname__ = f"{hand.value}, joints {definition}"  # part of the check whether a photo is done
    return converted


def _words(images: list[str], folders: list[str], file_types: list[str]) -> list[str]:
    """Return the arguments that name photos; HaMeR's `--file_type *.jpg *.png` gives patterns inside `--img_folder`."""
    if not (folders and file_types):
        return [*images, *folders]
    patterns = [*file_types, *(word for word in images if word.startswith("*"))]
    found = [str(Path(folder) / pattern) for folder in folders for pattern in patterns]
    return [word for word in images if not word.startswith("*")] + [word for word in found if any(glob(word))]


def _check_at_most_one(options: "Mapping[str, object]") -> None:
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} cannot be combined; give one")


def _given_hands(
    paths: "Sequence[Path]", file: Path | None, box: str | None
) -> "Mapping[str, Sequence[Detection]] | None":
    """Return the hands given by the user, keyed by photo path; None if none were given."""
    from hifihr_core.photos.detections import Detection, box_from_xywh
    from hifihr_core.photos.hand_files import read_hand_file
    from hifihr_core.photos.photo_names import match_photos

    photos = [str(path) for path in paths]
    if file is not None:
        matched = match_photos(read_hand_file(file), photos, str(file))
        if matched.unmatched:
            names = ", ".join(repr(name) for name in matched.unmatched[:3])
            more = ", ..." if len(matched.unmatched) > 3 else ""
            say(f"{file}: entries that match no photo: {len(matched.unmatched)} ({names}{more})", kind="warning")
        return matched.hands
    if box is None:
        return None
    try:
        x, y, width, height = (float(value) for value in box.split(","))
        hand = Detection(box_from_xywh((x, y, width, height)))
    except ValueError as error:
        raise typer.BadParameter(
            f"found {box!r}, expected x,y,width,height in pixels with a positive width and height", param_hint="--box"
        ) from error
    return {photo: [hand] for photo in photos}


def _report_nothing(part: "Part", kind: str, json: bool) -> None:
    """Report that a part has nothing to do. This is not a failure: there are more parts than photos or clips."""
    if json:
        emit_json({kind: []})
    say(f"part {part.number}/{part.of} has nothing to do: there are fewer {kind} than parts", kind="note")


def _report(done: "list[_Entry]", json: bool) -> None:
    from hifihr_core.errors import DataError, FindingsError

    if json:
        emit_json({"images": [one.document for one in done]})
    unread = [one.error for one in done if one.error is not None]
    if len(unread) == len(done) == 1:
        raise unread[0]
    for error in unread:
        say(str(error), kind="warning")
    if kept := sum(one.kept for one in done):
        say(f"photos done by an earlier run: {kept} of {len(done)}; --overwrite predicts them again", kind="note")
    rows = [row for one in done for row in _table_rows(one)]
    if not json and rows:
        emit_table(("photo", "hand", "side", "score", "files"), rows)
    if len(unread) == len(done):
        raise DataError(f"none of the {len(done)} photos could be processed; the warnings above say why")
    if not rows:
        count = len(done) - len(unread)
        raise FindingsError(
            f"no hand was found in {count} photo{'s'[: count > 1]}; try --detector thorough, or give --box"
        )
    for one in done:
        if one.error is None and not one.document["hands"]:
            say(f"{one.document['path']}: no hand was found", kind="warning")
    if unread:
        raise FindingsError(f"{len(unread)} of {len(done)} photos could not be processed; the rest are done")


def _score(hand: "dict[str, Any]") -> str:
    return f"{hand['score']:.2f}{' doubtful' * hand.get('doubtful', False)}"


def _table_rows(one: "_Entry") -> list[tuple[object, ...]]:
    name = Path(one.document["path"]).name
    return [
        (name, number, hand["side"], _score(hand), " ".join([*one.document["files"], *hand["files"]][:1]))
        for number, hand in enumerate(one.document["hands"])
    ]
