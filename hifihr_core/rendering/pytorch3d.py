"""The `pytorch3d` back end: PyTorch3D finds the visible faces; images and gradients agree with the other back ends.

PyTorch3D is imported only here and only on request; its installation is described at
https://github.com/facebookresearch/pytorch3d/blob/main/INSTALL.md
"""

from importlib.util import find_spec

import torch
from torch import Tensor

from hifihr_core.rendering import _reference
from hifihr_core.rendering.fragments import Cull


def is_available() -> bool:
    """Return whether PyTorch3D is installed and its compiled extension can be imported."""
    if find_spec("pytorch3d") is None:
        return False
    try:
        from pytorch3d import _C  # noqa: F401
    except ImportError:
        return False
    return True


def rasterize(
    q: Tensor, faces: Tensor, height: int, width: int, near_m: float, cull: Cull
) -> tuple[Tensor, Tensor, Tensor]:
    """See `_reference.rasterize`. Raises: ValueError if `cull` is "front", which PyTorch3D does not support."""
    if cull == "front":
        raise ValueError("cull is 'front', expected 'none' or 'back' with the pytorch3d back end")
    with torch.no_grad():
        face = find_faces(to_ndc(q.float(), height, width), faces.long(), height, width, near_m, cull == "back")
    bary, depth = _reference.surface(q, faces, face)
    return face, bary, depth


def find_faces(ndc: Tensor, faces: Tensor, height: int, width: int, near_m: float, cull_back: bool) -> Tensor:
    """Return the nearest face (B, H, W) of each pixel according to PyTorch3D, -1 for none."""
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    meshes = Meshes(ndc, faces.expand(ndc.shape[0], -1, -1))
    found = rasterize_meshes(
        meshes,
        image_size=(height, width),
        blur_radius=0.0,
        faces_per_pixel=1,
        bin_size=0 if ndc.device.type == "cpu" else None,
        perspective_correct=True,
        cull_backfaces=cull_back,
        z_clip_value=near_m if bool((ndc[..., 2] < near_m).any()) else None,
    )[0][..., 0]
    offset = torch.arange(ndc.shape[0], device=ndc.device)[:, None, None] * faces.shape[0]
    return torch.where(found >= 0, found - offset, -1).int()


def to_ndc(q: Tensor, height: int, width: int) -> Tensor:
    """Convert homogeneous pixels to PyTorch3D's NDC: +x left, +y up, the shorter side from -1 to 1, z kept."""
    shorter = min(height, width)
    px = q[..., :2] / q[..., 2:]
    return torch.cat([(px.new_tensor([width, height]) - 2 * px) / shorter, q[..., 2:]], dim=-1)
