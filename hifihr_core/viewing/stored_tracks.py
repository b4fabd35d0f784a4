"""The tracks of the clips in a results folder: numbers are read from .npz files, meshes are computed on demand."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float, Int

from hifihr_core.errors import DataError
from hifihr_core.exports.run_index import INDEX_FILE, input_file, read_index
from hifihr_core.geometry.sides import mirror_axis
from hifihr_core.hands import HandModel, HandParameters, load_hand
from hifihr_core.hands.table import HAND_NAMES
from hifihr_core.outside.array_archives import read_arrays
from hifihr_core.records import Side

_NAMES = ("K", "global_orient", "pose", "shape", "root_cam")


@dataclass(frozen=True)
class StoredTrack:
    """One hand over a clip, as stored in its .npz.

    `seen` is 0 in frames in which the hand was not seen; `arrays` has the entries in `_NAMES`.
    """

    id: int
    side: Side
    hand: HandModel
    times_s: Float[np.ndarray, " T"]
    seen: Int[np.ndarray, " T"]
    arrays: Mapping[str, np.ndarray]

    @property
    def K(self) -> Float[np.ndarray, "3 3"]:
        """The camera of the clip."""
        return np.asarray(self.arrays["K"])

    def row(self, time_s: float) -> int | None:
        """Return the row of the frame visible at a time; None before the first and after the last."""
        step = float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else 0.1
        if not self.times_s[0] - 1e-6 <= time_s <= self.times_s[-1] + step:
            return None
        return int(np.clip(np.searchsorted(self.times_s, time_s + 1e-6) - 1, 0, len(self.times_s) - 1))

    def vertices_cam(self, row: int) -> Float[np.ndarray, "V 3"]:
        """Return the vertices of a frame in the camera frame of the clip, metres."""
        turn, pose, root = (
            torch.from_numpy(self.arrays[name][row][None]).float() for name in ("global_orient", "pose", "root_cam")
        )
        shape = torch.from_numpy(self.arrays["shape"][None]).float()
        with torch.no_grad():
            vertices = self.hand(HandParameters(turn, pose, shape)).vertices[0] + root
        return vertices.double().numpy() * mirror_axis(self.side)

    def faces(self) -> Int[np.ndarray, "F 3"]:
        """Return the faces, counter-clockwise from outside."""
        faces = self.hand.faces.long().numpy()
        return faces[:, ::-1].copy() if self.side == "left" else faces


class StoredClips:
    """The clips with hands in a results folder. Raises: DataError if there are none, or no `hands.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries = [entry for entry in read_index(folder) if entry.get("tracks")]
        if not self._entries:
            raise DataError(
                f"{folder}: no clip with hands, expected results of `hifihr predict clip.mp4`; check the path"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Return a name per clip."""
        return tuple(Path(entry["path"]).name for entry in self._entries)

    def path(self, number: int) -> Path | None:
        """Return the file of a clip, or None if it no longer exists."""
        return input_file(self.folder, self._entries[number])

    def tracks(self, number: int) -> list[StoredTrack]:
        """Return the tracks of a clip. Raises: DataError if the .npz of one is missing or broken."""
        return [self._track(entry) for entry in self._entries[number]["tracks"]]

    def _track(self, entry: Mapping[str, Any]) -> StoredTrack:
        files = [self.folder / Path(name).name for name in entry["files"] if str(name).endswith(".npz")]
        if not files or not os.path.isfile(files[0]):
            raise DataError(
                f"{self.folder}: the .npz of a track is missing; run `hifihr predict --format npz,glb` again"
            )
        arrays = read_arrays(
            files[0],
            what="the numbers of a track",
            remedy="predict the clip again",
            needed=(*_NAMES, "times_s", "seen", "hand"),
            error=DataError,
        )
        name = str(arrays["hand"])
        if name not in HAND_NAMES:
            raise DataError(
                f"{files[0]}: hand is {name!r:.40}, expected one of {', '.join(HAND_NAMES)}; predict the clip again"
            )
        hand = _model(name)
        _check(files[0], arrays, hand)
        times_s, seen = arrays["times_s"], arrays["seen"].astype(int)
        values = {name: arrays[name] for name in _NAMES}
        return StoredTrack(self._number(entry), self._side(entry), hand, times_s, seen, values)

    def _number(self, entry: Mapping[str, Any]) -> int:
        number = entry.get("track")
        if not isinstance(number, int) or isinstance(number, bool):
            raise self._damaged(f"track is {number!r:.40}, expected a number")
        return number

    def _side(self, entry: Mapping[str, Any]) -> Side:
        for side in get_args(Side):
            if entry.get("side") == side:
                return side
        raise self._damaged(f"side of a track is {entry.get('side')!r:.40}, expected left or right")

    def _damaged(self, reason: str) -> DataError:
        return DataError(f"{self.folder / INDEX_FILE}: {reason}; predict the clip again")


def _check(path: Path, arrays: Mapping[str, np.ndarray], hand: HandModel) -> None:
    """Raise DataError if arrays are not finite or do not fit a track of this hand, or if times decrease."""
    frames = arrays["times_s"].shape[:1]
    expected = {"times_s": frames, "seen": frames, "K": (3, 3), "global_orient": (*frames, 3), "root_cam": (*frames, 3)}
    expected |= {"pose": (*frames, hand.pose_dim), "shape": (hand.shape_dim,)}
    for name, shape in expected.items():
        found = arrays[name]
        if found.shape != shape or found.dtype.kind not in "biuf":
            what = f"{found.dtype} of shape {found.shape}, expected numbers of shape {shape}"
        elif not found.size:
            what = f"no frames (shape {shape}), expected at least one"
        elif not np.isfinite(found).all():
            what = "NaN or infinity, expected finite numbers"
        else:
            continue
        raise DataError(f"{path}: {name}: found {what}; predict the clip again")
    if (np.diff(arrays["times_s"]) < 0).any():
        raise DataError(f"{path}: times_s decreases, expected increasing times; predict the clip again")


def has_tracks(folder: Path) -> bool:
    """Return whether a results folder lists a clip with hands. Raises: DataError if it has no index."""
    return any(entry.get("tracks") for entry in read_index(folder))


@lru_cache(maxsize=2)
def _model(name: str) -> HandModel:
    return load_hand(name).eval()
