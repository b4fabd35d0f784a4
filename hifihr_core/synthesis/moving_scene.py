"""Moving hands in front of a moving camera: smooth paths through plausible poses, which are defined at any time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from hifihr_core.geometry.sides import mirror_axis
from hifihr_core.hands.contract import HandModel, HandParameters
from hifihr_core.records import Side

#: Seconds between the key poses of a hand, and between its key positions.
_POSE_EVERY_S, _PLACE_EVERY_S = 0.7, 0.8
#: Standard deviations of the rotation between two poses and of the camera's shake, radians.
_TURN_RAD, _SHAKE_RAD = 0.35, 0.012


@dataclass(frozen=True)
class PlaceAt:
    """One hand at T times, as a right hand; if `side` is "left", mirror x to get the left hand of the clip."""

    side: Side
    parameters: HandParameters
    root_cam: Float[np.ndarray, "T 3"]


class MovingHand:
    """A hand that moves on smooth paths; `place` returns its root's positions at given times, camera frame, metres."""

    def __init__(
        self,
        hand: HandModel,
        side: Side,
        seconds: float,
        place: Callable[[np.ndarray], np.ndarray],
        random: np.random.Generator,
    ) -> None:
        generator = torch.Generator().manual_seed(int(random.integers(2**31)))
        times = np.arange(0, seconds + 2 * _POSE_EVERY_S, _POSE_EVERY_S)
        drawn = hand.sample_parameters(len(times), generator=generator)
        self.side, self._place = side, place
        self._shape, self._texture = drawn.shape[:1], None if drawn.texture is None else drawn.texture[:1]
        self._limits = hand.pose_prior().limits.double().numpy()
        self._pose = CubicSpline(times, drawn.pose.double().numpy())
        # Held up to the camera: seen from the front or the back, tilted in any direction.
        about = np.array([0.35, 0.5, 0.5]) * random.normal(size=3) + [0, np.pi * (random.random() < 0.4), 0]
        steps = Rotation.from_rotvec(_TURN_RAD * random.normal(size=(len(times), 3)))
        self._turn = RotationSpline(times, steps * Rotation.from_euler("xyz", about))

    def at(self, times_s: Float[np.ndarray, " T"]) -> PlaceAt:
        """Return the hand at the given times (seconds from the start of the clip)."""
        pose = np.clip(self._pose(times_s), self._limits[:, 0], self._limits[:, 1])
        count = len(times_s)
        root = self._place(times_s) * mirror_axis(self.side)
        parameters = HandParameters(
            torch.from_numpy(self._turn(times_s).as_rotvec()).float(),
            torch.from_numpy(pose).float(),
            self._shape.expand(count, -1),
            None if self._texture is None else self._texture.expand(count, -1),
        )
        return PlaceAt(self.side, parameters, root)


@dataclass(frozen=True)
class MovingScene:
    """The hands of a clip and the shake of its camera: `pan_px` returns the background's shift (T, 2) at T times."""

    kind: str
    hands: tuple[MovingHand, ...]
    K: Float[np.ndarray, "3 3"]
    pan_px: Callable[[np.ndarray], np.ndarray]


#: Position of the palm over time (0 to 1) in fractions of the picture's width, for each kind of clip and hand.
_PATHS: Mapping[str, tuple[tuple[Side | None, tuple[tuple[float, float], ...]], ...]] = MappingProxyType(
    {
        "alone": ((None, ()),),
        "leaving": ((None, ((0.0, 0.5), (0.3, 0.4), (0.45, -0.35), (0.65, -0.35), (0.8, 0.4), (1.0, 0.5))),),
        "crossing": (
            ("right", ((0.0, 0.25), (0.3, 0.35), (0.6, 0.75), (1.0, 0.7))),
            ("left", ((0.0, 0.75), (0.3, 0.65), (0.6, 0.25), (1.0, 0.3))),
        ),
    }
)
KINDS = tuple(_PATHS)


def draw_scene(
    hand: HandModel, kind: str, *, seconds: float, size_px: tuple[int, int], random: np.random.Generator
) -> MovingScene:
    """Return a random scene of one of the `KINDS`; `size_px` is (height, width) of its pictures.

    Raises: ValueError for an unknown kind.
    """
    if kind not in _PATHS:
        raise ValueError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}")
    height, width = size_px
    focal = 0.5 * float(np.hypot(height, width)) / np.tan(np.radians(random.uniform(50, 75)) / 2)
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    shake_times = np.arange(0, seconds + 2, 0.4)
    shake = CubicSpline(shake_times, _SHAKE_RAD * random.normal(size=(len(shake_times), 2)))
    near, far = random.uniform(0.38, 0.48), random.uniform(0.5, 0.65)
    depths = (near, far) if random.random() < 0.5 else (far, near)
    hands = []
    for (side, path), depth_m in zip(_PATHS[kind], depths, strict=False):
        chosen: Side = side or ("right" if random.random() < 0.5 else "left")
        place = _path(path, depth_m, seconds, size_px, focal, shake, random)
        hands.append(MovingHand(hand, chosen, seconds, place, random))
    return MovingScene(kind, tuple(hands), K, lambda times_s: shake(times_s) * focal)


def _path(
    path: tuple[tuple[float, float], ...],
    depth_m: float,
    seconds: float,
    size_px: tuple[int, int],
    focal: float,
    shake: CubicSpline,
    random: np.random.Generator,
) -> Callable[[np.ndarray], np.ndarray]:
    height, width = size_px
    times = np.arange(0, seconds + 2 * _PLACE_EVERY_S, _PLACE_EVERY_S)
    across = random.uniform(0.3, 0.7, len(times)) * width
    if path:
        known = np.array(path)
        across = np.interp(times / seconds, known[:, 0], known[:, 1]) * width + 0.02 * width * random.normal(
            size=len(times)
        )
    down = random.uniform(0.4, 0.65, len(times)) * height
    depth = depth_m * np.exp(0.06 * random.normal(size=len(times)))
    spline = CubicSpline(times, np.stack((across, down, depth), axis=1))

    def place(times_s: np.ndarray) -> np.ndarray:
        u, v, z = spline(times_s).T
        moved = shake(times_s)  # a slight camera rotation shifts everything in the picture equally
        x, y = (u - width / 2) / focal + moved[:, 0], (v - height / 2) / focal + moved[:, 1]
        return np.stack((x * z, y * z, z), axis=1)

    return place
