"""How well MANO represents hands of the free model: residuals of the fit on sampled hands, both sides.

    python benchmarks/mano_fit.py --hands 200

Needs an imported MANO (`hifihr assets import mano-right MANO_RIGHT.pkl`). Left hands are the mirrored right ones by
construction, so one table serves both; the script checks that the exported left-hand parameters give the mirrored mesh.
"""

import argparse
import time

import torch

from hifihr_core.assets.store import asset_path
from hifihr_core.conversion.to_mano import ManoConverter
from hifihr_core.hands import HandParameters, load_hand
from hifihr_core.hands.mano.arrays import load_mano_data, mirror_mano
from hifihr_core.hands.mano.interchange import export_mano
from hifihr_core.hands.mano.model import Mano


def main() -> None:
    """Fit, and print millimetres."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hands", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    hand = load_hand("anny", texture_px=32).double()
    began = time.perf_counter()
    converter = ManoConverter(hand)
    print(f"map ready after {time.perf_counter() - began:.1f} s")
    generator = torch.Generator().manual_seed(arguments.seed)
    drawn = hand.sample_parameters(arguments.hands, generator=generator)
    parameters = HandParameters(drawn.global_orient.double(), drawn.pose.double(), drawn.shape.double())
    root = torch.tensor([[0.02, -0.03, 0.6]], dtype=torch.float64).expand(arguments.hands, 3)
    began = time.perf_counter()
    fit = converter.fit(parameters, root)
    seconds = (time.perf_counter() - began) / arguments.hands
    vertices, joints = 1e3 * fit.vertex_errors, 1e3 * fit.joint_errors
    print(f"{seconds:.3f} s per hand")
    print(
        f"vertices: mean {vertices.mean():.2f} mm, 95 % {vertices.flatten().quantile(0.95):.2f}, "
        f"worst hand {vertices.mean(1).max():.2f}"
    )
    print(f"joints: mean {joints.mean():.2f} mm, worst hand {joints.mean(1).max():.2f}")
    print(f"betas: largest {fit.hands.parameters.shape.abs().max():.1f}")
    print(f"left hands: parameters give the mirrored mesh to {_left_error(converter, fit.hands):.1e} m")


def _left_error(converter: ManoConverter, hands) -> float:
    left = Mano(
        mirror_mano(load_mano_data(asset_path("mano-right"))), flat_hand=True, centred=False, dtype=torch.float64
    )
    exported = export_mano(converter.mano, hands.parameters, hands.root_cam, side="left")
    posed = left(HandParameters(exported.global_orient, exported.hand_pose, exported.betas))
    right = converter.mano(hands.parameters).vertices + hands.root_cam[:, None]
    mirrored = right * torch.tensor([-1.0, 1, 1], dtype=torch.float64)
    return float((posed.vertices + exported.transl[:, None] - mirrored).abs().max())


if __name__ == "__main__":
    main()
