"""Claim: MANO forward and backward, batch 32, takes at most 0.6 of smplx's time, and gives the same hands.

Usage: python benchmarks/mano_layer.py MANO_RIGHT.pkl [--threads 2] [--rounds 100] [--json FILE]

smplx is compared if it is installed (it is not a dependency, and its licence is not free); without it only our time and
that of the bare products (blend shapes and skinning, forward and backward) are reported. Every round times each in
turn, so that ratios hold on a busy machine; the median of the rounds' ratios counts. Processor time is also given: on a
shared machine it is the fairer figure.
"""

import argparse
import importlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from reporting import report

from hifihr_core.hands import HandParameters
from hifihr_core.hands.mano.arrays import PARENTS, ManoData
from hifihr_core.hands.mano.convert import read_mano
from hifihr_core.hands.mano.model import Mano

BATCH = 32
#: Those of our 21 joints that are joints of the chain, and MANO's index of each.
PLACES = (0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19)
CHAIN = (0, 13, 14, 15, 1, 2, 3, 4, 5, 6, 10, 11, 12, 7, 8, 9)

Layer = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def draw(seed: int, batch: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Return rotation, pose and shape of a batch, ready for gradients."""
    generator = torch.Generator().manual_seed(seed)
    sizes = ((3, 1.0), (45, 0.5), (10, 1.5))
    draws = [scale * torch.randn(batch, size, generator=generator) for size, scale in sizes]
    return [tensor.to(dtype).requires_grad_() for tensor in draws]


def our_layer(data: ManoData, dtype: torch.dtype) -> Layer:
    """Return our MANO, uncentred, with chain joints: what smplx computes."""
    model = Mano(data, joints="ho3d", centred=False, dtype=dtype)

    def pose(orient: torch.Tensor, hand: torch.Tensor, betas: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        posed = model(HandParameters(orient, hand, betas))
        return posed.vertices, posed.joints

    return pose


def smplx_layer(data: ManoData, dtype: torch.dtype) -> Layer | None:
    """Return smplx's MANO with the same numbers, or None if smplx is not installed."""
    try:
        smplx, utils = importlib.import_module("smplx"), importlib.import_module("smplx.utils")
    except ImportError:
        return None
    content = utils.Struct(
        v_template=data.template,
        f=data.faces,
        shapedirs=data.shape_basis,
        posedirs=data.pose_basis,
        J_regressor=data.joint_regressor,
        weights=data.weights,
        kintree_table=np.array([PARENTS, range(16)]),
        hands_mean=data.hands_mean,
        hands_components=data.components,
    )
    options = {"use_pca": False, "flat_hand_mean": False, "num_betas": 10, "create_transl": False}
    with tempfile.TemporaryDirectory() as folder:
        model = smplx.MANO(model_path=folder, data_struct=content, dtype=dtype, batch_size=BATCH, **options)

    def pose(orient: torch.Tensor, hand: torch.Tensor, betas: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        posed = model(global_orient=orient, hand_pose=hand, betas=betas, return_verts=True)
        return posed.vertices, posed.joints

    return pose


def bare_products(data: ManoData) -> Callable[[], None]:
    """Return the products that every implementation needs: blend shapes and skinning, forward and backward."""
    basis = torch.randn(145, 3 * 778)
    weights = torch.from_numpy(data.weights.T.copy()).float()
    coefficients, motions, grad = torch.randn(BATCH, 145), torch.randn(BATCH, 12, 16), torch.randn(BATCH, 12, 778)

    def run() -> None:
        rest = (coefficients @ basis).view(BATCH, 1, 3, 778)
        blended = (motions @ weights).view(BATCH, 3, 4, 778)
        (blended[:, :, :3] * rest).sum(2)
        grad.view(BATCH, 3, 4, 778)[:, :, :3] * rest
        grad @ weights.T
        grad[:, :3].flatten(1) @ basis.T

    return run


def step(layer: Layer) -> Callable[[], None]:
    """Return a function that runs a layer forward and backward."""
    inputs, out = draw(0, BATCH, torch.float32), torch.randn(BATCH, 778, 3)

    def run() -> None:
        vertices, joints = layer(*inputs)
        torch.autograd.grad([vertices, joints], inputs, [out, out[:, : joints.shape[1]]])

    return run


def agreement(ours: Layer, theirs: Layer, hands: int) -> dict[str, float]:
    """Return the largest differences over random hands in float64: metres, and relative for gradients."""
    worst = {"vertices_m": 0.0, "joints_m": 0.0, "gradient_relative": 0.0}
    for seed in range(hands // BATCH + 1):
        one, two = draw(seed, BATCH, torch.float64), draw(seed, BATCH, torch.float64)
        (v1, j1), (v2, j2) = ours(*one), theirs(*two)
        offset = (v1 - v2).detach().abs().max(), (j1[:, PLACES] - j2[:, CHAIN]).detach().abs().max()
        out = torch.randn(778, 3, generator=torch.Generator().manual_seed(seed)).double()
        pairs = zip(torch.autograd.grad((v1 * out).sum(), one), torch.autograd.grad((v2 * out).sum(), two), strict=True)
        relative = max(float(((a - b).norm(dim=1) / b.norm(dim=1)).max()) for a, b in pairs)
        found = {
            "vertices_m": float(offset[0]),
            "joints_m": float(offset[1]),
            "gradient_relative": relative,
        }
        worst = {name: max(worst[name], value) for name, value in found.items()}
    return worst


def measure(runs: dict[str, Callable[[], None]], rounds: int) -> dict[str, dict[str, float]]:
    """Return the median clock and processor milliseconds of each run, and the median ratio of ours to it."""
    clock: dict[str, list[float]] = {name: [] for name in runs}
    processor: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 5):
        for name, run in runs.items():
            before = time.perf_counter(), time.process_time()
            run()
            if number >= 5:
                clock[name].append(time.perf_counter() - before[0])
                processor[name].append(time.process_time() - before[1])
    return {
        name: {
            "clock_ms": 1000 * median(clock[name]),
            "processor_ms": 1000 * median(processor[name]),
            "ours_over_it": median(a / b for a, b in zip(clock["ours"], clock[name], strict=True)),
            "ours_over_it_processor": median(a / b for a, b in zip(processor["ours"], processor[name], strict=True)),
        }
        for name in runs
    }


def main() -> None:
    """Measure, print, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mano", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--hands", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = read_mano(options.mano, "right")
    runs = {"ours": step(our_layer(data, torch.float32)), "bare products": bare_products(data)}
    values: dict[str, object] = {"batch": BATCH}
    theirs = smplx_layer(data, torch.float32)
    if theirs is not None:
        runs["smplx"] = step(theirs)
        exact = smplx_layer(data, torch.float64)
        assert exact is not None
        values["agreement"] = agreement(our_layer(data, torch.float64), exact, options.hands)
    values["time"] = measure(runs, options.rounds)
    report("mano_layer", values, options.json)


if __name__ == "__main__":
    main()
