"""Change the colours, blur, noise and occlusion of a finished crop, as lenses, sensors and file formats do.

Three implementations apply the same draws, and differ only by rounding: `change_picture` uses OpenCV on one uint8
picture in a worker, `change_on_device`, the specification, uses torch on a batch on any device, and `_change_on_cpu`
processes a float batch on a CPU, picture by picture. Only the first one does JPEG compression: on a GPU it would not be
worth its cost.
"""

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from hifihr_core.augmentation.draws import Draws, PixelChanges
from hifihr_core.augmentation.pixel_loops import add_noise, recolor
from hifihr_core.randomness import uniforms

NOISE_LEVELS = 16
#: Maximum standard deviation of the noise per channel, for values in [0, 1].
MAX_NOISE = 0.08
#: Maximum shift of a picture's window into the noise tile, pixels.
_TILE_SLACK = 64
_BLUR_REACH = 2.5  # kernel radius in standard deviations
_GREYS = np.linspace(0, 1, 256)


def change_picture(
    picture: UInt8[np.ndarray, "H W 3"], visible: UInt8[np.ndarray, "H W"] | None, changes: PixelChanges
) -> None:
    """Apply the changes of a picture in place, and set `visible` to 0 where the hand is covered."""
    if changes.cover_px is not None:
        x0, y0, x1, y1 = changes.cover_px
        picture[y0:y1, x0:x1] = changes.cover_color
        if visible is not None:
            visible[y0:y1, x0:x1] = 0
    if changes.blur_sigma_px > 0:
        weights = _blur_weights(changes.blur_sigma_px)
        cv2.sepFilter2D(picture, -1, weights, weights, dst=picture)  # takes half the time of cv2.GaussianBlur
    if changes.color_uint8 is not None:
        cv2.transform(picture, changes.color_uint8, dst=picture)
    if changes.gamma != 1:
        cv2.LUT(picture, np.rint(255 * _GREYS**changes.gamma).astype(np.uint8), dst=picture)
    if changes.noise > 0:
        _add_noise_bytes(picture, changes.noise, changes.noise_seed)
    if changes.jpeg_quality > 0:
        _, content = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, changes.jpeg_quality))
        picture[:] = cv2.imdecode(content, cv2.IMREAD_COLOR)  # encoded with red and blue swapped, and decoded likewise


def _add_noise_bytes(picture: UInt8[np.ndarray, "H W 3"], sigma: float, seed: int) -> None:
    height, width = picture.shape[:2]
    rises, falls = _noise_bank(max(height, width))
    row, column = noise_place(seed)
    window = (noise_level(sigma), slice(row, row + height), slice(column, column + width))
    cv2.add(picture, rises[window], dst=picture)
    cv2.subtract(picture, falls[window], dst=picture)


def change_batch(
    image: Float[Tensor, "B 3 H W"], visible: Bool[Tensor, "B H W"] | None, draws: Draws
) -> tuple[Float[Tensor, "B 3 H W"], Bool[Tensor, "B H W"] | None]:
    """Apply the drawn changes of pixels, except JPEG compression.

    Returns the batch, and its hand pixels that are still visible.
    """
    if image.device.type == "cpu" and image.dtype == torch.float32:
        return _change_on_cpu(image, visible, draws)
    return change_on_device(image, visible, draws)


