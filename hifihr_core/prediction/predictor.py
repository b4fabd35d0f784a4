"""`Predictor`, the entry point of this package: it reconstructs posed and textured hands from a photo."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from hifihr_core.errors import AssetError
from hifihr_core.exports.results import PhotoResult
from hifihr_core.hands import HandModel
from hifihr_core.hands.skin_bank import SkinBank, draw_skin_bank
from hifihr_core.lifting.hand_crops import Crops, cut_crops
from hifihr_core.lifting.lifter import Lifter
from hifihr_core.lifting.second_sight import SecondSight
from hifihr_core.lookup import needed
from hifihr_core.machine.device import one_thread
from hifihr_core.models.checkpoint import find_checkpoint
from hifihr_core.models.contract import ImageNetwork
from hifihr_core.outside.whole_files import sha256_of
from hifihr_core.photos.camera_choice import CameraChoice, choose_camera
from hifihr_core.photos.detections import Detection, mirrored, without_poor_keypoints
from hifihr_core.photos.detectors import Detector, build_detector, detect, whole_image
from hifihr_core.photos.reading import Photo, as_photo
from hifihr_core.photos.seen_hands import complete
from hifihr_core.placed_hands import LitHands
from hifihr_core.prediction.assemble import Reconstruction, assemble
from hifihr_core.prediction.hand_length import hand_lengths_m, with_length
from hifihr_core.prediction.load_models import LoadedModels, load_models
from hifihr_core.prediction.look.light_prior import load_light_prior
from hifihr_core.prediction.look.match_light import match_light
from hifihr_core.prediction.look.texture import View
from hifihr_core.prediction.one_person import share_skin, views_of_each
from hifihr_core.prediction.refine import Refined, RefineSettings, refine
from hifihr_core.prediction.starts import Start, centred, start_hands
from hifihr_core.records import Side
from hifihr_core.rendering import Renderer

#: Texture size during refinement: crops show hands smaller than full textures, whose gradients cost as much as
#: rendering.
REFINED_MAP_PX = 128
#: A box from the user is not replaced by a box that is smaller than this fraction of it; see `starts.centred`.
LEAST_OF_GIVEN_BOX = 0.55


@dataclass(frozen=True)
class PredictSettings:
    """Settings for turning photos into hands.

    `crop_px` is the side of the crops for refinement and rendering (the input of the network has its own size).
    `texture_px` is the side of the completed texture; textures are completed only with `refine`, since a texture is
    only as good as the fit on which it is based. `box_scale` is the side of a crop as a multiple of its box (None: the
    defaults). `side` overrides the detector, or supplies the side if there is no detector; with None, a hand of unknown
    side is taken to be a right one. `mirrored` is for photos that show people as in a mirror. `hand_length_m`, from the
    wrist to the tip of the middle finger of the flat hand, fixes the size of every hand; with `same_person`, the hands
    of a photo get the same length, the mean of the estimates.
    """

    start: Start = "auto"
    refine: bool = False
    refinement: RefineSettings = field(default_factory=RefineSettings)
    crop_px: int = 224
    texture_px: int = 1024
    box_scale: float | None = None
    side: Side | None = None
    mirrored: bool = False
    hand_length_m: float | None = None
    same_person: bool = False


class Predictor:
    """Finds the hands in photos and reconstructs them.

    Build it once with `Predictor.load` and call `predict` for every photo.
    """

    def __init__(
        self,
        hand: HandModel,
        *,
        network: ImageNetwork | None,
        lifter: Lifter | None,
        second_sight: SecondSight | None = None,
        detector: Detector = whole_image,
        look_in_boxes: bool = False,
        settings: PredictSettings = PredictSettings(),
        network_px: int = 224,
        licences: Mapping[str, str] | None = None,
        source: str = "given models",
    ) -> None:
        self.hand, self.network, self.lifter = hand, network, lifter
        self.second_sight = second_sight if settings.start != "image" else None
        self.detector, self.settings, self.network_px = detector, settings, network_px
        self.look_in_boxes = look_in_boxes and lifter is not None and settings.start != "image"
        self.licences = dict(licences or {"hand": hand.licence})
        self.source = source
        self.device = hand.faces.device
        self._coarse = hand.with_small_maps(REFINED_MAP_PX)
        self.renderer = Renderer(hand.faces, height=settings.crop_px, width=settings.crop_px)
        self._skins: SkinBank | None = None  # created with the first photo
        self._light_prior = load_light_prior().to(self.device)

    @classmethod
    def load(
        cls,
        checkpoint: str | Path | None = None,
        *,
        detector: Detector | str = "auto",
        look_in_boxes: bool = True,
        settings: PredictSettings = PredictSettings(),
        device: str | torch.device = "cpu",
    ) -> "Predictor":
        """Return a predictor with the shipped models, or with a checkpoint from a training run.

        `detector` is a name from `photos.detectors.DETECTORS` or a function. With `look_in_boxes`, the eyes find
        keypoints in the boxes that the user gives.
        Raises: AssetError for a checkpoint that is missing or broken, ConfigError for an unknown detector.
        """
        models: LoadedModels = load_models(
            None if checkpoint is None else Path(checkpoint), device=torch.device(device)
        )
        return cls(
            models.hand,
            network=models.network,
            lifter=models.lifter,
            detector=build_detector(detector) if isinstance(detector, str) else detector,
            look_in_boxes=look_in_boxes,
            second_sight=models.second_sight,
            settings=settings,
            network_px=models.network_px,
            licences=models.licences,
            source="shipped models" if checkpoint is None else _checkpoint_source(Path(checkpoint)),
        )

    def predict(
        self,
        image: Photo | str | Path | UInt8[np.ndarray, "H W 3"],
        *,
        K: Float[np.ndarray, "3 3"] | None = None,
        camera: CameraChoice | None = None,
        detections: Sequence[Detection] | None = None,
        on_step: Callable[[int], None] = lambda step: None,
    ) -> PhotoResult:
        """Reconstruct every hand in a photo, given as a path, an upright RGB array, or a `Photo`.

        `K` or `camera` describes the photo's camera. Without them, EXIF's focal length is used; without that, a field
        of view is assumed, and the results say that their metric scale is unknown. `detections` replace the detector.
        All pixels are those of the full-size photo. A photo without hands gives an empty result. `on_step` is called
        after every refinement step.
        Raises: ValueError for an array that is not a uint8 RGB photo; DataError for a file that cannot be read, or a
        camera or hand that does not fit this photo.
        """
        choice = CameraChoice(intrinsics=K) if camera is None else camera
        with one_thread():
            work = self._work(as_photo(image), choice, detections, on_step)
            return self._finish(work)

    def predict_person(
        self,
        images: Sequence[Photo | str | Path | UInt8[np.ndarray, "H W 3"]],
        *,
        camera: CameraChoice | None = None,
        detections: Sequence[Sequence[Detection] | None] | None = None,
        on_step: Callable[[int], None] = lambda step: None,
    ) -> tuple[PhotoResult, ...]:
        """Reconstruct the hands of one person in several photos: one skin for all, and with `refine` one texture.

        Each photo keeps its own poses, shapes and light. Arguments and errors are those of `predict`; `detections` are
        per photo.
        """
        given = [None] * len(images) if detections is None else detections
        with one_thread():
            works = [
                self._work(as_photo(image), camera or CameraChoice(), hands, on_step)
                for image, hands in zip(images, given, strict=True)
            ]
            return self._finish_person(works)

    def _finish(self, work: "_Work", views: Sequence[Sequence[View]] | None = None) -> PhotoResult:
        kept = work.photo if work.photo.path is None else None
        if work.done is None:
            return PhotoResult(work.photo.path, (), work.clock.seconds, work.notes, kept)
        with torch.no_grad():
            results = assemble(
                self.hand, work.done, texture_px=self.settings.texture_px, licences=self.licences, views=views
            )
        work.clock.lap("assemble")
        return PhotoResult(work.photo.path, results, work.clock.seconds, work.notes, kept)

    def _finish_person(self, works: Sequence["_Work"]) -> tuple[PhotoResult, ...]:
        found = [work.done for work in works if work.done is not None]
        if not found:
            return tuple(self._finish(work) for work in works)
        skins = needed(self._skins, "the bank of skins, which is created with the first hand")
        shared = share_skin(self.hand, found, skins, self._light_prior)
        with torch.no_grad():
            views = iter(views_of_each(self.hand, shared, texture_px=self.settings.texture_px))
        rest = iter(shared)
        return tuple(
            self._finish(work) if work.done is None else self._finish(replace(work, done=next(rest)), next(views))
            for work in works
        )

    def _work(
        self,
        photo: Photo,
        choice: CameraChoice,
        given: Sequence[Detection] | None,
        on_step: Callable[[int], None],
    ) -> "_Work":
        clock = _Clock()
        camera = choose_camera(photo, choice, given or ())
        detections = self._detect(photo) if given is None else self._believe(given)
        if self.look_in_boxes:
            detections = complete(photo, detections, mirror=self.settings.mirrored)
        clock.lap("detect")
        notes = (*photo.notes, *camera.notes)
        if not detections:
            return _Work(photo, notes, clock, None)
        settings = self.settings
        crops = self._cut(photo, detections, camera.K, least=0.0 if given is None else LEAST_OF_GIVEN_BOX)
        with torch.no_grad():
            second = self.second_sight
            started = start_hands(
                self.hand,
                crops,
                network=self.network,
                lifter=self.lifter,
                start=settings.start,
                network_px=self.network_px,
                second=second,
                sighted=None if second is None else second.look(photo, detections, crops),
            )
        hands = self._match(started.hands, crops)
        clock.lap("start")
        began = hands
        refined: Refined | None = None
        if settings.refine:
            refined = refine(
                self._coarse,
                self.renderer,
                hands,
                crops,
                settings.refinement,
                look=lambda fitted, mask: self._match(fitted, crops, mask=mask),
                on_step=on_step,
            )
            hands = self._match(refined.hands, crops, mask=refined.mask)
            clock.lap("refine")
        hands = self._sized(hands)
        start = self._sized(began) if refined is not None else None
        sized = settings.hand_length_m is not None
        done = Reconstruction(
            photo, camera, detections, crops, hands, started.origins, started.confidence, refined, start, sized
        )
        return _Work(photo, notes, clock, done)

    def _sized(self, hands: LitHands) -> LitHands:
        """Return the hands with the length from the settings, or with the same length if they are of one person."""
        length_m = self.settings.hand_length_m
        if length_m is None and not self.settings.same_person:
            return hands
        seen = hand_lengths_m(self.hand, hands.parameters)
        return with_length(
            self.hand, hands, torch.full_like(seen, float(seen.mean()) if length_m is None else length_m)
        )

    def _detect(self, photo: Photo) -> list[Detection]:
        """Return the hands that the detector finds, in pixels of the full-size photo."""
        found = detect(photo, self.detector)
        found = mirrored(found) if self.settings.mirrored else found
        return [replace(one, side=self.settings.side or one.side) for one in found]

    def _believe(self, given: Sequence[Detection]) -> list[Detection]:
        """Return the hands that the user gave; keypoints are dropped if too few or too close together to start from.

        They are not dropped if nothing else can be the start: without an image network, or with `start` "keypoints".
        """
        hands = [replace(one, side=one.side or self.settings.side) for one in given]
        if self.network is None or self.settings.start == "keypoints":
            return hands
        return [without_poor_keypoints(one) for one in hands]

    def _match(self, hands: LitHands, crops: Crops, mask: Bool[Tensor, "B H W"] | None = None) -> LitHands:
        """Return the hands with skin and light inferred from their crops."""
        if self._skins is None:
            self._skins = draw_skin_bank(self.hand)
        return match_light(self.hand, hands, crops, self._skins, self._light_prior, mask=mask)

    def _cut(self, photo: Photo, detections: Sequence[Detection], K: np.ndarray, *, least: float) -> Crops:
        """Return the crops of the hands; a box without keypoints is first moved to the joints that the network finds.

        `least` is that of `starts.centred`.
        """

        def cut(boxes: Sequence[Detection]) -> Crops:
            settings = self.settings
            crops = cut_crops(photo, boxes, K, image_px=settings.crop_px, box_scale=settings.box_scale)
            return crops.to(self.device)

        crops = cut(detections)
        if self.network is None or self.settings.box_scale is not None or bool((crops.confidence > 0).any(dim=1).all()):
            return crops
        with torch.no_grad():
            return cut(centred(self.network, crops, detections, network_px=self.network_px, least=least))


def _checkpoint_source(checkpoint: Path) -> str:
    """Return a text that identifies the weights of a checkpoint, even if its run folder later contains others."""
    path = find_checkpoint(checkpoint).resolve()
    return f"{path} with SHA-256 {sha256_of(path, error=AssetError)}"


@dataclass(frozen=True)
class _Work:
    """A photo whose hands are reconstructed, but not yet assembled to results; `done` is None if it shows no hand."""

    photo: Photo
    notes: tuple[str, ...]
    clock: "_Clock"
    done: Reconstruction | None


class _Clock:
    """Measures how many seconds each stage of a prediction takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 4)
        self._last = now
