"""A page with the best, median and worst samples, with true and predicted hands drawn over the crops."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from hifihr_core.drawing import draw_skeleton, to_bytes
from hifihr_core.files import write_text
from hifihr_core.geometry.cameras import project
from hifihr_core.models.placing import PlacedEstimate
from hifihr_core.records import Batch

_TILE_PX = 336
_TRUTH = (255, 255, 255)
_SHADE = (24, 26, 30)
_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em;background:#fafafa;color:#222}"
    "figure{margin:0 0 1.2em}figcaption{margin-bottom:.3em}img{max-width:100%;border-radius:4px}"
)

Tile = UInt8[np.ndarray, "_ _ 3"]


@dataclass(frozen=True)
class Example:
    """One sample on the page: its rank ("best", "median" or "worst"), key and error, and its pictures side by side."""

    rank: str
    key: str
    error_mm: float
    tiles: Sequence[Tile]


def pick_examples(errors_mm: Float[np.ndarray, " N"], *, each: int = 3) -> dict[int, str]:
    """Return up to `each` samples with the smallest, the middle and the largest errors.

    The result maps their positions to "best", "median" or "worst".
    """
    order = np.argsort(errors_mm, kind="stable")
    middle = max(0, (len(order) - each) // 2)
    groups = {"best": order[:each], "median": order[middle : middle + each], "worst": order[::-1][:each]}
    picked: dict[int, str] = {}
    for rank, positions in groups.items():
        for position in positions.tolist():
            picked.setdefault(position, rank)
    return picked


def crop_tiles(batch: Batch, prediction: PlacedEstimate, sample: int) -> list[Tile]:
    """Return pictures of one sample: the crop, an overlay of the rendered hand, and an overlay of both skeletons.

    The true skeleton is white. The second picture is omitted if no hand was rendered.
    """
    crop = to_bytes(batch.image[sample])
    tiles = [_enlarge(crop)]
    if prediction.rendered is not None:
        coverage = prediction.rendered.silhouette[sample]
        over = batch.image[sample] * (1 - coverage) + prediction.rendered.image[sample]
        tiles.append(_enlarge(to_bytes(over)))
    canvas = _enlarge(crop)
    scale = _TILE_PX / crop.shape[1]
    if "joints_cam" in batch.labels and bool(batch.present["joints_cam"][sample]):
        truth_px = project(batch.labels["joints_cam"][sample : sample + 1], batch.K[sample : sample + 1])[0]
        draw_skeleton(canvas, truth_px.cpu().numpy() * scale, color=_TRUTH, width=4, rim=_SHADE)
    draw_skeleton(canvas, prediction.joints_px[sample].cpu().numpy() * scale, width=2, rim=_SHADE)
    return [*tiles, canvas]


def point_tiles(pred: Float[np.ndarray, "21 3"], gt: Float[np.ndarray, "21 3"], *, flip_y: bool) -> list[Tile]:
    """Draw aligned and true joints (in our order), seen from the camera and from the side, the true ones in white.

    `flip_y` is True if y points up in the frame of the joints.
    """
    middle, reach = gt.mean(axis=0), 1.3 * np.abs(gt - gt.mean(axis=0)).max()
    tiles = []
    for axes in ((0, 1), (2, 1)):
        canvas = np.full((_TILE_PX, _TILE_PX, 3), _SHADE, np.uint8)
        for points, color, width in ((gt, _TRUTH, 4), (pred, None, 2)):
            flat = (points - middle)[:, list(axes)] * (1, -1 if flip_y else 1)
            draw_skeleton(canvas, (flat / reach + 1) * _TILE_PX / 2, color=color, width=width, rim=_SHADE)
        tiles.append(canvas)
    return tiles


def write_page(path: Path, title: str, examples: Sequence[Example], facts: Mapping[str, str]) -> None:
    """Write the examples to a self-contained HTML file, atomically; `facts` are printed above them."""
    parts = [f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{_STYLE}</style>"]
    parts.append(f"<h1>{html.escape(title)}</h1>")
    parts.append("<p>Bones: ground truth in white, prediction in one colour per finger.</p>")
    parts += [f"<p>{html.escape(name)}: {html.escape(value)}</p>" for name, value in facts.items()]
    rank = None
    for example in examples:
        if example.rank != rank:
            rank = example.rank
            parts.append(f"<h2>{rank}</h2>")
        caption = f"{example.key}: PA-MPJPE {example.error_mm:.1f} mm"
        parts.append(
            f"<figure><figcaption>{html.escape(caption)}</figcaption>"
            f'<img alt="{html.escape(caption)}" src="data:image/png;base64,{_png(example.tiles)}"></figure>'
        )
    write_text(path, "\n".join(parts) + "\n")


def _png(tiles: Sequence[Tile]) -> str:
    strip = np.concatenate(list(tiles), axis=1)
    done, content = cv2.imencode(".png", strip[..., ::-1])
    assert done
    return base64.b64encode(content.tobytes()).decode()


def _enlarge(image: Tile) -> Tile:
    return cv2.resize(image, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_CUBIC)
