"""Render the same hands with every back end, with difference images: docs/images/rendering_backends.png.

Columns: native CPU, plain-torch reference, PyTorch3D if it is installed, CUDA if available; below each its difference
from the first, amplified 20 times. Last row: coverage, depth and normals of the first, and the original's renderer
(hard Phong, 3 x 3 averaging, white background).
"""

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from render_common import Scene, scene

from hifihr_core.rendering import Rendered, Renderer, pytorch3d
from hifihr_core.rendering.turntable import sheet, to_uint8, turntable

PX = 224


def draw(s: Scene, renderer: Renderer, background: float = 0.85) -> Rendered:
    """Render a scene in front of a plain background."""
    assert s.appearance is not None
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        back = torch.full((3,), background, device=s.verts.device)
        return renderer(s.verts, s.K, s.appearance, s.light, back)


def close(s: Scene) -> Scene:
    """Return the scene through a longer lens, so that the hand fills the picture."""
    return replace(s, K=s.K * torch.tensor([[1.5, 1, 1], [1, 1.5, 1], [1, 1, 1]], device=s.K.device))


def titled(picture: np.ndarray, title: str) -> np.ndarray:
    """Write a title into the upper left corner."""
    return cv2.putText(picture.copy(), title, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (20, 20, 20), 1, cv2.LINE_AA)


def main() -> None:
    """Draw and write the sheet, and a turntable beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/images"))
    options = parser.parse_args()
    s = close(scene("anny", 1, seed=3))
    ways = {"native (CPU)": "native", "reference": "reference"}
    if pytorch3d.is_available():
        ways["PyTorch3D faces"] = "pytorch3d"
    pictures = {t: draw(s, Renderer(s.faces, height=PX, width=PX, backend=b)).image for t, b in ways.items()}
    if torch.cuda.is_available():
        there = close(scene("anny", 1, seed=3, device="cuda"))
        pictures["native (CUDA)"] = draw(there, Renderer(there.faces, height=PX, width=PX)).image.cpu()
    first = pictures["native (CPU)"]
    rows = [titled(to_uint8(image)[0], title) for title, image in pictures.items()]
    for image in pictures.values():
        difference = (image - first).abs()
        label = f"20 x difference, max {difference.max():.4f}"
        rows.append(titled(to_uint8(1 - 20 * difference)[0], label))
    out = draw(s, Renderer(s.faces, height=PX, width=PX))
    seen = out.silhouette > 0
    depth = out.depth / out.silhouette.clamp_min(1e-6)
    near, far = depth[seen].min(), depth[seen].max()
    shown = torch.where(seen, 1 - 0.8 * (depth - near) / (far - near), 1.0)
    paper = draw(s, Renderer.paper(s.faces, height=PX, width=PX), background=1.0).image
    more = {
        "coverage": (1 - out.silhouette)[:, None].expand(-1, 3, -1, -1),
        "depth": shown[:, None].expand(-1, 3, -1, -1),
        "normals": torch.where(seen[:, None], 0.5 - 0.5 * out.normals, torch.ones(())),
        "as in the original": paper,
    }
    blank = [np.full((PX, PX, 3), 255, np.uint8)] * (4 - len(pictures))
    rows = [*rows[: len(pictures)], *blank, *rows[len(pictures) :], *blank]
    rows += [titled(to_uint8(x)[0], title) for title, x in more.items()]
    cv2.imwrite(str(options.folder / "rendering_backends.png"), sheet(rows, columns=4)[..., ::-1])
    assert s.appearance is not None
    around = turntable(s.verts[0], s.faces, s.appearance, views=8, image_px=PX)
    cv2.imwrite(str(options.folder / "rendering_turntable.png"), sheet(list(around), columns=4)[..., ::-1])


if __name__ == "__main__":
    main()
