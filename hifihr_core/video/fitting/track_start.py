"""The start of a track's fit: each sighting is lifted separately, gaps are interpolated, and the shape is shared."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation, Slerp

from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.lifting.fitting import fit_keypoints
from hifihr_core.lifting.lifter import Lifter
from hifihr_core.placed_hands import PlacedHands
from hifihr_core.video.fitting.hand_sequence import HandSequence, SeenSequence

_BATCH = 128


def lift_track(
    hand: HandModel, lifter: Lifter, seen: SeenSequence, *, steps: int = 0
) -> tuple[HandSequence, np.ndarray]:
    """Lift each sighting separately; return the sequence over all frames and the shape of each sighting.

    Each lift is followed by `steps` steps of the fit to keypoints, as for a photo. `sequence_of` joins them.
    """
    frames = np.flatnonzero(seen.seen())
    parts = [_lift(hand, lifter, seen.part(frames[i : i + _BATCH]), steps) for i in range(0, len(frames), _BATCH)]
    return sequence_of(hand, parts, seen.times_s, frames)


def sequence_of(
    hand: HandModel,
    parts: Sequence[PlacedHands],
    times_s: Float[np.ndarray, " T"],
    frames: Int[np.ndarray, " M"],
) -> tuple[HandSequence, Float[np.ndarray, "M S"]]:
    """Join the hands lifted from some `frames` into a sequence over all times; return it and the shape of each hand.

    `parts` are consecutive batches of the hands. The sequence has their median shape, with distances adjusted so that
    each hand keeps its size in the picture. All other frames are interpolated.
    """
    turn, pose, shapes, root_cam = (np.concatenate(column) for column in zip(*map(_arrays, parts), strict=True))
    shape = np.median(shapes, axis=0)
    root_cam = root_cam * _size_ratio(hand, shape, shapes, pose)[:, None]
    return _between(times_s, frames, HandSequence(shape, turn, root_cam, pose)), shapes


def reshaped(hand: HandModel, sequence: HandSequence, shape: np.ndarray) -> HandSequence:
    """Return the sequence with another shape, moved along the viewing rays so that its apparent size stays the same."""
    shapes = np.broadcast_to(sequence.shape, (len(sequence), len(shape)))
    ratio = _size_ratio(hand, shape, shapes, sequence.pose)
    return HandSequence(shape, sequence.turn, sequence.root_cam * ratio[:, None], sequence.pose)


def _lift(hand: HandModel, lifter: Lifter, seen: SeenSequence, steps: int) -> PlacedHands:
    points = torch.from_numpy(seen.joints_px).float()
    confidence = torch.from_numpy(np.clip(seen.weight, 0, 1)).float()
    K = torch.from_numpy(seen.K).float().expand(len(points), 3, 3)
    with torch.no_grad():
        lifted = lifter(points, confidence, K)
        return fit_keypoints(hand, lifted, points, confidence, K, steps=steps) if steps else lifted


def _size_ratio(hand: HandModel, shape: np.ndarray, shapes: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Return, for each pose, the size of the hand with `shape` divided by its size with its own row of `shapes`."""

    def size(of: np.ndarray) -> torch.Tensor:
        zeros = torch.zeros(len(pose), 3)
        joints = hand.joints_of(HandParameters(zeros, torch.from_numpy(pose).float(), torch.from_numpy(of).float()))
        return (joints - joints.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2)).sqrt()

    with torch.no_grad():
        ratio = size(np.array(np.broadcast_to(shape, shapes.shape))) / size(np.array(shapes))
    return ratio.double().numpy()


def _between(times_s: np.ndarray, frames: np.ndarray, known: HandSequence) -> HandSequence:
    """Interpolate the hand at all times: rotations along the shortest arc, the rest linearly, constant at the ends."""
    at = np.clip(times_s, times_s[frames[0]], times_s[frames[-1]])
    if len(frames) == 1:
        rows = np.zeros(len(times_s), dtype=int)
        return known.part(rows)

    def straight(values: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(at, times_s[frames], column) for column in values.T], axis=1)

    turn = Slerp(times_s[frames], Rotation.from_rotvec(known.turn))(at).as_rotvec()
    return HandSequence(known.shape, turn, straight(known.root_cam), straight(known.pose))


def _arrays(hands: PlacedHands) -> tuple[np.ndarray, ...]:
    own = hands.parameters
    return tuple(values.double().cpu().numpy() for values in (own.global_orient, own.pose, own.shape, hands.root_cam))
