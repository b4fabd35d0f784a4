"""MediaPipe's hand detector, in both of its interfaces; nothing here imports it before it is asked for."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hifihr_core.assets.store import asset_path, is_installed
from hifihr_core.errors import DeviceError
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.tiling import Look, Sighting, look_closer

INSTALL_LINE = "pip install 'hifihr[detect]'"


def why_no_mediapipe() -> str | None:
    """Return why MediaPipe cannot run here, with the remedy; None where it can."""
    spec = find_spec("mediapipe")
    if spec is None:
        return f"the package is not installed; {INSTALL_LINE}"
    folders = [Path(folder) / "python" / "solutions" for folder in spec.submodule_search_locations or ()]
    if not any(folder.is_dir() for folder in folders) and not is_installed("hand-landmarker"):
        return "its model file is not installed; hifihr assets fetch hand-landmarker"
    return None


class MediapipeHands:
    """MediaPipe's hand detector: boxes, sides, scores and 21 keypoints in our joint order.

    Works with the legacy `solutions` interface (models inside the wheel, up to 0.10.21) and with the tasks interface of
    later releases, which needs the asset `hand-landmarker`. Raises: DeviceError where neither is there.
    """

    def __init__(self, *, max_hands: int = 8, min_score: float = 0.5) -> None:
        reason = why_no_mediapipe()
        if reason is not None:
            raise DeviceError(f"detector mediapipe: {reason}")
        import mediapipe

        self._max_hands = max_hands
        if hasattr(mediapipe, "solutions"):
            self._look = _legacy_solution(max_hands, min_score)
        else:
            self._look = _landmarker_task(asset_path("hand-landmarker"), max_hands, min_score)

    def __call__(self, image: np.ndarray) -> list[Detection]:
        """Return the hands of an upright RGB photo (H, W, 3), best first."""
        return look_closer(image, self._look, self._max_hands)


def _legacy_solution(max_hands: int, min_score: float) -> Look:
    from mediapipe import solutions

    hands = solutions.hands.Hands(
        static_image_mode=True, max_num_hands=max_hands, min_detection_confidence=min_score, model_complexity=1
    )

    def look(tile: np.ndarray) -> list[Sighting]:
        result = hands.process(tile)
        found = zip(result.multi_hand_landmarks or (), result.multi_handedness or (), strict=True)
        # The legacy interface names sides as if the picture were a mirror's.
        sides = {"Left": "right", "Right": "left"}
        return [
            (_landmarks(marks.landmark, tile), sides[side.classification[0].label], side.classification[0].score)
            for marks, side in found
        ]

    return look


def _landmarker_task(model: Path, max_hands: int, min_score: float) -> Look:
    import mediapipe
    from mediapipe.tasks import python as tasks

    options = tasks.vision.HandLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(model)),
        num_hands=max_hands,
        min_hand_detection_confidence=min_score,
    )
    landmarker = tasks.vision.HandLandmarker.create_from_options(options)

    def look(tile: np.ndarray) -> list[Sighting]:
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(tile))
        result = landmarker.detect(picture)
        sides = {"Left": "right", "Right": "left"}  # the same mirror convention as the legacy interface
        return [
            (_landmarks(marks, tile), sides[side[0].category_name], side[0].score)
            for marks, side in zip(result.hand_landmarks, result.handedness, strict=True)
        ]

    return look


def _landmarks(marks: Sequence, tile: np.ndarray) -> Float[np.ndarray, "21 2"]:
    height, width = tile.shape[:2]
    return np.array([(mark.x * width, mark.y * height) for mark in marks])
