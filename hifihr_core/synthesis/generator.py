"""The generator: it renders batches of hand pictures with complete labels, each from a seed and a number."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hifihr_core.augmentation.colors import change_batch
from hifihr_core.augmentation.draws import draw
from hifihr_core.geometry.cameras import project
from hifihr_core.hands.contract import HandModel, HandParameters
from hifihr_core.lookup import needed
from hifihr_core.placed_hands import PosedHands, Record, map_tensors, place_hands
from hifihr_core.randomness import stream_bits
from hifihr_core.records import Appearance, Batch, Light, Side
from hifihr_core.rendering import Renderer, SelfShade, self_shade
from hifihr_core.rendering.backends import BackendName
from hifihr_core.rendering.fragments import Rendered
from hifihr_core.rendering.skylight import with_sky
from hifihr_core.synthesis import labels as exact
from hifihr_core.synthesis import lens
from hifihr_core.synthesis.backdrops import draw_backdrops, make_bank
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.environments import draw_environments, make_environments
from hifihr_core.synthesis.exposure import brighter, expose_scene
from hifihr_core.synthesis.options import SynthOptions
from hifihr_core.synthesis.scene import draw_light, place_hand
from hifihr_core.synthesis.things.occluders import cover, keep_hand
from hifihr_core.synthesis.things.props import Props, make_props, prop_faces, skin_at_wrist
from hifihr_core.synthesis.things.second_hand import draw_second_hands, over_props
from hifihr_core.synthesis.things.worn import gloved, wear, with_worn_faces
from hifihr_core.synthesis.true_motion import Motion, draw_motion, with_motion
from hifihr_core.synthesis.wider_poses import widen_poses

#: A prop this far behind the hand still covers it, which hides the open rim at the wrist.
_SEAM_M = 0.0015


class Synthesizer:
    """Renders batches of synthetic photos of one hand model.

    Batch n of a seed is always the same, whatever was rendered before; pixel values may differ in the last bits between
    machines. The user's photos and environment maps are read once, at construction. Pictures have no gradient.
    Raises: DataError if the folder `options.photos` or `options.environments` has no readable picture.
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
        self._wears = self.options.ring > 0 or self.options.watch > 0

        def renderer(faces: Int[Tensor, "F 3"]) -> Renderer:
            return Renderer(faces, height=height, width=width, backend=backend).to(self.device)

        self._render_hand, self._render_other = renderer(hand.faces), renderer(hand.faces.flip(1))
        self._render_props = renderer(with_worn_faces(prop_faces()) if self._wears else prop_faces())

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
        options, hand = self.options, self.hand(parameters)
        root_cam, K = place_hand(hand.vertices, dice, options)
        props = make_props(hand.vertices, hand.joints, skin_at_wrist(hand, self.hand.faces), dice, options)
        light, bare = draw_light(dice), torch.ones(dice.batch, dtype=torch.bool, device=self.device)
        if self._wears:
            props = wear(props, hand, dice, options)
        if options.glove > 0:
            hand, has = gloved(hand, dice, options)
            bare = ~has
        posed = place_hands(hand, root_cam, K)
        motion = draw_motion(posed.joints_cam, dice, options.true_motion) if options.true_motion > 0 else None
        return _Scene(parameters, posed, K, props, light, bare_skin=bare, motion=motion)

    def _of_people(self, drawn: HandParameters) -> HandParameters:
        """Give all pictures of one person the shape and skin of the first."""
        each = self.options.pictures_each
        first = torch.arange(len(drawn.pose)) // each * each
        texture = None if drawn.texture is None else drawn.texture[first]
        return replace(drawn, shape=drawn.shape[first], texture=texture)

    def _lit(self, scene: "_Scene", dice: Dice) -> tuple["_Scene", Float[Tensor, "B 3 H W"]]:
        """Return the scene with its final light, and the background.

        An environment map lights hand and background, the exposure suits both, and the hand casts shadows on itself. A
        lamp does not light the background; `lens` then imitates shadows and exposure in the picture.
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
        """Return the picture of backdrop, props, hand and occluder, with its depth and the visible hand pixels."""
        options = self.options
        hand, hand_depth = self._hand_layer(scene)
        backdrop = lens.cast_shadow(backdrop, hand.silhouette, dice, options.shadow)
        props, props_depth = self._props_layer(scene, backdrop, hand_depth, dice)
        behind, props_depth = keep_hand(hand_depth, props_depth, props, backdrop)
        nearest = torch.minimum(hand_depth, props_depth)
        over = (props_depth < hand_depth)[:, None]
        alpha = hand.silhouette[:, None].clamp(0, 1)
        image = torch.where(over, behind, hand.image + (1 - alpha) * behind)
        folds = dice.uniform(0.1, 0.55) * (0 if scene.shade is not None else 1)  # such hands have real shadows
        image = lens.darken_folds(image, nearest, folds)
        seen = (hand_depth < props_depth) & hand_depth.isfinite()
        image, covered = cover(image, backdrop, seen, dice, options)
        return image, _View(torch.where(covered, torch.zeros_like(nearest), nearest), seen & ~covered)

    def _hand_layer(self, scene: "_Scene") -> tuple[Rendered, Float[Tensor, "B H W"]]:
        """Return the rendered hands, with motion blur if they move, and their depth at the midpoint of the exposure."""
        posed, K = scene.posed, scene.K
        look = posed.hand.appearance or Appearance(torch.full_like(posed.verts_cam, 0.6))
        still = self._render_hand(posed.verts_cam, K, look, scene.light, shade=scene.shade)

        def draw(rows: Tensor, moved: Callable[[Tensor], Tensor]) -> Rendered:
            some = replace(look, albedo=look.albedo[rows])
            light, shade = _some(scene.light, rows), _some(scene.shade, rows)
            return self._render_hand(moved(posed.verts_cam[rows]), K[rows], some, light, shade=shade)

        return with_motion(still, scene.motion, draw), still.surface_depth

    def _props_layer(
        self, scene: "_Scene", backdrop: Float[Tensor, "B 3 H W"], hand_depth: Float[Tensor, "B H W"], dice: Dice
    ) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B H W"]]:
        """Return props and second hands in front of the backdrop, and their depth."""
        vertices, K, colors = scene.props.vertices + scene.posed.root_cam[:, None], scene.K, scene.props.colors
        still = self._render_props(vertices, K, Appearance(colors), scene.light, background=backdrop)

        def draw(rows: Tensor, moved: Callable[[Tensor], Tensor]) -> Rendered:
            look, light = Appearance(colors[rows]), _some(scene.light, rows)
            return self._render_props(moved(vertices[rows]), K[rows], look, light, background=backdrop[rows])

        image, depth = with_motion(still, scene.motion, draw).image, still.surface_depth - _SEAM_M
        if self.options.second_hand <= 0:
            return image, depth
        has = dice.chance(self.options.second_hand)
        hands = draw_second_hands(self.hand, scene.parameters, scene.posed.root_cam, dice)
        return over_props(self._render_other, hands, has, K, scene.light, (image, depth), hand_depth)

    def _photograph(self, image: Float[Tensor, "B 3 H W"], keys: tuple[str, ...], dice: Dice) -> Tensor:
        """Apply light fall-off, camera motion, colours, blur and noise."""
        image = lens.expose_film(image, lens.uneven_light(image.shape[-2:], dice))
        image = lens.blur_motion(image, dice, self.options.motion_blur)
        draws = draw(self.options.camera, keys, seed=self.seed, epoch=0, image_px=max(self.options.size_px))
        return change_batch(image, None, draws)[0]

    def _label(self, scene: "_Scene", view: "_View", dice: Dice) -> dict[str, Mapping[str, Tensor]]:
        """Return labels and presence: all of `samples.LABELS`, except `texture` for hands with gloves or no texture."""
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
            "light": light.numbers,
            "sky": needed(with_sky(light).sky, "the sky"),
            "mask": view.seen,
        }
        if parameters.texture is not None:
            found["texture"] = parameters.texture
        always = torch.ones(len(joints_px), dtype=torch.bool, device=self.device)
        present = dict.fromkeys(found, always)
        return {"labels": found, "present": present | ({"texture": scene.bare_skin} if "texture" in found else {})}


@dataclass(frozen=True)
class _Scene:
    parameters: HandParameters
    posed: PosedHands
    K: Float[Tensor, "B 3 3"]
    props: Props
    light: Light
    bare_skin: Bool[Tensor, " B"]
    motion: Motion | None
    shade: SelfShade | None = None


@dataclass(frozen=True)
class _View:
    """The depth of the nearest surface (infinite without one, 0 for an occluder), and the visible hand pixels."""

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
    """Yield an endless sequence of batches from number `start` on, rendered on demand."""
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


def _some(record: Record, rows: Tensor) -> Record:
    """Return a record reduced to the samples `rows`; None for None."""
    return map_tensors(lambda values: values[rows], record)


def _right_hands(count: int) -> tuple[Side, ...]:
    side: Side = "right"
    return (side,) * count
