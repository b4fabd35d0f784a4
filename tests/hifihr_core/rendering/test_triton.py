"""The CUDA kernels: their logic in Triton's interpreter, and whether they compile for absent GPUs."""

import subprocess
import sys

import pytest
import torch

triton = pytest.importorskip("triton")
TRITON = tuple(int(part) for part in triton.__version__.split(".")[:2])

TWINS = """
import sys, torch
from hifihr_core.geometry.meshes import edge_adjacency
from hifihr_core.rendering import _reference, _triton
_triton.try_out(torch.device("cpu"))
scene = torch.load(sys.argv[1])
faces, around, counts = scene["faces"], edge_adjacency(scene["faces"]), []
for q, near, cull in scene["cases"]:
    ours = _triton.find_faces(q, faces, 24, 25, near, cull)
    theirs = _reference.find_faces(q.double(), faces, 24, 25, near, cull)
    assert torch.equal(ours, theirs), cull
    _, depth = _reference.surface(q, faces, theirs)
    args = (theirs, depth, around.edges, around.opposite, near)
    ours, theirs = _triton.find_crossings(q, *args), _reference.find_crossings(q.double(), *args)
    assert torch.equal(ours, theirs), cull
    counts.append(int((theirs >= 0).sum()))
values = torch.rand(1, 24, 25, 3)
q = scene["cases"][1][0]
face, _, depth = _triton.rasterize(q, faces, 24, 25, 0.01, "none")
args = (values, q, face, depth, around.edges, around.opposite, 0.01)
torch.testing.assert_close(_triton.antialias(*args), _reference.antialias(*args))
print(*counts)
"""


@pytest.mark.slow
def test_kernels_find_what_the_reference_finds(make_scene, tmp_path):
    scene = make_scene(subdivisions=1, size=24, dtype=torch.float32)
    near = scene.q + torch.tensor([0.0, 0.0, -0.45])
    cases = [(scene.q, 0.01, "none"), (scene.q[1:], 0.01, "back"), (near[1:], 0.03, "front")]
    torch.save({"faces": scene.faces, "cases": cases}, tmp_path / "scene.pt")
    done = subprocess.run(
        [sys.executable, "-c", TWINS, str(tmp_path / "scene.pt")], capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(int(count) > 20 for count in done.stdout.split()[:2])


SIGNATURES = {
    "_offer_faces": (
        "*fp32 *i32 *i64 i32 i32 i32 i32 fp32 constexpr constexpr constexpr", {"CULL": 0, "ROWS": 4, "COLS": 16}
    ),
    "_offer_edges": ("*fp32 *i32 *i32 *i32 *fp32 *i64 i32 i32 i32 i32 fp32 constexpr", {"LINES": 16}),
}  # fmt: skip


@pytest.mark.skipif(TRITON < (3, 3), reason="the compiler is called otherwise before Triton 3.3 (torch 2.7)")
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("name", SIGNATURES)
def test_kernels_compile_for_a_gpu(name, capability, tmp_path, monkeypatch):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from hifihr_core.rendering import _triton

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel, (types, constants) = getattr(_triton, name), SIGNATURES[name]
    signature = dict(zip(kernel.arg_names, types.split(), strict=True))
    source = ASTSource(kernel, signature, constexprs=constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"enable_fp_fusion": False})
    assert len(compiled.asm["cubin"]) > 1000
    assert "fma." not in compiled.asm["ptx"]  # a fused product would open gaps between neighbouring faces


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_draws_what_the_cpu_draws(make_scene):
    from hifihr_core.rendering import antialias, rasterize

    scene, results = make_scene(dtype=torch.float32), []
    for device in ("cpu", "cuda"):
        verts, K, faces = scene.verts.to(device).requires_grad_(), scene.K.to(device), scene.faces.to(device)
        out = rasterize(verts, faces, K, height=40, width=40)
        covered = antialias((out.face >= 0).float()[..., None], out, verts, faces, K)
        (grad,) = torch.autograd.grad(covered.sin().sum() + out.bary.sin().sum(), verts)
        results.append([x.detach().cpu() for x in (out.face, out.bary, covered, grad)])
    ours, theirs = results
    assert (ours[0] == theirs[0]).float().mean() > 0.9999
    for x, y in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3 * float(y.abs().max()))
