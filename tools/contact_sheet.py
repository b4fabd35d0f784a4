"""Render the contact sheet of the free hand: 24 sampled hands with various poses, shapes, skins and views.

python tools/contact_sheet.py --out docs/images/anny_sheet.png
"""

import argparse
import math
from pathlib import Path

import roma
import torch
from PIL import Image
from torch import Tensor

from hifihr_core.geometry.cameras import K_from_focal
from hifihr_core.hands import load_hand
from hifihr_core.hands.contract import HandParameters
from hifihr_core.records import Light
from hifihr_core.rendering import Renderer

ROWS, COLUMNS, TILE_PX = 4, 6, 256
_DISTANCE_M = 0.7
_GROUND = (0.93, 0.93, 0.94)


def main() -> None:
    """Draw, render and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images/anny_sheet.png"))
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    tiles = render(arguments.seed)
    rows = tiles.reshape(ROWS, COLUMNS, 3, TILE_PX, TILE_PX).permute(0, 3, 1, 4, 2)
    sheet = rows.reshape(ROWS * TILE_PX, COLUMNS * TILE_PX, 3)
    image = Image.fromarray((255 * sheet.clamp(0, 1)).round().to(torch.uint8).numpy())
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    image.save(arguments.out, optimize=True)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB")


def render(seed: int) -> Tensor:
    """Return (24, 3, TILE_PX, TILE_PX) pictures."""
    generator = torch.Generator().manual_seed(seed)
    model = load_hand("anny")
    count = ROWS * COLUMNS
    drawn = model.sample_parameters(count, generator=generator)
    parameters = HandParameters(_views(count, generator), drawn.pose, drawn.shape, drawn.texture)
    hand = model(parameters)
    if hand.appearance is None:
        raise ValueError("the hand model has no appearance")
    middle = (hand.vertices.amax(1) + hand.vertices.amin(1)) / 2
    verts_cam = hand.vertices - middle[:, None] + torch.tensor([0.0, 0.0, _DISTANCE_M])
    extent = (hand.vertices - middle[:, None])[..., :2].abs().amax((1, 2))
    K = torch.stack(
        [K_from_focal(0.44 * TILE_PX * _DISTANCE_M / float(e), width=TILE_PX, height=TILE_PX) for e in extent]
    )
    renderer = Renderer(model.faces, height=TILE_PX, width=TILE_PX, supersample=3)
    return renderer(verts_cam, K, hand.appearance, _lights(count, generator), torch.tensor(_GROUND)).image.detach()


def _views(count: int, generator: torch.Generator) -> Tensor:
    """Return global rotations: palm, back and both sides in turn, each slightly tilted."""
    turn = torch.tensor([0.0, math.pi, 0.7, math.pi - 0.7, -0.9, math.pi + 0.8]).repeat(math.ceil(count / 6))[:count]
    lean = torch.randn(count, 3, generator=generator) * torch.tensor([0.3, 0.2, 0.35])
    about_y = torch.stack((torch.zeros(count), turn, torch.zeros(count)), dim=1)
    return roma.rotvec_composition((lean, about_y))


def _lights(count: int, generator: torch.Generator) -> Light:
    sideways = torch.rand(count, 2, generator=generator) * torch.tensor([1.4, 0.7]) - torch.tensor([0.7, 1.0])
    direction = torch.cat((sideways, -torch.ones(count, 1)), dim=1)
    return Light(
        ambient=torch.full((count, 3), 0.52),
        color=torch.tensor([0.60, 0.58, 0.55]).expand(count, 3),
        direction=torch.nn.functional.normalize(direction, dim=1),
    )


if __name__ == "__main__":
    main()
