"""Render clips of moving hands, with motion blur, occluders and camera noise, and labels for every frame."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from hifihr_core.geometry.cameras import project
from hifihr_core.geometry.sides import mirror_axis
from hifihr_core.hands.contract import HandModel, HandParameters
from hifihr_core.randomness import stream_bits
from hifihr_core.records import Appearance, Light, Side
from hifihr_core.rendering import Rendered, Renderer
from hifihr_core.rendering.windows import Window, window_about
from hifihr_core.synthesis import labels as exact
from hifihr_core.synthesis.backdrops import draw_backdrops, make_bank
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.moving_scene import KINDS, MovingScene, PlaceAt, draw_scene
from hifihr_core.synthesis.options import SynthOptions
from hifihr_core.synthesis.scene import draw_light
from hifihr_core.synthesis.things.props import make_props, prop_faces, skin_at_wrist

#: The fraction of a frame for which the shutter is open, and the number of moments rendered in it.
_SHUTTER, _MOMENTS = 0.4, 2
#: Size of the background relative to the picture, so that the camera can shake.
_ROOM = 1.2
_NOISE = 0.012
_PROPS = SynthOptions(forearm=1.0, held_object=0.0)


@dataclass(frozen=True)
class ClipOptions:
    """Size (pixels), frame rate and number of frames of synthetic clips, and their variety.

    `bar` is the probability that a narrow object passes in front of the hands. Successive clips take the scenes in
    `kinds` in turn.
    """

    width: int = 640
    height: int = 480
    fps: float = 30.0
    frames: int = 150
    bar: float = 0.3
    seed: int = 0
    kinds: tuple[str, ...] = KINDS


@dataclass(frozen=True)
class HandLabel:
    """The ground truth of one hand in one frame.

    `parameters` are those of a right hand; for a left hand, they give its mirror image. All other fields describe the
    hand as pictured, in pixels or in the camera frame, metres.
    """

    id: int
    side: Side
    joints_px: Float[np.ndarray, "21 2"]
    joints_cam: Float[np.ndarray, "21 3"]
    visible: Bool[np.ndarray, "21"]
    parameters: dict[str, np.ndarray]


@dataclass(frozen=True)
class SynthFrame:
    """One frame of a synthetic clip with its ground truth."""

    number: int
    time_s: float
    image: UInt8[np.ndarray, "H W 3"]
    K: Float[np.ndarray, "3 3"]
    kind: str
    hands: tuple[HandLabel, ...]


class ClipSynthesizer:
    """Renders clips. Clip n of a seed is always the same; pixels may differ in their last bit on another machine."""

    def __init__(self, hand: HandModel, options: ClipOptions) -> None:
        self._hand, self.options = hand, options
        height, width = options.height, options.width
        self._bank = make_bank(image_px=max(height, width), count=24, seed=options.seed)
        self._renderer = lru_cache(maxsize=64)(self._make_renderer)

    def _make_renderer(self, of: str, side: Side, height: int, width: int) -> Renderer:
        faces = self._hand.faces if of == "hand" else prop_faces()
        return Renderer(faces if side == "right" else faces.flip(-1), height=height, width=width)

    @torch.no_grad()
    def frames(self, clip: int) -> Iterator[SynthFrame]:
        """Yield the frames of clip number `clip`; successive clips take the kinds of scenes in turn."""
        options = self.options
        seed = int(stream_bits(options.seed, clip, "clip")[0]) >> 1
        random, dice = np.random.default_rng(seed), Dice(1, seed, torch.device("cpu"))
        kind = options.kinds[clip % len(options.kinds)]
        size_px = (options.height, options.width)
        scene = draw_scene(self._hand, kind, seconds=options.frames / options.fps, size_px=size_px, random=random)
        light = draw_light(dice)
        room_px = (round(options.height * _ROOM), round(options.width * _ROOM))
        room = draw_backdrops(self._bank, room_px, dice)[0]
        bar = _Bar(options, room, random) if random.random() < options.bar else None
        gain = None
        for number in range(options.frames):
            moments = (number + _SHUTTER * (np.arange(_MOMENTS) / _MOMENTS)) / options.fps
            places = [hand.at(moments) for hand in scene.hands]
            image, depth = self._draw(scene, places, moments, light, room, seed)
            if bar is not None:
                image, depth = bar.cover(image, depth, number)
            gain = float(0.42 / image.mean().clamp(min=0.05)) ** 0.6 if gain is None else gain
            noise = torch.randn(image.shape, generator=dice.generator) * _NOISE
            pixels = ((image * gain + noise).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
            labels = tuple(self._label(id, place, scene, depth) for id, place in enumerate(places))
            yield SynthFrame(number, number / options.fps, pixels, scene.K, kind, labels)

    def _draw(
        self,
        scene: MovingScene,
        places: Sequence[PlaceAt],
        moments: np.ndarray,
        light: Light,
        room: Tensor,
        seed: int,
    ) -> tuple[Float[Tensor, "3 H W"], Float[Tensor, "H W"]]:
        """Return the mean of the pictures at all moments, and the depth of the nearest surface at the first moment."""
        K = torch.from_numpy(scene.K).float()[None]
        pictures = []
        nearest = torch.full((self.options.height, self.options.width), torch.inf)
        for moment, pan in enumerate(scene.pan_px(moments)):
            image = self._behind(room, pan)
            for id, place in sorted(enumerate(places), key=lambda one: -one[1].root_cam[moment, 2]):
                image, depth = self._over(image, place, moment, K, light, seed + id)
                if moment == 0:
                    nearest = torch.minimum(nearest, depth)
            pictures.append(image)
        return torch.stack(pictures).mean(dim=0), nearest

    def _behind(self, room: Tensor, pan: np.ndarray) -> Tensor:
        height, width = self.options.height, self.options.width
        spare = (room.shape[1] - height, room.shape[2] - width)
        top = int(np.clip(spare[0] / 2 - pan[1], 0, spare[0]))
        left = int(np.clip(spare[1] / 2 - pan[0], 0, spare[1]))
        return room[:, top : top + height, left : left + width]

    def _over(
        self, image: Tensor, place: PlaceAt, moment: int, K: Tensor, light: Light, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Return a picture with a hand and its forearm drawn over it, and their depth.

        Only a window around them is rendered, since they cover a small part of most pictures.
        """
        one = slice(moment, moment + 1)
        own = _rows(place.parameters, one)
        posed = self._hand(own)
        root = torch.from_numpy(place.root_cam[one]).float()[:, None]
        axis = torch.from_numpy(mirror_axis(place.side)).float()
        dice = Dice(1, seed % 2**62, torch.device("cpu"))  # the same arm and sleeve in every frame
        skin = skin_at_wrist(posed, self._hand.faces)
        props = make_props(posed.vertices, posed.joints, skin, dice, _PROPS)
        appearance = posed.appearance or Appearance(torch.full_like(posed.vertices, 0.6))
        verts, arm_verts = (posed.vertices + root) * axis, (props.vertices + root) * axis
        points, (height, width) = torch.cat((verts, arm_verts), dim=1)[0].double().numpy(), image.shape[1:]
        window, depth = window_about(points, K[0].double().numpy(), width=width, height=height), _nothing(image)
        if window is None:
            return image, depth
        size, K = (window.height_px, window.width_px), window.K(K)
        hand = self._renderer("hand", place.side, *size)(verts, K, appearance, light)
        arm = self._renderer("arm", place.side, *size)(arm_verts, K, Appearance(props.colors), light)
        image = image.clone()
        _draw_two(hand, arm, window, image, depth)
        return image, depth

    def _label(self, id: int, place: PlaceAt, scene: MovingScene, depth: Tensor) -> HandLabel:
        own = _rows(place.parameters, slice(0, 1))
        axis = torch.from_numpy(mirror_axis(place.side)).float()
        root = torch.from_numpy(place.root_cam[:1]).float()
        joints_cam = (self._hand.joints_of(own) + root[:, None]) * axis
        joints_px = project(joints_cam, torch.from_numpy(scene.K).float()[None])
        visible = exact.visible_joints(joints_px, joints_cam, depth[None])[0] > 0
        names = ("global_orient", "pose", "shape")
        parameters = {name: getattr(own, name)[0].double().numpy() for name in names}
        return HandLabel(
            id=id,
            side=place.side,
            joints_px=joints_px[0].double().numpy(),
            joints_cam=joints_cam[0].double().numpy(),
            visible=visible.numpy(),
            parameters={**parameters, "root_cam": place.root_cam[0]},
        )


