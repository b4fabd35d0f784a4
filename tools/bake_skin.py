"""Paint many hands and bake the statistical skin of the free hand: `anny_skin.npz`.

    python tools/bake_skin.py --hand hifihr_core/hands/data/anny_hand.npz

Run it after `tools/bake_hand.py`; it takes a few minutes on one core.
"""

import argparse
from pathlib import Path

import numpy as np
from skin import chart, generator
from skin.anatomy import read_anatomy

from hifihr_core.files import write_atomically

SIZE_PX = 512
PEOPLE = 360
COMPONENTS = 16


def main() -> None:
    """Bake, and report the size of the file and the variance that the components explain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hand", type=Path, default=Path("hifihr_core/hands/data/anny_hand.npz"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with np.load(arguments.hand) as archive:
        hand = dict(archive)
    target = arguments.hand.with_name("anny_skin.npz")
    with write_atomically(target) as path:
        np.savez_compressed(path, **bake(hand, arguments.seed))
    print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB")


def bake(hand: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Return the arrays of the skin file; see docs/hands_anny.md."""
    texels, colours = paint_people(hand, seed)
    mean = colours.mean(0)
    flat = (colours - mean).reshape(PEOPLE, -1)
    values, vectors = np.linalg.eigh(flat @ flat.T / (PEOPLE - 1))
    order = np.argsort(-values)[:COMPONENTS]
    print(f"{COMPONENTS} components hold {values[order].sum() / values.sum():.4f} of the variance")
    # Each component is a direction times its standard deviation, so that coefficients have unit variance.
    basis = (vectors[:, order] / np.sqrt(PEOPLE - 1)).T @ flat
    people = vectors[:, order] * np.sqrt(PEOPLE - 1)
    sign = np.where(basis.mean(1) < 0, -1.0, 1.0)
    basis, people = basis * sign[:, None], people * sign
    scale = np.abs(basis).max(1) / 127
    steps = np.round(basis / scale[:, None]).astype(np.int8).reshape(COMPONENTS, -1, 3)
    components = np.zeros((COMPONENTS, 3, SIZE_PX * SIZE_PX), dtype=np.int8)
    components[:, :, texels.padded] = steps.transpose(0, 2, 1)[:, :, texels.nearest]
    ground = np.tile(mean.mean(0)[:, None], (1, SIZE_PX * SIZE_PX))
    ground[:, texels.padded] = mean.T[:, texels.nearest]
    inside = np.zeros(SIZE_PX * SIZE_PX, dtype=bool)
    inside[texels.padded] = True
    return {
        "mean": np.round(255 * ground).astype(np.uint8).reshape(3, SIZE_PX, SIZE_PX),
        "components": components.reshape(COMPONENTS, 3, SIZE_PX, SIZE_PX),
        "scale": scale.astype(np.float32),
        "inside": inside.reshape(SIZE_PX, SIZE_PX),
        "people": people.astype(np.float16),
    }


def paint_people(hand: dict[str, np.ndarray], seed: int) -> tuple[chart.Chart, np.ndarray]:
    """Return the chart and the colours (PEOPLE, N, 3) of all people on its texels."""
    texels = chart.rasterize(hand["uvs"].astype(float), hand["faces_uvs"].astype(int)[: len(hand["nails"])], SIZE_PX)
    anatomy = read_anatomy(hand, texels)
    marks = generator.read_marks(anatomy)
    rng = np.random.default_rng(seed)
    colours = [generator.paint(anatomy, marks, generator.draw_person(rng)).astype(np.float32) for _ in range(PEOPLE)]
    return texels, np.stack(colours)


if __name__ == "__main__":
    main()
