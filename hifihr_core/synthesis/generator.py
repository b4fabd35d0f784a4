"""The generator: a seed and a number give a batch of pictures of hands with everything known about them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hifihr_core.augmentation.colors import change_batch
from hifihr_core.augmentation.draws import draw
from hifihr_core.geometry.cameras import project
from hifihr_core.hands.contract import HandModel, HandParameters
from hifihr_core.lookup import needed
from hifihr_core.placed_hands import PosedHands, place_hands
from hifihr_core.randomness import stream_bits
from hifihr_core.records import Appearance, Batch, Light, Side
from hifihr_core.rendering import Renderer, SelfShade, self_shade
from hifihr_core.rendering.backends import BackendName
from hifihr_core.rendering.skylight import with_sky
from hifihr_core.synthesis import labels as exact
from hifihr_core.synthesis import lens
from hifihr_core.synthesis.backdrops import draw_backdrops, make_bank
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.environments import draw_environments, make_environments
from hifihr_core.synthesis.exposure import brighter, expose_scene
from hifihr_core.synthesis.options import SynthOptions
from hifihr_core.synthesis.props import Props, make_props, prop_faces, skin_at_wrist
from hifihr_core.synthesis.scene import draw_light, place_hand
from hifihr_core.synthesis.wider_poses import widen_poses

#: A prop this much behind the hand still covers it, which hides the rim of the hand's mesh at the wrist.
_SEAM_M = 0.0015
#: An occluder hides less than this part of what is seen of a hand, and so do props of all of it.
_MOST_HIDDEN = 0.5


class Synthesizer:
    """Renders batches of synthetic photos of one hand model.

    Batch n of a seed is always the same, whatever was made before; the values of its pixels may differ in the last
    bits between machines. The disk is used only to read `options.photos`. Pictures carry no gradient.
    """

    def __init__(
        self,
        hand: HandModel,
        *,
        seed: int = 0,
        options: SynthOptions | None = None,
        device: torch.device | str = "cpu",
        backend: BackendName = "auto",
    ) -> None:
        self.options = options or SynthOptions()
        self.device = torch.device(device)
        self.hand = hand.to(self.device)
        self.seed = seed
        height, width = self.options.size_px
        bank = make_bank(
            image_px=max(height, width), count=self.options.backgrounds, seed=seed, photos=self.options.photos
        )
        self._bank = bank.to(self.device)
        self._environments = _environments(self.options, seed, self.device)
        faces = prop_faces().to(self.device)
        self._render_hand = Renderer(hand.faces, height=height, width=width, backend=backend).to(self.device)
        self._render_props = Renderer(faces, height=height, width=width, backend=backend).to(self.device)

    @torch.no_grad()
    def make(self, number: int, batch_size: int) -> Batch:
        """Render batch `number`: a pure function of the seed, the number, the size and the options."""
        seed = int(stream_bits(self.seed, number, "synth")[0]) >> 1
        dice = Dice(batch_size, seed, self.device)
        scene, backdrop = self._lit(self._draw_scene(dice), dice)
        image, view = self._render(scene, backdrop, dice)
        if self._environments is None:
            image, gain = lens.expose(image, dice)
            scene = replace(scene, light=brighter(scene.light, gain[:, None].expand(-1, 3)))
        keys = tuple(f"synth-{self.seed}-{number}-{b}" for b in range(batch_size))
        return Batch(
            image=self._photograph(image, keys, dice),
            K=scene.K,
            keys=keys,
            sides=_right_hands(batch_size),
            **self._label(scene, view, dice),
        )

    def _draw_scene(self, dice: Dice) -> "_Scene":
        drawn = self._of_people(self.hand.sample_parameters(dice.batch, generator=dice.generator))
        texture = None if drawn.texture is None else drawn.texture * self.options.texture_spread
        parameters = HandParameters(
            global_orient=drawn.global_orient.to(self.device),
            pose=self._wider(drawn.pose.to(self.device), dice),
            shape=drawn.shape.to(self.device),
            texture=texture if texture is None else texture.to(self.device),
        )
        hand = self.hand(parameters)
        root_cam, K = place_hand(hand.vertices, dice, self.options)
        props = make_props(hand.vertices, hand.joints, skin_at_wrist(hand, self.hand.faces), dice, self.options)
        return _Scene(parameters, place_hands(hand, root_cam, K), K, props, draw_light(dice))

    def _of_people(self, drawn: HandParameters) -> HandParameters:
        """Give the pictures of one person the shape and skin of the first of them."""
        each = self.options.pictures_each
        first = torch.arange(len(drawn.pose)) // each * each
        texture = None if drawn.texture is None else drawn.texture[first]
        return replace(drawn, shape=drawn.shape[first], texture=texture)

    def _lit(self, scene: "_Scene", dice: Dice) -> tuple["_Scene", Float[Tensor, "B 3 H W"]]:
        """Return the scene under its light, and what is behind the hands.

        Under an environment map background, hand and camera go together, and the hand shades itself; a lamp lights only
        the hand, and `lens` imitates the rest.
        """
        backdrop = draw_backdrops(self._bank, self.options.size_px, dice)
        if self._environments is None:
            return scene, backdrop
        look = scene.posed.hand.appearance
        skin = torch.full((dice.batch, 3), 0.6) if look is None else look.albedo.flatten(2).mean(dim=2)
        light, backdrop = expose_scene(draw_environments(self._environments, dice), backdrop, dice, skin)
        shade = self_shade(scene.posed.verts_cam, self.hand.faces, light.direction)
        return replace(scene, light=light, shade=shade), backdrop

    def _wider(self, pose: Float[Tensor, "B P"], dice: Dice) -> Float[Tensor, "B P"]:
        share = self.options.wide_poses
        return widen_poses(self.hand, pose, dice, share) if share > 0 else pose

    def _render(self, scene: "_Scene", backdrop: Float[Tensor, "B 3 H W"], dice: Dice) -> tuple[Tensor, "_View"]:
        """Draw backdrop, props and hand over each other; a prop that is nearer than the hand covers it."""
        options, posed = self.options, scene.posed
        appearance = posed.hand.appearance or Appearance(torch.full_like(posed.verts_cam, 0.6))
        hand = self._render_hand(posed.verts_cam, scene.K, appearance, scene.light, shade=scene.shade)
        backdrop = lens.cast_shadow(backdrop, hand.silhouette, dice, options.shadow)
        props = self._render_props(
            scene.props.vertices + posed.root_cam[:, None],
            scene.K,
            Appearance(scene.props.colors),
            scene.light,
            background=backdrop,
        )
        hand_depth = _depth(hand.depth, hand.silhouette)
        props_depth = _depth(props.depth, props.silhouette) - _SEAM_M
        behind, props_depth = _keep_hand(hand_depth, props_depth, props.image, backdrop)
        nearest = torch.minimum(hand_depth, props_depth)
        over = (props_depth < hand_depth)[:, None]
        alpha = hand.silhouette[:, None].clamp(0, 1)
        image = torch.where(over, behind, hand.image + (1 - alpha) * behind)
        folds = dice.uniform(0.1, 0.55) * (0 if scene.shade is not None else 1)  # such hands have real shadows
        image = lens.darken_folds(image, nearest, folds)
        seen = (hand_depth < props_depth) & hand_depth.isfinite()
        image, covered = self._cover(image, backdrop, seen, dice)
        return image, _View(torch.where(covered, torch.zeros_like(nearest), nearest), seen & ~covered)

    def _cover(
        self,
        image: Float[Tensor, "B 3 H W"],
        backdrop: Float[Tensor, "B 3 H W"],
        seen: Bool[Tensor, "B H W"],
        dice: Dice,
    ) -> tuple[Tensor, Bool[Tensor, "B H W"]]:
        """Put a disc or slab, with the backdrop of another sample on it, in front of some pictures.

        What would hide most of a hand is left out.
        """
        options = self.options
        rows, columns = ((torch.arange(n, device=self.device) + 0.5) / n for n in options.size_px)
        v, u = torch.meshgrid(rows, columns, indexing="ij")
        middle, angle = dice.uniform(0.05, 0.95, 2, 1, 1), dice.uniform(0.0, torch.pi, 1, 1)
        across, along = u - middle[:, 0], v - middle[:, 1]
        x = (across * angle.cos() + along * angle.sin()) / dice.log_uniform(0.04, 0.25, 1, 1)
        y = (along * angle.cos() - across * angle.sin()) / dice.log_uniform(0.06, 0.7, 1, 1)
        round_ = dice.chance(0.5)[:, None, None]
        distance = torch.where(round_, (x.square() + y.square()).sqrt(), torch.maximum(x.abs(), y.abs()))
        share = ((1 - distance) * 12).clamp(0, 1) * dice.chance(options.occluder)[:, None, None]
        hidden = (seen & (share >= 0.5)).sum(dim=(1, 2)) / seen.sum(dim=(1, 2)).clamp(min=1)
        share = share * (hidden < _MOST_HIDDEN)[:, None, None]
        front = (backdrop.roll(1, dims=0).flip(-1) * dice.log_uniform(0.5, 1.6, 1, 1, 1)).clamp(0, 1)
        if options.plain_occluder > 0:
            plain = dice.chance(options.plain_occluder)[:, None, None, None]
            front = torch.where(plain, dice.uniform(0.0, 1.0, 3, 1, 1), front)
        return torch.lerp(image, front, share[:, None]), share >= 0.5

    def _photograph(self, image: Float[Tensor, "B 3 H W"], keys: tuple[str, ...], dice: Dice) -> Tensor:
        """Let light fall off, move the camera, and apply its colours, blur and noise."""
        image = lens.uneven_light(image, dice)
        image = lens.blur_motion(_roll_off(image), dice, self.options.motion_blur)
        draws = draw(self.options.camera, keys, seed=self.seed, epoch=0, image_px=max(self.options.size_px))
        return change_batch(image, None, draws)[0]

    def _label(self, scene: "_Scene", view: "_View", dice: Dice) -> dict[str, Mapping[str, Tensor]]:
        """Return labels and presence; every label of `records.LABELS` is there for every sample."""
        posed, parameters, light = scene.posed, scene.parameters, scene.light
        joints_cam, joints_px = posed.joints_cam, posed.joints_px
        visible = exact.visible_joints(joints_px, joints_cam, view.depth)
        box = exact.hand_box(project(posed.verts_cam, scene.K), self.options.size_px)
        hand_px = (box[:, 2:] - box[:, :2]).amax(dim=-1)
        keypoints, confidence = exact.detect_keypoints(
            joints_px, visible, hand_px, self.options.size_px, dice, self.options.missing_keypoint
        )
        found = {
            "joints_cam": joints_cam,
            "joints_px": joints_px,
            "joints_visible": visible,
            "keypoints_px": keypoints,
            "keypoints_confidence": confidence,
            "mano_vertices_cam": exact.mano_vertices(self.hand, posed.hand) + posed.root_cam[:, None],
            "root_cam": posed.root_cam,
            "bone_m": exact.bone_length(posed.hand.joints),
            "box_px": box,
            "global_orient": parameters.global_orient,
            "pose": parameters.pose,
            "shape": parameters.shape,
            "light": torch.cat((light.ambient, light.color, light.direction), dim=-1),
            "sky": needed(with_sky(light).sky, "the sky"),
            "mask": view.seen,
        }
        if parameters.texture is not None:
            found["texture"] = parameters.texture
        always = torch.ones(len(joints_px), dtype=torch.bool, device=self.device)
        return {"labels": found, "present": dict.fromkeys(found, always)}


@dataclass(frozen=True)
class _Scene:
    parameters: HandParameters
    posed: PosedHands
    K: Float[Tensor, "B 3 3"]
    props: Props
    light: Light
    shade: SelfShade | None = None


@dataclass(frozen=True)
class _View:
    """Depth of the nearest surface (infinite without one, 0 for an occluder), and where the hand is seen."""

    depth: Float[Tensor, "B H W"]
    seen: Bool[Tensor, "B H W"]


def synth_batches(
    hand: HandModel,
    batch_size: int,
    *,
    seed: int = 0,
    start: int = 0,
    options: SynthOptions | None = None,
    device: torch.device | str = "cpu",
    backend: BackendName = "auto",
) -> Iterator[Batch]:
    """Yield batches without end, from batch number `start` on, rendered on demand."""
    synthesizer = Synthesizer(hand, seed=seed, options=options, device=device, backend=backend)
    number = start
    while True:
        yield synthesizer.make(number, batch_size)
        number += 1


def _environments(options: SynthOptions, seed: int, device: torch.device) -> Float[Tensor, "N 16 32 3"] | None:
    """Return the bank of environment maps, or None if hands are lit by a lamp."""
    if options.light == "lamp":
        return None
    return make_environments(count=options.backgrounds, seed=seed, folder=options.environments).to(device)


def _keep_hand(
    hand_depth: Float[Tensor, "B H W"],
    props_depth: Float[Tensor, "B H W"],
    props: Float[Tensor, "B 3 H W"],
    backdrop: Float[Tensor, "B 3 H W"],
) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B H W"]]:
    """Return what is behind the hands, and the depth of props: none for samples whose props would hide the hand."""
    area = hand_depth.isfinite().sum(dim=(1, 2)).clamp(min=1)
    hidden = (hand_depth.isfinite() & (props_depth < hand_depth)).sum(dim=(1, 2)) / area > _MOST_HIDDEN
    image = torch.where(hidden[:, None, None, None], backdrop, props)
    return image, torch.where(hidden[:, None, None], torch.full_like(props_depth, torch.inf), props_depth)


def _right_hands(count: int) -> tuple[Side, ...]:
    side: Side = "right"
    return (side,) * count


def _depth(depth: Float[Tensor, "B H W"], coverage: Float[Tensor, "B H W"]) -> Float[Tensor, "B H W"]:
    """Return z of a surface, metres, infinite where at most half of a pixel shows it."""
    return torch.where(coverage >= 0.5, depth / coverage.clamp(min=1e-6), torch.full_like(depth, torch.inf))


def _roll_off(image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Compress what is brighter than white softly, as cameras do: the identity up to 0.7, then towards 1."""
    over = (image - 0.7).clamp(min=0)
    return torch.where(image > 0.7, 0.7 + 0.3 * (1 - torch.exp(-over / 0.3)), image).clamp(0, 1)
