"""Decode pictures and masks as stored in shards to the pixels of crops, in a CPU worker or on the training device."""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from hifihr_core.errors import DataError
from hifihr_core.geometry.crops import ANTIALIAS_BELOW, image_scales, opencv_matrices, warp_image
from hifihr_core.sample_batches import EncodedPicture
from hifihr_core.samples import Sample
from hifihr_core.shards.pictures import picture_size

_JPEG_START = b"\xff\xd8"

#: What is decoded: only the key, picture and mask matter here.
Encoded = EncodedPicture | Sample


def sample_size(sample: Encoded, *, what: Literal["picture", "mask"] = "picture") -> tuple[int, int]:
    """Return (width, height) of a picture or mask from its header. Raises: DataError if the bytes are not a picture."""
    content = sample.image if what == "picture" else sample.mask or b""
    try:
        return picture_size(content)
    except DataError as error:
        found = f"{error}".replace("the picture", f"the {what}")
        raise DataError(
            f"{sample.key}: {found} ({len(content):,} bytes); check the shards with `hifihr shards verify`"
        ) from error


def decode_picture(sample: Encoded) -> UInt8[np.ndarray, "H W 3"]:
    """Decode a picture of any format to RGB. Raises: DataError if the bytes are not a picture."""
    return cv2.cvtColor(_decode(sample, sample.image, cv2.IMREAD_COLOR, "picture"), cv2.COLOR_BGR2RGB)


def decode_mask(sample: Encoded, *, height: int, width: int) -> UInt8[np.ndarray, "H W"]:
    """Decode a mask to 0 and 255 at the size of its picture; values above 127 become 255, since JPEG adds noise.

    Raises: DataError if the bytes are not a picture, ValueError if the sample has no mask.
    """
    if sample.mask is None:
        raise ValueError(f"{sample.key}: found no mask, expected a sample with one")
    mask = _decode(sample, sample.mask, cv2.IMREAD_GRAYSCALE, "mask")
    if mask.shape != (height, width):
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    return cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY, dst=mask)[1]


def _decode(
    sample: Encoded, content: bytes, flags: int, what: Literal["picture", "mask"]
) -> UInt8[np.ndarray, "H W *C"]:
    sample_size(sample, what=what)  # rejects oversized pictures before decoding
    try:
        # K and labels refer to the stored pixels.
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise DataError(
            f"{sample.key}: the {what} cannot be decoded ({len(content):,} bytes), expected a complete JPEG or PNG; "
            "check the shards with `hifihr shards verify`"
        )
    return pixels


@dataclass(frozen=True)
class Warps:
    """How to warp whole pictures to the crops of a batch: pixel transforms, also as OpenCV's matrices, and scales."""

    T_new_old: Float[np.ndarray, "B 3 3"]
    matrices: tuple[Float[np.ndarray, "2 3"], ...]
    scales: tuple[float, ...]

    @classmethod
    def of(cls, T_new_old: Float[np.ndarray, "B 3 3"]) -> "Warps":
        """Return the warps for the transforms from pixels of pictures to those of their crops."""
        return cls(T_new_old, tuple(opencv_matrices(T_new_old)), tuple(image_scales(T_new_old).tolist()))


def _decoding_factor(content: bytes, scale: float) -> int:
    """Return by how much a picture can be downscaled in decoding without loss of detail in the crop: 1, 2, 4 or 8."""
    if scale > 0.5 or not content.startswith(_JPEG_START):
        return 1
    return next((factor for factor in (8, 4, 2) if scale * factor <= 1), 1)


