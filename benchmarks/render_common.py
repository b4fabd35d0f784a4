"""Shared by the benchmarks of the renderer: hands to render, timers and options."""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import trimesh
from torch import Tensor
from torch.nn import functional

from hifihr_core.hands import load_hand
from hifihr_core.records import Appearance, Light

FOCAL, DISTANCE_M = 640.0, 0.6


@dataclass(frozen=True)
class Scene:
    """Posed hands in front of a camera of 224 x 224 pixels."""

    name: str
    verts: Tensor
    faces: Tensor
    K: Tensor
    appearance: Appearance | None
    light: Light


def scene(name: str, batch: int, *, seed: int = 0, image_px: int = 224, device: str = "cpu") -> Scene:
    """Return `anny`, or `mano` (needs HIFIHR_TEST_MANO), with random poses; `-fine` has four times the faces."""
    model = load_hand("anny") if name.startswith("anny") else _mano()
    hand = model(model.sample_parameters(batch, generator=torch.Generator().manual_seed(seed)))
    verts, faces, appearance = hand.vertices.detach(), model.faces, hand.appearance
    if name.endswith("-fine"):
        fine = [trimesh.remesh.subdivide(v.double().numpy(), faces.numpy()) for v in verts]
        verts, faces, appearance = torch.tensor([v.tolist() for v, _ in fine]), torch.tensor(fine[0][1]), None
    direction = functional.normalize(torch.tensor([[0.3, -0.4, -0.8]]), dim=-1).repeat(batch, 1)
    light = Light(torch.full((batch, 3), 0.4), torch.full((batch, 3), 0.6), direction)
    scale = image_px / 224
    K = torch.tensor([[FOCAL * scale, 0, image_px / 2], [0, FOCAL * scale, image_px / 2], [0, 0, 1]])
    placed = verts - verts.mean(dim=1, keepdim=True) + torch.tensor([0, 0, DISTANCE_M])
    moved = [x.to(device) for x in (placed, faces, K.repeat(batch, 1, 1))]
    light = Light(*(x.to(device) for x in (light.ambient, light.color, light.direction)))
    if appearance is not None:
        parts = (appearance.albedo.detach(), appearance.uvs, appearance.faces_uvs)
        appearance = Appearance(*(x if x is None else x.to(device) for x in parts))
    return Scene(name, *moved, appearance, light)


def _mano():
    from hifihr_core.hands.mano.convert import convert_mano

    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "mano.npz"
        convert_mano(Path(os.environ["HIFIHR_TEST_MANO"]), converted)
        return load_hand("mano", path=converted)


def fastest(work: Callable[[], object], *, repeats: int = 20, synchronize: Callable[[], None] | None = None) -> dict:
    """Return the smallest wall-clock and processor times of several runs after a warm-up, seconds."""
    work()
    walls, cpus = [], []
    for _ in range(repeats):
        if synchronize:
            synchronize()
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        if synchronize:
            synchronize()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"wall_s": min(walls), "cpu_s": min(cpus), "median_wall_s": sorted(walls)[len(walls) // 2]}


def arguments(description: str) -> argparse.ArgumentParser:
    """Return the parser that these benchmarks extend."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--threads", type=int, default=2)
    return parser
