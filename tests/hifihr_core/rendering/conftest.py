from dataclasses import dataclass

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import _reference
from hifihr_core.rendering.backends import get_backend
from hifihr_core.rendering.primitives import homogeneous_px


@dataclass(frozen=True)
class Scene:
    """Bumpy closed meshes that hide parts of themselves, with everything that a renderer needs."""

    verts: Tensor
    faces: Tensor
    K: Tensor
    appearance: Appearance
    light: Light
    size: int = 40

    @property
    def q(self) -> Tensor:
        return homogeneous_px(self.verts, self.K)


def bumpy(seed: int, subdivisions: int, strength: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
    verts, random = np.array(mesh.vertices), np.random.default_rng(seed)
    for _ in range(4):
        axis = random.normal(size=3)
        wave = np.sin(3 * (verts @ (axis / np.linalg.norm(axis))) + random.uniform(0, 6))
        verts = verts * (1 + strength * random.normal() * wave)[:, None]
    return verts * 0.06, np.array(mesh.faces)


@pytest.fixture
def make_scene():
    def make(seed=0, *, subdivisions=2, batch=2, size=40, dtype=torch.float64, texels=16) -> Scene:
        generator = torch.Generator().manual_seed(seed)
        meshes = [bumpy(seed * 10 + b, subdivisions) for b in range(batch)]
        faces = torch.tensor(meshes[0][1])
        verts = torch.tensor(np.stack([m[0] for m in meshes])).to(dtype)
        verts = verts + torch.tensor([0.002, -0.003, 0.5], dtype=dtype)
        K = torch.tensor([[3.9 * size, 0.3, size / 2 + 0.3], [0, 4.1 * size, size / 2 - 0.4], [0, 0, 1]], dtype=dtype)

        def random(*shape):
            return torch.rand(shape, generator=generator, dtype=dtype)

        direction = torch.nn.functional.normalize(random(batch, 3) - torch.tensor([0.5, 0.5, 1.5], dtype=dtype), dim=-1)
        appearance = Appearance(random(batch, 3, texels, texels), random(verts.shape[1], 2) * 0.98 + 0.01, faces)
        light = Light(random(batch, 3) * 0.5, random(batch, 3), direction)
        return Scene(verts, faces, K.expand(batch, 3, 3).clone(), appearance, light, size)

    return make


@pytest.fixture
def native():
    return get_backend("native", torch.device("cpu"))


@pytest.fixture
def assert_twins():
    """Compare a function of (back end, *tensors) between native and reference: values and gradients."""

    def compare(function, native, *inputs, tolerance=1e-9):
        results = []
        for backend in (native, _reference):
            leaves = [x.detach().clone().requires_grad_() for x in inputs]
            outputs = function(backend, *leaves)
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            generator = torch.Generator().manual_seed(1)
            loss = 0
            for out in outputs:
                weight = torch.randn(out.shape, generator=generator, dtype=out.dtype)
                loss = loss + (weight * out.where(torch.isfinite(out), torch.zeros_like(out))).sum()
            results.append((outputs, torch.autograd.grad(loss, leaves)))
        (values, grads), (twin_values, twin_grads) = results
        for value, twin in zip(values, twin_values, strict=True):
            torch.testing.assert_close(value, twin, rtol=tolerance, atol=tolerance)
        for grad, twin in zip(grads, twin_grads, strict=True):
            assert twin.abs().max() > 0
            torch.testing.assert_close(grad, twin, rtol=tolerance, atol=tolerance * float(twin.abs().max()))

    return compare
