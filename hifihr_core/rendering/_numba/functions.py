"""The kernels as differentiable functions of torch tensors on the CPU."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hifihr_core.rendering._numba import attributes, lighting, openness, outline, raster
from hifihr_core.rendering._numba.threads import bands, partial_bands, run
from hifihr_core.rendering.fragments import Cull, Material

_CULL = {"none": raster.KEEP, "back": raster.CULL_BACK, "front": raster.CULL_FRONT}
_HIGHLIGHT = {"blinn_phong": lighting.BLINN_PHONG, "phong": lighting.PHONG}


def rasterize(
    q: Tensor, faces: Tensor, height: int, width: int, near_m: float, cull: Cull
) -> tuple[Tensor, Tensor, Tensor]:
    """See `_reference.rasterize`."""
    return _Rasterize.apply(q, _indices(faces), height, width, near_m, cull)


def interpolate(values: Tensor, faces: Tensor, face: Tensor, bary: Tensor, unit: bool) -> Tensor:
    """See `_reference.interpolate`."""
    return _Interpolate.apply(values, _indices(faces), face, bary, unit)


def sample_texture(texture: Tensor, uv: Tensor, face: Tensor) -> Tensor:
    """See `_reference.sample_texture`."""
    return _SampleTexture.apply(texture, uv, face)


def shade(
    albedo: Tensor,
    normals: Tensor,
    face: Tensor,
    K: Tensor,
    light: Tensor,
    material: Material,
    linear: bool,
    reach: Tensor | None = None,
) -> Tensor:
    """See `_reference.shade`; no gradient reaches `reach`."""
    return _Shade.apply(albedo, normals, face, K, light, material, linear, reach)


def open_sky(points: Tensor, normals: Tensor, areas: Tensor) -> Tensor:
    """See `_reference.open_sky`; computed in float32, without a gradient."""
    out = torch.empty(areas.shape, dtype=torch.float32)
    points_, normals_, areas_ = (_array(x, torch.float32) for x in (points.mT, normals.mT, areas))
    out_ = out.numpy()
    run(lambda b: openness.open_sky(points_[b], normals_[b], areas_[b], out_[b]), [(b,) for b in range(len(out_))])
    return out.to(points.dtype)


def antialias(
    values: Tensor, q: Tensor, face: Tensor, depth: Tensor, edges: Tensor, opposite: Tensor, near_m: float
) -> Tensor:
    """See `_reference.antialias`."""
    return _Antialias.apply(values, q, face, depth, _indices(edges), _indices(opposite), near_m)


def _indices(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.int32).contiguous()


def _array(tensor: Tensor, dtype: torch.dtype | None = None) -> np.ndarray:
    return tensor.detach().to(dtype or tensor.dtype).contiguous().numpy()


def _partials(tasks: list[tuple[int, int, int, int]], batch: int, *shape: int) -> np.ndarray:
    return np.zeros((batch, len(tasks) // max(batch, 1), *shape))


def _summed(partials: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(partials.sum(axis=1)).to(like.dtype)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, faces: Tensor, height: int, width: int, near_m: float, cull: Cull
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch = q.shape[0]
        face = torch.empty((batch, height, width), dtype=torch.int32)
        bary, depth = q.new_empty((batch, height, width, 3)), q.new_empty((batch, height, width))
        q_, faces_, face_, bary_, depth_ = _array(q, torch.float64), *map(_array, (faces, face, bary, depth))
        args = (near_m, _CULL[cull])

        def work(b: int, first: int, end: int) -> None:
            raster.find_faces(q_[b], faces_, *args, first, end, face_[b], bary_[b], depth_[b])

        run(work, bands(batch, height))
        ctx.mark_non_differentiable(face)
        ctx.save_for_backward(q, faces, face, bary)
        return face, bary, depth

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor, grad_bary: Tensor, grad_depth: Tensor) -> tuple[Tensor | None, ...]:
        q, faces, face, bary = ctx.saved_tensors
        tasks = partial_bands(*face.shape[:2])
        grad = _partials(tasks, *q.shape)
        q_, faces_, face_, bary_ = _array(q, torch.float64), *map(_array, (faces, face, bary))
        grad_bary_, grad_depth_ = _array(grad_bary), _array(grad_depth)

        def work(b: int, part: int, first: int, end: int) -> None:
            raster.surface_backward(
                q_[b], faces_, face_[b], bary_[b], grad_bary_[b], grad_depth_[b], first, end, grad[b, part]
            )

        run(work, tasks)
        return _summed(grad, q), None, None, None, None, None


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, faces: Tensor, face: Tensor, bary: Tensor, unit: bool) -> Tensor:
        out = bary.new_empty((*face.shape, values.shape[-1]))
        values_, faces_, face_, bary_, out_ = map(_array, (values, faces, face, bary, out))

        def work(b: int, first: int, end: int) -> None:
            attributes.interpolate(values_[b % len(values_)], faces_, face_[b], bary_[b], unit, first, end, out_[b])

        run(work, bands(*face.shape[:2]))
        ctx.save_for_backward(values, faces, face, bary)
        ctx.unit = unit
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        values, faces, face, bary = ctx.saved_tensors
        tasks, batch = partial_bands(*face.shape[:2]), face.shape[0]
        grad, grad_bary = _partials(tasks, batch, *values.shape[1:]), bary.new_empty(bary.shape)
        values_, faces_, face_, bary_, grad_out_, grad_bary_ = map(
            _array, (values, faces, face, bary, grad_out, grad_bary)
        )

        def work(b: int, part: int, first: int, end: int) -> None:
            attributes.interpolate_backward(
                values_[b % len(values_)], faces_, face_[b], bary_[b], ctx.unit, grad_out_[b], first, end,
                grad[b, part], grad_bary_[b],
            )  # fmt: skip

        run(work, tasks)
        grad_values = _summed(grad, values)
        if values.shape[0] != batch:
            grad_values = grad_values.sum(dim=0, keepdim=True)
        return grad_values, None, None, grad_bary, None


class _SampleTexture(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, texture: Tensor, uv: Tensor, face: Tensor) -> Tensor:
        out = uv.new_empty((*face.shape, texture.shape[1]))
        texture_, uv_, face_, out_ = map(_array, (texture, uv, face, out))

        def work(b: int, first: int, end: int) -> None:
            attributes.sample(texture_[b], uv_[b], face_[b], first, end, out_[b])

        run(work, bands(*face.shape[:2]))
        ctx.save_for_backward(texture, uv, face)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        texture, uv, face = ctx.saved_tensors
        grad_texture, grad_uv = texture.new_empty(texture.shape), uv.new_empty(uv.shape)
        texture_, uv_, face_, grad_out_ = map(_array, (texture, uv, face, grad_out))
        grad_texture_, grad_uv_ = _array(grad_texture), _array(grad_uv)

        def work(b: int) -> None:
            grad_texture_[b] = 0
            attributes.sample_backward(
                texture_[b], uv_[b], face_[b], grad_out_[b], 0, face_.shape[1], grad_texture_[b], grad_uv_[b]
            )

        run(work, [(b,) for b in range(face.shape[0])])
        return grad_texture, grad_uv, None


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        albedo: Tensor,
        normals: Tensor,
        face: Tensor,
        K: Tensor,
        light: Tensor,
        material: Material,
        linear: bool,
        reach: Tensor | None,
    ) -> Tensor:
        out = albedo.new_empty(albedo.shape)
        ctx.reach = albedo.new_empty((len(albedo), 0, 0, 2)) if reach is None else reach.detach()
        ctx.scalars = (
            np.array([material.ambient, material.diffuse, material.specular, material.shininess]),
            _HIGHLIGHT[material.highlight],
            linear,
            material.white_highlight,
        )
        inverse_ = _array(torch.linalg.inv(K.detach().double()))
        albedo_, normals_, face_, light_, reach_, out_ = map(_array, (albedo, normals, face, light, ctx.reach, out))

        def work(b: int, first: int, end: int) -> None:
            lighting.shade(
                albedo_[b], normals_[b], face_[b], inverse_[b], light_[b], *ctx.scalars, reach_[b], first, end, out_[b]
            )

        run(work, bands(*face.shape[:2]))
        ctx.save_for_backward(albedo, normals, face, K, light)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        albedo, normals, face, K, light = ctx.saved_tensors
        tasks = partial_bands(*face.shape[:2])
        grad = _partials(tasks, *light.shape)
        grad_albedo, grad_normals = (x.new_empty(x.shape) for x in (albedo, normals))
        inverse_ = _array(torch.linalg.inv(K.detach().double()))
        albedo_, normals_, face_, light_ = map(_array, (albedo, normals, face, light))
        reach_, grad_out_ = _array(ctx.reach), _array(grad_out)
        grad_albedo_, grad_normals_ = _array(grad_albedo), _array(grad_normals)

        def work(b: int, part: int, first: int, end: int) -> None:
            lighting.shade_backward(
                albedo_[b], normals_[b], face_[b], inverse_[b], light_[b], *ctx.scalars, reach_[b], grad_out_[b],
                first, end, grad_albedo_[b], grad_normals_[b], grad[b, part],
            )  # fmt: skip

        run(work, tasks)
        return grad_albedo, grad_normals, None, None, _summed(grad, light), None, None, None


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, q: Tensor, face: Tensor, depth: Tensor, edges: Tensor, opposite: Tensor, near_m: float
    ) -> Tensor:
        batch, height, width = face.shape
        edge = torch.empty((batch, 2, height, width), dtype=torch.int32)
        at = torch.empty((batch, 2, height, width), dtype=torch.float64)
        out = values.new_empty(values.shape)
        q_, values_, face_, depth_ = _array(q, torch.float64), *map(_array, (values, face, depth))
        edges_, opposite_, edge_, at_, out_ = map(_array, (edges, opposite, edge, at, out))

        def find(b: int) -> None:
            outline.find_crossings(
                q_[b], edges_, opposite_, face_[b], depth_[b], near_m, edge_[b], at_[b], np.empty(edge_.shape[1:])
            )

        def blend(b: int, first: int, end: int) -> None:
            outline.blend(values_[b], edge_[b], at_[b], first, end, out_[b])

        run(find, [(b,) for b in range(batch)])
        run(blend, bands(batch, height))
        ctx.save_for_backward(values, q, edges, edge, at)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        values, q, edges, edge, at = ctx.saved_tensors
        tasks = partial_bands(values.shape[0], values.shape[1])
        grad = _partials(tasks, *q.shape)
        grad_values = values.new_empty(values.shape)
        q_, values_, edges_, edge_, at_ = _array(q, torch.float64), *map(_array, (values, edges, edge, at))
        grad_out_, grad_values_ = _array(grad_out), _array(grad_values)

        def work(b: int, part: int, first: int, end: int) -> None:
            outline.blend_backward(
                values_[b], edge_[b], at_[b], edges_, q_[b], grad_out_[b], first, end, grad_values_[b], grad[b, part]
            )

        run(work, tasks)
        return grad_values, _summed(grad, q), None, None, None, None, None