class _Bar:
    """A narrow upright object that passes in front of everything once, textured with part of the background."""

    def __init__(self, options: ClipOptions, room: Tensor, random: np.random.Generator) -> None:
        self._width = random.uniform(0.04, 0.12) * options.width
        self._start = random.integers(0, max(1, options.frames // 2))
        self._speed = options.width / (random.uniform(0.6, 1.4) * options.fps)
        self._room = room.flip(-1)

    def cover(self, image: Tensor, depth: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Return the picture and depth of frame `number` with the bar in front, at depth 0."""
        middle = (number - self._start) * self._speed
        columns = torch.arange(image.shape[2]) + 0.5
        share = ((self._width / 2 - (columns - middle).abs()) / 2 + 0.5).clamp(0, 1)
        front = self._room[:, : image.shape[1], : image.shape[2]]
        covered = torch.lerp(image, front, share.expand_as(image))
        return covered, torch.where(share[None] >= 0.5, torch.zeros_like(depth), depth)


def _draw_two(hand: Rendered, arm: Rendered, window: Window, image: Tensor, depth: Tensor) -> None:
    """Paste a hand and its arm, which were rendered in a window, into a picture and its depth, in place."""
    under = window.cut(image)
    behind = window.trim(arm.image[0]) + (1 - window.trim(arm.silhouette[0]).clamp(0, 1)) * under
    over = window.trim(hand.image[0]) + (1 - window.trim(hand.silhouette[0]).clamp(0, 1)) * behind
    arm_depth, hand_depth = window.trim(arm.surface_depth[0]), window.trim(hand.surface_depth[0])
    window.cut(image)[:] = torch.where(arm_depth < hand_depth, behind, over)
    window.cut(depth)[:] = torch.minimum(arm_depth, hand_depth)


def _nothing(image: Tensor) -> Float[Tensor, "H W"]:
    """Return the depth of an empty picture."""
    return torch.full(image.shape[1:], torch.inf)


def _rows(parameters: HandParameters, rows: slice) -> HandParameters:
    """Return a subset of the hands in a batch."""
    chosen = {name: value[rows] for name, value in vars(parameters).items() if value is not None}
    return replace(parameters, **chosen)
