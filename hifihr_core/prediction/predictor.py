"""`Predictor`: the door of this package. A photo in, posed and textured hands out."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from hifihr_core.device import one_thread
from hifihr_core.exports.results import PhotoResult
from hifihr_core.geometry.lenses import default_focal_px, ideal_K
from hifihr_core.hands import HandModel
from hifihr_core.lifting.lifter import Lifter
from hifihr_core.models.contract import ImageNetwork
from hifihr_core.photos.detectors import Detection, Detector, mirrored, whole_image
from hifihr_core.photos.reading import Photo
from hifihr_core.prediction.assemble import assemble
from hifihr_core.prediction.crops import Crops, cut_crops
from hifihr_core.prediction.load_models import LoadedModels, load_models
from hifihr_core.prediction.match_light import match_light
from hifihr_core.prediction.refine import Refined, RefineSettings, refine
from hifihr_core.prediction.starts import Start, centred, start_hands
from hifihr_core.records import Side
from hifihr_core.rendering import Renderer


@dataclass(frozen=True)
class PredictSettings:
    """How photos are turned into hands.

    `crop_px` is the side of the crops that are refined and rendered (the network sees its own size). `texture_px` is
    the size of the completed texture; completion needs `refine`, since a map is only as good as the fit it is laid on.
    `box_scale` is the side of a crop in lengths of its box, where not the usual ones. `side` overrules the detector,
    and tells where there is none; with None a hand of unknown side is taken for a right one.
    """

    start: Start = "auto"
    refine: bool = False
    refinement: RefineSettings = field(default_factory=RefineSettings)
    crop_px: int = 224
    texture_px: int = 1024
    box_scale: float | None = None
    side: Side | None = None
    mirrored: bool = False


class Predictor:
    """Finds hands in photos and reconstructs each.

    Build it once with `Predictor.load` and call `predict` for every photo.
    """

    def __init__(
        self,
        hand: HandModel,
        *,
        network: ImageNetwork | None,
        lifter: Lifter | None,
        detector: Detector = whole_image,
        settings: PredictSettings = PredictSettings(),
        network_px: int = 224,
        licences: Mapping[str, str] | None = None,
    ) -> None:
        self.hand, self.network, self.lifter = hand, network, lifter
        self.detector, self.settings, self.network_px = detector, settings, network_px
        self.licences = dict(licences or {"hand": hand.licence})
        self.device = hand.faces.device
        self.renderer = Renderer(hand.faces, height=settings.crop_px, width=settings.crop_px)

    @classmethod
    def load(
        cls,
        checkpoint: Path | None = None,
        *,
        detector: Detector = whole_image,
        settings: PredictSettings = PredictSettings(),
        device: str | torch.device = "cpu",
    ) -> "Predictor":
        """Return a predictor with the shipped models, or with the checkpoint of a training run.

        Raises AssetError for a checkpoint that is missing or broken.
        """
        models: LoadedModels = load_models(checkpoint, device=torch.device(device))
        return cls(
            models.hand,
            network=models.network,
            lifter=models.lifter,
            detector=detector,
            settings=settings,
            network_px=models.network_px,
            licences=models.licences,
        )

    def predict(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        *,
        K: Float[np.ndarray, "3 3"] | None = None,
        detections: Sequence[Detection] | None = None,
        on_step: Callable[[int], None] = lambda step: None,
    ) -> PhotoResult:
        """Reconstruct every hand of an upright RGB photo.

        `K` is the photo's camera; without it a field of view is assumed, and the results say that their metric scale is
        not known. `detections` replace the detector. No hands give an empty result. `on_step` hears of every step of a
        refinement.
        """
        height, width = image.shape[:2]
        photo = Photo(None, image, focal_px=None)
        camera = K if K is not None else ideal_K(default_focal_px(width, height), width, height)
        with one_thread():
            return self._run(photo, camera, K is not None, detections, on_step)

    def predict_photo(
        self,
        photo: Photo,
        *,
        K: Float[np.ndarray, "3 3"] | None = None,
        detections: Sequence[Detection] | None = None,
        on_step: Callable[[int], None] = lambda step: None,
    ) -> PhotoResult:
        """Likewise for a photo from `read_photo`: its EXIF focal length is used where `K` is not given.

        `K`, `detections` and the result are in pixels of the photo at its full size.
        """
        height, width = photo.image.shape[:2]
        shrink = np.diag([1 / photo.reduction, 1 / photo.reduction, 1.0])
        if K is not None:
            camera = shrink @ K
        else:
            camera = ideal_K(photo.focal_px or default_focal_px(width, height), width, height)
        with one_thread():
            return self._run(photo, camera, K is not None or photo.focal_px is not None, detections, on_step)

    def _run(
        self,
        photo: Photo,
        K: np.ndarray,
        metric: bool,
        detections: Sequence[Detection] | None,
        on_step: Callable[[int], None],
    ) -> PhotoResult:
        clock = _Clock()
        if detections is None:
            detections = self.detector(photo.image)
            detections = mirrored(detections) if self.settings.mirrored else detections
            detections = [replace(one, side=self.settings.side or one.side) for one in detections]
        else:
            detections = [one.resized(1 / photo.reduction) for one in detections]
            detections = [replace(one, side=one.side or self.settings.side) for one in detections]
        clock.lap("detect")
        if not detections:
            return PhotoResult(photo.path, (), clock.seconds)
        settings = self.settings
        crops = self._cut(photo, detections, K)
        with torch.no_grad():
            started = start_hands(
                self.hand,
                crops,
                network=self.network,
                lifter=self.lifter,
                start=settings.start,
                network_px=self.network_px,
            )
            state = match_light(self.hand, self.renderer, started.state, crops)
        clock.lap("start")
        refined: Refined | None = None
        if settings.refine:
            refined = refine(self.hand, self.renderer, state, crops, settings.refinement, on_step=on_step)
            state = refined.state
            clock.lap("refine")
        with torch.no_grad():
            hands = assemble(
                self.hand,
                state,
                crops,
                photo,
                K,
                detections,
                metric=metric,
                origins=started.origins,
                confidence=started.confidence,
                refined=refined,
                texture_px=settings.texture_px,
                licences=self.licences,
            )
        clock.lap("assemble")
        return PhotoResult(photo.path, hands, clock.seconds)

    def _cut(self, photo: Photo, detections: Sequence[Detection], K: np.ndarray) -> Crops:
        """Cut the crops, those without keypoints about the joints that the image network finds in a first look."""

        def cut(boxes: Sequence[Detection]) -> Crops:
            settings = self.settings
            crops = cut_crops(photo.image, boxes, K, image_px=settings.crop_px, box_scale=settings.box_scale)
            return crops.to(self.device)

        crops = cut(detections)
        if self.network is None or self.settings.box_scale is not None or bool((crops.confidence > 0).any(dim=1).all()):
            return crops
        with torch.no_grad():
            return cut(centred(self.network, crops, detections, network_px=self.network_px))


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 4)
        self._last = now
