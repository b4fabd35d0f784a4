"""Tiny clips for tests, written with PyAV: the fixtures are functions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from hifihr_core.eyes.seen_hand import SeenHand
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.lifting.lifter import Lifter, load_lifter
from hifihr_core.lifting.seen_definition import as_seen
from hifihr_core.models.shipped import LIFTER, shipped_model
from hifihr_core.video.fitting.hand_sequence import HandSequence


def _gradient_frames(count: int, *, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Return pictures with a bright square that moves to the right on a dark ground."""
    frames = []
    for number in range(count):
        image = np.full((height, width, 3), 30, dtype=np.uint8)
        left = 4 + (number * 2) % (width - 20)
        image[8:20, left : left + 12] = (220, 60, 60)
        frames.append(image)
    return frames


def _write_clip(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    fps: int = 30,
    times_ms: Sequence[int] | None = None,
    rotation: int = 0,
    audio: bool = False,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip; `times_ms` are the times of its pictures if they are uneven."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000) if times_ms is not None else Fraction(1, fps)
        sound = container.add_stream("aac", rate=8000) if audio else None
        for number, image in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts = times_ms[number] if times_ms is not None else number
            picture.time_base = stream.codec_context.time_base
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if sound is not None:
            _write_tone(container, sound, len(frames) / fps)
    if rotation:
        _write_rotation(path, rotation)
    return path


def _write_rotation(path: Path, degrees: int) -> None:
    """Set the matrix of an mp4's track: the pictures are shown rotated counter-clockwise by this many degrees."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # the matrix follows version, times, id, duration, layer and volume
    cos, sin = (round(np.cos(np.deg2rad(degrees))), round(np.sin(np.deg2rad(degrees))))
    matrix = (cos, -sin, 0, sin, cos, 0, 0, 0)
    content[place : place + 32] = b"".join((value * 65536).to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(bytes(content))


def _write_tone(container, sound, seconds: float) -> None:
    samples = np.sin(np.arange(int(8000 * seconds)) * 0.3)[None].astype(np.float32)
    tone = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    tone.sample_rate, tone.pts = 8000, 0
    container.mux(sound.encode(tone))
    container.mux(sound.encode())


@pytest.fixture
def gradient_frames() -> Callable[..., list[np.ndarray]]:
    """Return the function that makes pictures with a square that moves to the right."""
    return _gradient_frames


@pytest.fixture
def write_clip() -> Callable[..., Path]:
    """Return the function that writes pictures as a clip."""
    return _write_clip


#: Joints of an upright right hand in sizes of the hand, about the middle of its palm.
_OPEN_HAND = np.array(
    [(0.0, 0.35)]
    + [(0.2 + 0.08 * k, 0.2 - 0.1 * k) for k in range(4)]
    + [(0.12 - 0.09 * f, -0.1 - 0.17 * k) for f in range(4) for k in range(4)]
)


def _seen_hand(
    x: float, y: float = 240.0, *, size: float = 100.0, side: str = "right", score: float = 0.95
) -> SeenHand:
    """Return a sighting of an open hand whose palm is at (x, y)."""
    joints = _OPEN_HAND * np.array([1.0 if side == "right" else -1.0, 1.0])
    joints = (joints - joints[[0, 5, 9, 13, 17]].mean(axis=0)) * size + np.array([x, y])
    return SeenHand(
        joints_px=joints,
        depth_px=np.zeros(21),
        metres=np.zeros((21, 3)),
        sigma_px=np.full(21, 0.02 * size),
        confidence=np.full(21, 0.9),
        score=score,
        side=side,
        side_confidence=0.95,
    )


class ScriptedEyes:
    """Eyes that follow a script: ``script[n]`` lists the sightings in a picture that encodes the number n."""

    def __init__(self, script: Sequence[Sequence[SeenHand]]) -> None:
        self.script, self.searches = script, 0

    def find(self, image: np.ndarray, *, closely: bool = False) -> list[SeenHand]:
        self.searches += 1
        return list(self.script[_number(image)])

    def search_near(self, image: np.ndarray, expected_px: np.ndarray) -> list[SeenHand]:
        middle = expected_px.mean(0)
        return [
            one
            for one in self.script[_number(image)]
            if np.linalg.norm(one.joints_px.mean(0) - middle) < 2 * one.size_px
        ]

    def follow(self, image: np.ndarray, expected_px: np.ndarray) -> list[SeenHand]:
        seen = self.script[_number(image)]
        found = []
        for expected in expected_px:
            near = sorted(seen, key=lambda one: np.linalg.norm(one.joints_px.mean(0) - expected.mean(0)))
            if near and np.linalg.norm(near[0].joints_px.mean(0) - expected.mean(0)) < near[0].size_px:
                found.append(near[0])
            else:
                found.append(_seen_hand(*expected.mean(0), score=1e-6))
        return found


def numbered_picture(number: int) -> np.ndarray:
    """Return a picture that encodes its number for `ScriptedEyes`, even after compression."""
    image = np.zeros((480, 640, 3), dtype=np.uint8)
    image[:240], image[240:] = number // 16 * 16, number % 16 * 16
    return image


def _number(image: np.ndarray) -> int:
    high, low = (round(float(part.mean()) / 16) for part in (image[40:200, 80:560], image[280:440, 80:560]))
    return high * 16 + low


@dataclass(frozen=True)
class TrueHand:
    """A hand with a known motion: `sequence` is a right hand; `seen` are its sightings in the clip."""

    side: str
    sequence: HandSequence
    joints_cam: np.ndarray
    seen: list[SeenHand]


CLIP_K = np.array([[700.0, 0, 320], [0, 700, 240], [0, 0, 1]])


def _true_hand(hand: HandModel, side: str, count: int, *, seed: int = 3, x_m: float = 0.0) -> TrueHand:
    """Return a hand that rotates and bends between two sampled poses, and the eyes' joints with a pixel of noise."""
    drawn = hand.sample_parameters(2, generator=torch.Generator().manual_seed(seed))
    at = (1 - np.cos(np.linspace(0, np.pi, count))) / 2
    pose = drawn.pose[0].double().numpy() + at[:, None] * (drawn.pose[1] - drawn.pose[0]).double().numpy()
    turn = np.stack((0.3 * at, 0.4 * at - 0.2, 0.2 * at), axis=1)
    root = np.stack((x_m + 0.05 * at, 0.02 * at, 0.5 + 0.03 * at), axis=1)
    sequence = HandSequence(drawn.shape[0].double().numpy(), turn, root, pose)
    placed, axis = sequence.placed(), np.array([-1.0 if side == "left" else 1.0, 1.0, 1.0])
    with torch.no_grad():
        joints = (hand.joints_of(placed.parameters) + placed.root_cam[:, None]).double().numpy() * axis
    rays = as_seen(torch.from_numpy(joints), hand.joint_definition).numpy() @ CLIP_K.T
    pixels = rays[..., :2] / rays[..., 2:] + np.random.default_rng(seed).normal(scale=1.0, size=(count, 21, 2))
    seen = [
        SeenHand(one, np.zeros(21), np.zeros((21, 3)), np.full(21, 1.5), np.full(21, 0.9), 0.95, side, 0.95)
        for one in pixels
    ]
    return TrueHand(side, sequence, joints, seen)


@pytest.fixture(scope="session")
def anny() -> HandModel:
    """Return the free hand."""
    return load_hand("anny").eval()


@pytest.fixture(scope="session")
def lifter(anny: HandModel) -> Lifter:
    """Return the shipped lifter."""
    path = shipped_model(LIFTER)
    assert path is not None
    return load_lifter(path, anny)


@pytest.fixture(scope="session")
def true_hand(anny: HandModel) -> Callable[..., TrueHand]:
    """Return the function that makes a moving hand."""
    return lambda *arguments, **options: _true_hand(anny, *arguments, **options)


@pytest.fixture
def clip_K() -> np.ndarray:
    """Return the camera of the moving hands."""
    return CLIP_K


@pytest.fixture
def seen_hand() -> Callable[..., SeenHand]:
    """Return the function that makes a sighting."""
    return _seen_hand


@pytest.fixture
def scripted_eyes() -> type[ScriptedEyes]:
    """Return the class of eyes that follow a script."""
    return ScriptedEyes


@pytest.fixture
def numbered() -> Callable[[int], np.ndarray]:
    """Return the function that makes a picture with a number."""
    return numbered_picture
