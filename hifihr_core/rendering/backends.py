"""Select the implementation: a table of back ends with the same six functions each.

`native` is compiled (numba on the CPU, Triton on CUDA), `reference` is the plain-torch specification, `pytorch3d` is
`native` with PyTorch3D's rasteriser, and `auto` is `native`.
"""

import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from hifihr_core.errors import DeviceError
from hifihr_core.rendering import _reference

BackendName = Literal["auto", "native", "reference", "pytorch3d"]


@dataclass(frozen=True)
class Backend:
    """One implementation of the primitives; each function has the same interface as its namesake in `_reference`."""

    name: str
    rasterize: Callable[..., tuple[Tensor, Tensor, Tensor]] = _reference.rasterize
    interpolate: Callable[..., Tensor] = _reference.interpolate
    sample_texture: Callable[..., Tensor] = _reference.sample_texture
    shade: Callable[..., Tensor] = _reference.shade
    antialias: Callable[..., Tensor] = _reference.antialias
    open_sky: Callable[..., Tensor] = _reference.open_sky


def get_backend(name: str, device: torch.device) -> Backend:
    """Return the back end called `name` for tensors on `device`.

    On a device without compiled kernels, this is `reference`, and a single warning states the reason. Raises:
    ValueError for an unknown name, DeviceError if `pytorch3d` is requested but cannot be imported.
    """
    if name not in _BACKENDS:
        raise ValueError(f"backend is {name!r}, expected one of {', '.join(_BACKENDS)}")
    return _BACKENDS[name](device.type)


@cache
def _native(device_type: str) -> Backend:
    if device_type == "cpu":
        from hifihr_core.rendering._numba import functions

        return Backend(
            "native",
            functions.rasterize,
            functions.interpolate,
            functions.sample_texture,
            functions.shade,
            functions.antialias,
            functions.open_sky,
        )
    if device_type == "cuda":
        try:
            from hifihr_core.rendering import _triton

            _triton.try_out(torch.device(device_type))
        except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            return _stand_in(device_type, f"Triton does not run ({type(error).__name__}: {error})")
        return Backend("native", rasterize=_triton.rasterize, antialias=_triton.antialias)
    return _stand_in(device_type, "there are no compiled kernels for this device")


def _stand_in(device_type: str, reason: str) -> Backend:
    warnings.warn(
        f"rendering on {device_type} uses the slow plain-torch reference: {reason}", RuntimeWarning, stacklevel=4
    )
    return Backend("reference")


def _reference_backend(device_type: str) -> Backend:
    return Backend("reference")


@cache
def _pytorch3d(device_type: str) -> Backend:
    from hifihr_core.rendering import pytorch3d as adapter

    if not adapter.is_available():
        raise DeviceError(
            "backend pytorch3d: PyTorch3D cannot be imported; set render.backend to native, or install PyTorch3D: "
            "https://github.com/facebookresearch/pytorch3d/blob/main/INSTALL.md"
        )
    native = _native(device_type)
    return replace(native, name="pytorch3d", rasterize=adapter.rasterize)


_BACKENDS: dict[str, Callable[[str], Backend]] = {
    "auto": _native,
    "native": _native,
    "reference": _reference_backend,
    "pytorch3d": _pytorch3d,
}
