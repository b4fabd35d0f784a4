"""The one-euro filter: smooth at rest, quick in motion (Casiez, Roussel and Vogel, CHI 2012)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class EuroSettings:
    """Cut-off frequencies of a filter.

    The cut-off is `rest_hz` at rest and rises by `rise` hertz per unit of speed (units of the value per second). The
    speed itself is filtered with the cut-off `speed_hz`.
    """

    rest_hz: float = 1.5
    rise: float = 0.5
    speed_hz: float = 1.0


class OneEuro:
    """A filter for a vector, applied sample by sample."""

    def __init__(self, settings: EuroSettings) -> None:
        self._settings = settings
        self._value: np.ndarray | None = None
        self._speed = np.zeros(0)
        self._time_s = 0.0

    def __call__(self, value: Float[np.ndarray, " N"], time_s: float) -> Float[np.ndarray, " N"]:
        """Return the filtered value at `time_s`, which must increase."""
        if self._value is None:
            self._value, self._speed, self._time_s = value.copy(), np.zeros_like(value), time_s
            return value
        elapsed_s = max(time_s - self._time_s, 1e-4)
        speed = (value - self._value) / elapsed_s
        self._speed = self._speed + _share(self._settings.speed_hz, elapsed_s) * (speed - self._speed)
        share = _share(self._settings.rest_hz + self._settings.rise * np.abs(self._speed), elapsed_s)
        self._value, self._time_s = self._value + share * (value - self._value), time_s
        return self._value


class OneEuroTurn:
    """A filter for a rotation vector, along the shortest arc from the last filtered rotation."""

    def __init__(self, settings: EuroSettings) -> None:
        self._settings = settings
        self._turn: Rotation | None = None
        self._speed = 0.0
        self._time_s = 0.0

    def __call__(self, turn: Float[np.ndarray, "3"], time_s: float) -> Float[np.ndarray, "3"]:
        """Return the filtered rotation vector at `time_s`, which must increase."""
        new = Rotation.from_rotvec(turn)
        if self._turn is None:
            self._turn, self._time_s = new, time_s
            return turn
        elapsed_s = max(time_s - self._time_s, 1e-4)
        step = (new * self._turn.inv()).as_rotvec()
        speed = float(np.linalg.norm(step)) / elapsed_s
        self._speed += float(_share(self._settings.speed_hz, elapsed_s)) * (speed - self._speed)
        share = float(_share(self._settings.rest_hz + self._settings.rise * self._speed, elapsed_s))
        self._turn, self._time_s = Rotation.from_rotvec(step * share) * self._turn, time_s
        return self._turn.as_rotvec()


def _share(cutoff_hz: "float | np.ndarray", elapsed_s: float) -> "float | np.ndarray":
    """Return the weight of a new value in a first-order low-pass filter."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff_hz * elapsed_s))