def _shrink(picture: UInt8[np.ndarray, "H W *C"], factor: int) -> UInt8[np.ndarray, "h w *C"]:
    """Average a picture over squares of `factor` x `factor` pixels, as a JPEG decoder does; its border is repeated."""
    if factor == 1:
        return picture
    height, width = (-(-length // factor) for length in picture.shape[:2])
    below, right = factor * height - picture.shape[0], factor * width - picture.shape[1]
    whole = cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)


def _decode_into(sample: Encoded, out: UInt8[np.ndarray, "H W C"], factor: int = 1) -> None:
    """Decode a picture into `out`, which has three (RGB) or four channels (the last is ignored).

    The size of `out` is that of the picture divided by `factor`, rounded up; `factor` is 1 or, for a JPEG, 2, 4 or 8.
    JPEGs are decoded directly into `out`; other formats, and rare JPEGs that cannot be converted to RGB, are decoded
    with OpenCV. For JPEGs, both ways use libjpeg-turbo and give the same pixels.
    Raises: DataError if the bytes are not a picture, or not of the size in their header.
    """
    order = "RGB" if out.shape[2] == 3 else "RGBX"
    if sample.image.startswith(_JPEG_START):
        try:
            height, width = out.shape[:2]
            simplejpeg.decode_jpeg(sample.image, order, min_height=height, min_width=width, buffer=out, strict=False)
            return
        except ValueError:
            pass  # OpenCV may be able to read it; if not, it raises an error
    whole = decode_picture(sample)
    picture = _shrink(whole, factor)
    if picture.shape[:2] != out.shape[:2]:
        width, height = sample_size(sample)
        raise DataError(
            f"{sample.key}: the picture is {whole.shape[1]} x {whole.shape[0]}, but its header says "
            f"{width} x {height}; check the shards with `hifihr shards verify`"
        )
    out[..., :3] = picture


def _cached_bytes(size: int) -> UInt8[np.ndarray, " N"]:
    """Return a buffer for a decoded picture that is read immediately; it is deliberately not aligned in memory.

    libjpeg-turbo writes aligned rows to memory past the processor's cache, and reading them would be slow.
    """
    memory = np.empty(size + 68, np.uint8)
    first = 4 - memory.ctypes.data % 64
    return memory[first % 64 :][:size]


class _Scratch(threading.local):
    """Memory that each thread reuses for painting, so that it stays in the processor's cache."""

    def __init__(self) -> None:
        self._buffers: dict[str, np.ndarray] = {}
        self._arrays: dict[str, np.ndarray] = {}

    def array(self, name: str, shape: tuple[int, int, int]) -> UInt8[np.ndarray, "H W C"]:
        """Return an uninitialised array for temporary use."""
        found = self._arrays.get(name)
        if found is None or found.shape != shape:
            size = math.prod(shape)
            if name not in self._buffers or self._buffers[name].size < size:
                self._buffers[name] = _cached_bytes(size)
            found = self._arrays[name] = self._buffers[name][:size].reshape(shape)
        return found


_scratch = _Scratch()


def scratch_picture(side: int) -> UInt8[np.ndarray, "H W 3"]:
    """Return this thread's memory for one crop; the thread's next crop overwrites it."""
    return _scratch.array("picture", (side, side, 3))


def paint_crop(
    sample: Encoded,
    size: tuple[int, int],
    warps: Warps | None,
    b: int,
    out: UInt8[np.ndarray, "H W 3"],
    visible: UInt8[np.ndarray, "H W"] | None,
) -> None:
    """Decode a sample, and write its crop to `out` (RGB) and the crop of its mask, 0 or 1, to `visible`.

    `size` is (width, height) of the picture, and b the index of its warp in `warps`; without warps, the crop is the
    whole picture. The mask is warped with the picture, as a fourth channel (OpenCV warps four channels faster than
    three). Without a mask, nothing is written to `visible`. Raises: DataError if picture or mask cannot be decoded.
    """
    width, height = size
    mask = None if sample.mask is None else decode_mask(sample, height=height, width=width)
    if warps is None:
        _decode_into(sample, out)
    else:
        crop = _scratch.array("crop", (*out.shape[:2], 4))
        _warp_layers(sample, size, mask, warps, b, crop)
        cv2.cvtColor(crop, cv2.COLOR_RGBA2RGB, dst=out)
        mask = None if mask is None else cv2.extractChannel(crop, 3)
    if mask is not None:
        assert visible is not None
        cv2.threshold(mask, 127, 1, cv2.THRESH_BINARY, dst=visible)


def _warp_layers(
    sample: Encoded,
    size: tuple[int, int],
    mask: UInt8[np.ndarray, "H W"] | None,
    warps: Warps,
    b: int,
    crop: UInt8[np.ndarray, "h w 4"],
) -> None:
    """Decode a picture, and warp it to `crop` together with its mask, which becomes the fourth channel.

    A JPEG that the crop shows at half its size or less is downscaled in decoding: this is faster, and avoids aliasing.
    """
    (width, height), scale = size, warps.scales[b]
    factor = _decoding_factor(sample.image, scale)
    width, height = -(-width // factor), -(-height // factor)
    layers = _scratch.array("layers", (height, width, 4))
    _decode_into(sample, layers, factor)
    if mask is not None:
        cv2.insertChannel(mask if factor == 1 else _shrink(mask, factor), layers, 3)
    if factor == 1 and scale >= ANTIALIAS_BELOW:
        cv2.warpAffine(layers, warps.matrices[b], (crop.shape[1], crop.shape[0]), crop, cv2.INTER_LINEAR)
    else:
        T_new_old = warps.T_new_old[b] @ np.diag([factor, factor, 1.0])
        warp_image(layers, T_new_old, width=crop.shape[1], height=crop.shape[0], out=crop)


def decode_on(
    device: torch.device, samples: Sequence[Encoded], *, what: Literal["picture", "mask"] = "picture"
) -> list[UInt8[Tensor, "C _ _"]]:
    """Decode the pictures (RGB) or masks (one channel) of samples to tensors on a device; sizes may differ.

    On CUDA, all JPEGs are decoded in one nvJPEG call; other formats are decoded on the CPU and copied.
    Raises: DataError if the bytes are not a picture; RuntimeError if nvJPEG fails.
    """
    contents = [sample.image if what == "picture" else sample.mask or b"" for sample in samples]
    fast = [i for i, content in enumerate(contents) if device.type == "cuda" and content.startswith(_JPEG_START)]
    decoded = dict(zip(fast, _decode_cuda([contents[i] for i in fast], device, what), strict=True))
    return [decoded[i] if i in decoded else _decode_cpu(sample, what).to(device) for i, sample in enumerate(samples)]


def _decode_cpu(sample: Encoded, what: str) -> UInt8[Tensor, "C _ _"]:
    if what == "picture":
        return torch.from_numpy(decode_picture(sample)).permute(2, 0, 1)
    return torch.from_numpy(_decode(sample, sample.mask or b"", cv2.IMREAD_GRAYSCALE, "mask"))[None]


def _decode_cuda(contents: Sequence[bytes], device: torch.device, what: str) -> list[UInt8[Tensor, "C _ _"]]:
    mode = ImageReadMode.RGB if what == "picture" else ImageReadMode.GRAY
    encoded = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in contents]
    return decode_jpeg(encoded, mode=mode, device=device) if encoded else []


def warp_on_device(
    pictures: Sequence[UInt8[Tensor, "C _ _"]], T_new_old: Float[Tensor, "B 3 3"], *, image_px: int
) -> Float[Tensor, "B C H W"]:
    """Return crops in [0, 1], computed on the device of the pictures: bilinear, and black beyond their borders.

    This is `crops.warp_image` without its area averaging, which matters if a picture shrinks by more than a quarter:
    store pictures close to the network's input size, as `hifihr prepare` does.
    """
    T_old_new = torch.linalg.inv(T_new_old)
    centers = torch.arange(image_px, device=T_new_old.device, dtype=T_new_old.dtype) + 0.5
    v, u = torch.meshgrid(centers, centers, indexing="ij")
    new_px = torch.stack((u, v, torch.ones_like(u)), dim=-1).reshape(1, -1, 3)
    old_px = (new_px @ T_old_new.mT)[..., :2].reshape(-1, image_px, image_px, 2)
    groups: dict[tuple[int, ...], list[int]] = {}
    for b, picture in enumerate(pictures):
        groups.setdefault(tuple(picture.shape), []).append(b)
    out = old_px.new_zeros((len(pictures), pictures[0].shape[0], image_px, image_px))
    for (_, height, width), members in groups.items():
        sources = torch.stack([pictures[b] for b in members]).to(old_px.dtype) / 255
        grid = old_px[members] / old_px.new_tensor((width / 2, height / 2)) - 1
        out[members] = F.grid_sample(sources, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return out


def binarize(mask: Float[Tensor, "B 1 H W"]) -> Bool[Tensor, "B H W"]:
    """Return where a warped mask is at least one half."""
    return mask[:, 0] >= 0.5
