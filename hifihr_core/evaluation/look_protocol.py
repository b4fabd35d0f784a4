"""Score the look (skin and light) inferred from pictures of a person on other pictures of the same person.

Scoring only the input picture would reward light and surroundings that are baked into the skin. Here the skin inferred
from one, two or four pictures of a synthetic person is rendered on the true hand, and compared with a rendering of the
true skin: as in the input picture, where the inferred skin has the inferred light and the true skin the true one; as in
another picture, with another pose and its true light; and from behind, under a white lamp. Geometry is given, so all
errors are errors of the look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from skimage.color import deltaE_ciede2000, rgb2lab
from torch import Tensor

from hifihr_core.geometry import turns
from hifihr_core.hands.contract import HandModel, HandParameters
from hifihr_core.lookup import needed
from hifihr_core.metrics.image import TexturePair, average_metrics, strict_metrics
from hifihr_core.metrics.perceptual import Lpips
from hifihr_core.models.placing import PlacedEstimate
from hifihr_core.placed_hands import LitHands, draw_hands
from hifihr_core.records import Batch, Light
from hifihr_core.rendering import Renderer

#: Side of the pictures in which looks are compared, pixels.
LOOK_PX = 128
#: Numbers of input pictures to score, if every person has at least one more.
COUNTS = (1, 2, 4)
_NEEDED = ("global_orient", "pose", "shape", "texture", "light", "root_cam")

Row = dict[str, float | None]


@dataclass
class LookScorer:
    """Collects the look inferred from every picture, and scores people with several pictures.

    Pictures show the same person if their labels of shape and skin are equal.
    """

    hand: HandModel
    lpips: Lpips | None = None
    _pictures: list["_Picture"] = field(default_factory=list)

    def add(self, batch: Batch, prediction: PlacedEstimate) -> None:
        """Add the pictures of a batch, except those without true parameters of this hand model.

        Nothing is added if the network predicts no texture or no light.
        """
        texture, light = prediction.estimate.parameters.texture, prediction.estimate.light
        known = all(name in batch.labels for name in _NEEDED)
        if texture is None or light is None or not known or batch.labels["texture"].shape[1] != texture.shape[1]:
            return
        for b in range(len(batch)):
            if all(bool(batch.present[name][b]) for name in _NEEDED):
                own = Light(light.ambient[b : b + 1], light.color[b : b + 1], light.direction[b : b + 1])
                truth = _truth(batch, b)
                self._pictures.append(_Picture(truth, _scaled(batch, b), texture[b : b + 1], own))

    def tensors(self) -> dict[str, Tensor]:
        """Return everything collected, one row per picture, for `take` in another scorer."""
        rows = [picture.tensors() for picture in self._pictures]
        names = {name for row in rows for name in row}
        if any(row.keys() != names for row in rows):
            raise ValueError("only some pictures have a sky, expected all or none in a benchmark")
        return {name: torch.cat([row[name] for row in rows]).contiguous() for name in sorted(names)}

    def take(self, tensors: Mapping[str, Tensor]) -> None:
        """Add the pictures that another scorer has collected."""
        device = self.hand.faces.device
        for b in range(len(tensors["K"])):
            self._pictures.append(_Picture.of({n: v[b : b + 1].to(device) for n, v in tensors.items()}))

    def people(self) -> list[list["_Picture"]]:
        """Return, for every person with at least two pictures, these pictures in their original order."""
        found: dict[bytes, list[_Picture]] = {}
        for picture in self._pictures:
            person = torch.cat((picture.truth.parameters.shape, picture.truth.texture), dim=1)
            found.setdefault(person.cpu().numpy().tobytes(), []).append(picture)
        return [pictures for pictures in found.values() if len(pictures) > 1]

    @torch.no_grad()
    def document(self) -> dict[str, object] | None:
        """Return the scores for each number of input pictures and, for comparison, of the mean texture.

        Returns None if nobody has two pictures.
        """
        people = self.people()
        if not people:
            return None
        renderer = Renderer(self.hand.faces, height=LOOK_PX, width=LOOK_PX)
        least = min(len(pictures) for pictures in people)
        looks = {"mean texture": [torch.zeros_like(pictures[0].texture) for pictures in people]}
        for count in (n for n in COUNTS if n < least):
            name = f"{count} picture{'s' if count > 1 else ''}"
            looks[name] = [
                torch.cat([p.texture for p in pictures[:count]]).mean(0, keepdim=True) for pictures in people
            ]
        rows = {name: self._row(renderer, people, skins) for name, skins in looks.items()}
        return {"people": len(people), "pictures_each": least, "rows": rows}

    def _row(self, renderer: Renderer, people: list[list["_Picture"]], skins: list[Tensor]) -> dict[str, object]:
        scenes: dict[str, list[Row]] = {"input": [], "other": [], "behind": []}
        for pictures, skin in zip(people, skins, strict=True):
            first, last = pictures[0], pictures[-1]
            scenes["input"].append(self._compare(renderer, first, skin, first.light))
            scenes["other"].append(self._compare(renderer, last, skin, last.truth.light))
            behind = first.from_behind()
            scenes["behind"].append(self._compare(renderer, behind, skin, behind.truth.light))
        true = [pictures[0].truth.texture for pictures in people]
        return {name: average_metrics(rows) for name, rows in scenes.items()} | {"tone": self._tone(skins, true)}

    def _compare(self, renderer: Renderer, picture: "_Picture", skin: Tensor, light: Light) -> Row:
        truth = draw_hands(self.hand, renderer, picture.truth, picture.K).rendered
        ours = replace(picture.truth, parameters=replace(picture.truth.parameters, texture=skin), light=light)
        drawn = draw_hands(self.hand, renderer, ours, picture.K).rendered
        inside = (truth.silhouette[0] > 0.99).cpu().numpy()
        if not inside.any():
            return {}
        a, b = (x.image[0].clamp(0, 1).permute(1, 2, 0).double().cpu().numpy() for x in (drawn, truth))
        pair = TexturePair(on_white=a, on_black=a, photo=b, coverage=inside.astype(np.float64))
        scores = strict_metrics(pair, mask=inside, lpips=self.lpips)
        difference = float(deltaE_ciede2000(rgb2lab(a), rgb2lab(b))[inside].mean())
        return {name: scores[name] for name in ("psnr", "ssim", "lpips")} | {"ciede2000": difference}

    def _tone(self, skins: Sequence[Tensor], true: Sequence[Tensor]) -> dict[str, list[float | None]]:
        """Return how the mean albedo of each hand agrees with the true one, per colour channel.

        "correlation" is that over people (None if undefined), "error" the mean absolute difference.
        """
        colors = self.hand.with_small_maps(LOOK_PX).vertex_colors
        ours, truth = (colors(torch.cat(list(x))).mean(dim=1).double().cpu().numpy() for x in (skins, true))
        varies = ours.std(axis=0).min() > 1e-6 and truth.std(axis=0).min() > 1e-6
        together = [float(np.corrcoef(ours[:, c], truth[:, c])[0, 1]) if varies else None for c in range(3)]
        return {"correlation": together, "error": np.abs(ours - truth).mean(axis=0).tolist()}


@dataclass(frozen=True)
class _Picture:
    """One picture, as a batch of one: the true hand, the camera at `LOOK_PX`, and the inferred skin and light."""

    truth: LitHands
    K: Float[Tensor, "1 3 3"]
    texture: Float[Tensor, "1 X"]
    light: Light

    def tensors(self) -> dict[str, Tensor]:
        """Return the picture as named tensors of one row each."""
        truth, light = self.truth, self.truth.light
        named = {name: getattr(truth.parameters, name) for name in ("global_orient", "pose", "shape")}
        named |= {"true_texture": needed(truth.parameters.texture, "the true texture"), "root_cam": truth.root_cam}
        named |= {"true_light": light.numbers, "K": self.K, "texture": self.texture, "light": self.light.numbers}
        return named | ({} if light.sky is None else {"sky": light.sky})

    @classmethod
    def of(cls, named: Mapping[str, Tensor]) -> "_Picture":
        """Rebuild a picture from the result of its `tensors`."""
        parameters = HandParameters(*(named[name] for name in ("global_orient", "pose", "shape", "true_texture")))
        light = Light.from_numbers(named["true_light"], named.get("sky"))
        truth = LitHands(parameters, named["root_cam"], light)
        return cls(truth, named["K"], named["texture"], Light.from_numbers(named["light"]))

    def from_behind(self) -> "_Picture":
        """Return the hand rotated by half a turn about the vertical axis through its root, under a white lamp."""
        turn = torch.diag(self.K.new_tensor([-1.0, 1.0, -1.0]))[None]
        parameters = self.truth.parameters
        orient = turns.rotmat_to_rotvec(turn @ turns.rotvec_to_rotmat(parameters.global_orient))
        truth = replace(self.truth, parameters=replace(parameters, global_orient=orient), light=_white_lamp(self.K))
        return replace(self, truth=truth)


def _truth(batch: Batch, b: int) -> LitHands:
    labels = {name: values[b : b + 1] for name, values in batch.labels.items()}
    sky = labels["sky"] if "sky" in labels and bool(batch.present["sky"][b]) else None
    parameters = HandParameters(labels["global_orient"], labels["pose"], labels["shape"], labels["texture"])
    return LitHands(parameters, labels["root_cam"], Light.from_numbers(labels["light"], sky))


def _scaled(batch: Batch, b: int) -> Float[Tensor, "1 3 3"]:
    """Return the camera of a picture scaled to `LOOK_PX`."""
    K = batch.K[b : b + 1].clone()
    K[:, :2] *= LOOK_PX / batch.image.shape[-1]
    return K


def _white_lamp(like: Tensor) -> Light:
    direction = torch.nn.functional.normalize(like.new_tensor([[-0.3, -0.6, -0.75]]), dim=1)
    return Light(like.new_full((1, 3), 0.55), like.new_full((1, 3), 0.45), direction)
