"""Learn the prior on light from environment maps, and write it into the package.

    python tools/learn_light.py FOLDER_OF_HDR_MAPS

Each map is rotated randomly and lights a background of the generator, with the exposure and white balance of a camera;
then the light's nine harmonics are regressed on the colour of that background.
"""

import argparse
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hifihr_core.hands import load_hand
from hifihr_core.hands.skin_bank import draw_skin_bank
from hifihr_core.prediction.look.light_prior import fit_light_prior
from hifihr_core.rendering.skylight import as_sky
from hifihr_core.synthesis.backdrops import draw_backdrops, make_bank
from hifihr_core.synthesis.dice import Dice
from hifihr_core.synthesis.environments import draw_environments, make_environments
from hifihr_core.synthesis.exposure import expose_scene

BATCH, IMAGE_PX = 64, 64


def pairs(environments: Tensor, backdrops: Tensor, skins: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return lights (N, 9, 3) and log mean colours of the backgrounds (N, 3)."""
    lights, around = [], []
    for number in range(-(-count // BATCH)):
        dice = Dice(BATCH, 1000 + number, torch.device("cpu"))
        behind = draw_backdrops(backdrops, (IMAGE_PX, IMAGE_PX), dice)
        light, shown = expose_scene(
            draw_environments(environments, dice), behind, dice, skins[dice.integer(len(skins))]
        )
        soft = as_sky(light)
        assert soft.sky is not None
        lights.append(torch.cat((soft.ambient[:, None], soft.sky), dim=1))
        around.append(shown.clamp(0, 1).mean(dim=(2, 3)).clamp_min(0.01).log())
    return torch.cat(lights), torch.cat(around)


def main() -> None:
    """Learn and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("maps", type=Path)
    parser.add_argument("--count", type=int, default=6400)
    target = Path(str(files("hifihr_core.prediction.look") / "data" / "light_prior.npz"))
    parser.add_argument("--out", type=Path, default=target)
    options = parser.parse_args()
    environments = make_environments(count=0, seed=0, folder=options.maps)
    skins = draw_skin_bank(load_hand("anny")).colors.mean(dim=1)
    lights, around = pairs(environments, make_bank(image_px=IMAGE_PX, count=96, seed=7), skins, options.count)
    prior = fit_light_prior(lights, around)
    np.savez_compressed(options.out, **{name: value.numpy() for name, value in vars(prior).items()})
    error = lights[:, 0].log() - prior.brightness(around).log()
    print(f"{len(lights)} lights of {len(environments)} maps; error of log brightness {error.std(dim=0).tolist()}")


if __name__ == "__main__":
    main()
