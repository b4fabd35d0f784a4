"""Checks of the renderer's arguments; kernels check nothing themselves, and rely on these."""

import math

import torch
from torch import Tensor


def check_size(height: int, width: int) -> None:
    """Raise ValueError unless an image of this size has at least one pixel."""
    if height < 1 or width < 1:
        raise ValueError(f"image is {height} x {width}, expected at least 1 x 1 pixels")


def check_faces(faces: Tensor, num_vertices: int, name: str = "faces") -> None:
    """Raise ValueError unless `faces` (F, 3) contains valid vertex indices. On a GPU this waits for the device."""
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.shape[0] == 0 or faces.dtype.is_floating_point:
        raise ValueError(
            f"{name} has shape {tuple(faces.shape)} and type {faces.dtype}, "
            "expected integers of shape (F, 3) with at least one face"
        )
    low, high = (int(x) for x in faces.aminmax())
    if low < 0 or high >= num_vertices:
        row = int(((faces < 0) | (faces >= num_vertices)).any(dim=1).nonzero()[0])
        raise ValueError(f"{name}[{row}] = {faces[row].tolist()}, expected indices from 0 to {num_vertices - 1}")


def check_batches(**tensors: Tensor) -> None:
    """Raise ValueError unless all tensors have the same batch size and device."""
    first, *others = tensors
    for name in others:
        if tensors[name].shape[0] != tensors[first].shape[0]:
            raise ValueError(
                f"{name} has batch size {tensors[name].shape[0]}, expected that of {first}, {tensors[first].shape[0]}"
            )
        if tensors[name].device != tensors[first].device:
            raise ValueError(
                f"{name} is on {tensors[name].device}, expected the device of {first}, {tensors[first].device}"
            )


def check_geometry(verts_cam: Tensor, K: Tensor, q: Tensor, near_m: float) -> None:
    """Raise ValueError unless vertices and cameras are finite, and focal lengths and near plane positive."""
    if not 0 < near_m < math.inf:
        raise ValueError(f"near_m is {near_m}, expected a positive distance in metres")
    focal = K.detach().diagonal(dim1=1, dim2=2)[:, :2]
    # A single query to the device: q = K p is finite only if K and p are, and a sum only if its terms are. Zero times a
    # finite sum is 0, otherwise NaN.
    if bool(((q.detach().sum() * 0 == 0) & (focal > 0).all()).item()):
        return
    for name, tensor in (("verts_cam", verts_cam), ("K", K)):
        bad = (~torch.isfinite(tensor)).nonzero()
        if len(bad):
            place = tuple(bad[0].tolist())
            raise ValueError(f"{name}{list(place)} = {tensor[place].item()}, expected finite numbers")
    if bool((focal <= 0).any()):
        image = int((focal <= 0).any(dim=1).nonzero()[0])
        raise ValueError(f"K[{image}] has focal lengths {focal[image].tolist()}, expected positive numbers (pixels)")
    if not bool(torch.isfinite(q).all()):
        raise ValueError("the product of verts_cam and K overflows, expected verts_cam in metres and K in pixels")