def change_on_device(
    image: Float[Tensor, "B 3 H W"], visible: Bool[Tensor, "B H W"] | None, draws: Draws
) -> tuple[Float[Tensor, "B 3 H W"], Bool[Tensor, "B H W"] | None]:
    """Return the same as `change_batch`, in plain torch on any device: the specification of all implementations."""
    device = image.device

    def on_device(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(device, image.dtype if values.dtype.kind == "f" else torch.int64)

    covered = _covered(on_device(draws.cover_px), image.shape[2], image.shape[3])
    image = torch.where(covered[:, None], on_device(draws.cover_color)[:, :, None, None], image)
    image = _blur(image, draws.blur_sigma_px)
    color = on_device(draws.color)
    image = torch.einsum("bij,bjhw->bihw", color[:, :, :3], image) + color[:, :, 3, None, None]
    image = image.clamp(0, 1) ** on_device(draws.gamma)[:, None, None, None]
    image = (image + _noise(draws, image.shape[2], image.shape[3]).to(device, image.dtype)).clamp(0, 1)
    return image, None if visible is None else visible & ~covered


def _change_on_cpu(
    image: Float[Tensor, "B 3 H W"], visible: Bool[Tensor, "B H W"] | None, draws: Draws
) -> tuple[Float[Tensor, "B 3 H W"], Bool[Tensor, "B H W"] | None]:
    """Return the same as `change_on_device`, picture by picture, so that each stays in the processor's cache."""
    height, width = image.shape[2:]
    out = image.detach().contiguous().clone()
    matrices, tile = draws.color.astype(np.float32), _planar_noise(max(height, width))
    for b, picture in enumerate(out.numpy()):
        x0, y0, x1, y1 = draws.cover_px[b].tolist()
        picture[:, y0:y1, x0:x1] = draws.cover_color[b][:, None, None]
        if draws.blur_sigma_px[b] > 0:
            weights = _blur_weights(draws.blur_sigma_px[b])
            for plane in picture:
                cv2.sepFilter2D(plane, -1, weights, weights, dst=plane, borderType=cv2.BORDER_REFLECT_101)
        recolor(picture, matrices[b])
        if draws.gamma[b] != 1:
            out[b].pow_(float(draws.gamma[b]))
        if draws.noise[b] > 0:
            row, column = noise_place(int(draws.noise_seed[b]))
            sigma = MAX_NOISE * (noise_level(draws.noise[b]) + 1) / NOISE_LEVELS
            add_noise(picture, tile[:, row : row + height, column : column + width], np.float32(sigma))
    if visible is None:
        return out, None
    return out, visible & ~_covered(torch.from_numpy(draws.cover_px), height, width)


def noise_level(sigma: float) -> int:
    """Return the index, from 0, of the noise level, out of `NOISE_LEVELS`, that is closest to a standard deviation."""
    return min(max(round(float(sigma) / MAX_NOISE * NOISE_LEVELS), 1), NOISE_LEVELS) - 1


def noise_place(seed: int) -> tuple[int, int]:
    """Return (row, column) of the first pixel of a picture's window into the noise tile."""
    return seed % _TILE_SLACK, seed // _TILE_SLACK % _TILE_SLACK


@lru_cache(maxsize=4)
def noise_tile(image_px: int) -> Float[np.ndarray, "H W 3"]:
    """Return a tile of standard normal numbers, somewhat larger than a crop; it is the same on every machine."""
    side = image_px + _TILE_SLACK
    u = uniforms([f"noise {row}" for row in range(side)], side * 6, 0).reshape(side, side, 3, 2)
    return np.sqrt(-2 * np.log1p(-u[..., 0])) * np.cos(2 * np.pi * u[..., 1])  # Box-Muller transform


@lru_cache(maxsize=4)
def _planar_noise(image_px: int) -> Float[np.ndarray, "3 H W"]:
    """Return the noise tile in float32, with channels first."""
    return np.ascontiguousarray(noise_tile(image_px).transpose(2, 0, 1), dtype=np.float32)


@lru_cache(maxsize=4)
def _noise_bank(image_px: int) -> tuple[UInt8[np.ndarray, "L H W 3"], UInt8[np.ndarray, "L H W 3"]]:
    """Return what each level of noise adds and subtracts, in uint8, so that OpenCV's saturating sums apply it."""
    sigmas = 255 * MAX_NOISE * np.arange(1, NOISE_LEVELS + 1) / NOISE_LEVELS
    steps = np.rint(sigmas[:, None, None, None] * noise_tile(image_px).astype(np.float32))
    return np.clip(steps, 0, 255).astype(np.uint8), np.clip(-steps, 0, 255).astype(np.uint8)


def _noise(draws: Draws, height: int, width: int) -> Float[Tensor, "B 3 H W"]:
    tile = noise_tile(max(height, width))
    out = np.zeros((len(draws), height, width, 3), np.float32)
    for b in np.flatnonzero(draws.noise > 0):
        row, column = noise_place(int(draws.noise_seed[b]))
        sigma = MAX_NOISE * (noise_level(draws.noise[b]) + 1) / NOISE_LEVELS
        out[b] = sigma * tile[row : row + height, column : column + width]
    return torch.from_numpy(out).permute(0, 3, 1, 2)


def _blur_weights(sigma_px: float) -> Float[np.ndarray, "N 1"]:
    return cv2.getGaussianKernel(2 * _blur_radius(sigma_px) + 1, sigma_px, cv2.CV_32F)


def _blur_radius(sigma_px: float) -> int:
    return max(1, round(_BLUR_REACH * float(sigma_px)))


def _covered(cover_px: Tensor, height: int, width: int) -> Bool[Tensor, "B H W"]:
    rows = torch.arange(height, device=cover_px.device)
    columns = torch.arange(width, device=cover_px.device)
    x0, y0, x1, y1 = cover_px.T[..., None]
    return ((rows >= y0) & (rows < y1))[:, :, None] & ((columns >= x0) & (columns < x1))[:, None, :]


def _blur(image: Float[Tensor, "B 3 H W"], sigma_px: Float[np.ndarray, " B"]) -> Float[Tensor, "B 3 H W"]:
    """Return the pictures, blurred by Gaussians of these sigmas (0: not blurred), with reflected borders."""
    image = image.clone()
    for b in np.flatnonzero(sigma_px > 0):
        radius = _blur_radius(sigma_px[b])
        offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
        weights = torch.softmax(-(offsets**2) / (2 * float(sigma_px[b]) ** 2), dim=0)
        padded = F.pad(image[b, :, None], (radius,) * 4, mode="reflect")
        image[b] = F.conv2d(F.conv2d(padded, weights[None, None, None]), weights[None, None, :, None])[:, 0]
    return image
