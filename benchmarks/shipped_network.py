"""Claim: the shipped image network is accurate on unseen hands: PA-MPJPE at most 13 mm (9 mm if trained on a GPU),
masked PSNR at least 20 dB. The error of the root's position is also reported.

Hands are rendered by the generator with a seed that neither training nor validation uses. The mean hand, placed by the
network, and the mean texture under a plain light are measured on the same pictures; so are the network's look on the
true geometry, and the true hand, whose PSNR a network with perfect estimates of all labels would reach.

Usage: python benchmarks/shipped_network.py [--weights FILE] [--hands 1000] [--seed 7000003] [--json FILE]
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from learning_common import KINDS, compared
from reporting import write
from shipped_common import shipped_path

from hifihr_core.hands import HandModel
from hifihr_core.models.checkpoint import Checkpoint, load_checkpoint
from hifihr_core.models.contract import Estimate
from hifihr_core.models.placing import place_estimate
from hifihr_core.models.shipped import IMAGE_NETWORK
from hifihr_core.records import Batch
from hifihr_core.rendering import Renderer
from hifihr_core.synthesis import Synthesizer, SynthOptions
from hifihr_core.training.validation import measure

BATCH = 25
LIMITS = {"pa_mpjpe_mm": 13.0, "psnr_db": 20.0}


@torch.no_grad()
def score(trained: Checkpoint, hands: int, seed: int) -> dict[str, dict[str, float]]:
    """Return the mean of every metric, for the network and what it is compared with."""
    side, hand = trained.settings.data.image_px, trained.hand
    synthesizer = Synthesizer(hand, seed=seed, options=SynthOptions(image_px=side))
    renderer = Renderer(hand.faces, height=side, width=side)
    sums: dict[str, dict[str, torch.Tensor]] = {kind: {} for kind in KINDS}
    for number in range(-(-hands // BATCH)):
        batch = synthesizer.make(number, BATCH)
        estimate = trained.network(batch.image, batch.K)
        for kind, row in sums.items():
            for name, value in scores_of(compared(kind, estimate, batch, hand), batch, hand, renderer).items():
                row[name] = row.get(name, torch.zeros(2)) + value
    return {
        kind: {name: float(total / weight) for name, (total, weight) in rows.items()} for kind, rows in sums.items()
    }


def scores_of(estimate: Estimate, batch: Batch, hand: HandModel, renderer: Renderer) -> dict[str, torch.Tensor]:
    """Return (sum, weight) of every metric, including those of the found joints and of relative depth."""
    batch = replace(batch, present={**batch.present, "image": torch.ones(len(batch), dtype=torch.bool)})
    prediction = place_estimate(estimate, batch.K, hand, renderer=renderer)
    rows = {
        name: torch.stack((ratio.total.sum(), ratio.weight.sum())) for name, ratio in measure(prediction, batch).items()
    }
    weight = torch.tensor(float(len(batch)))
    true_z = batch.labels["joints_cam"][:, 9, 2]
    rows["root_depth_percent"] = torch.stack((100 * (prediction.root_cam[:, 2] / true_z - 1).abs().sum(), weight))
    if estimate.keypoints is not None:
        found_px = estimate.keypoints.points * batch.image.shape[-1]
        distance = (found_px - batch.labels["joints_px"]).norm(dim=-1).mean(dim=1)
        rows["found_px"] = torch.stack((distance.sum(), weight))
    return rows


def main() -> None:
    """Print a table and the claims, and write them if --json is given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=None, help="An image network, else the shipped one.")
    parser.add_argument("--hands", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7_000_003)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    arguments.weights = arguments.weights or shipped_path(IMAGE_NETWORK)
    trained, began = load_checkpoint(arguments.weights), time.perf_counter()
    scores = score(trained, arguments.hands, arguments.seed)
    for kind, row in scores.items():
        print(f"{kind:24s}", "  ".join(f"{name} {value:.2f}" for name, value in row.items()))
    found = scores["network"]
    claims = {
        "PA-MPJPE at most 13 mm": found["pa_mpjpe_mm"] <= LIMITS["pa_mpjpe_mm"],
        "masked PSNR at least 20 dB": found["psnr_db"] >= LIMITS["psnr_db"],
    }
    for claim, holds in claims.items():
        print(f"{'kept    ' if holds else 'NOT kept'}  {claim}")
    if arguments.json:
        facts = {"seconds": time.perf_counter() - began, "step": trained.step}
        options = {name: str(value) for name, value in vars(arguments).items()}
        values = {**facts, "options": options, "scores": scores, "claims": claims}
        write("shipped_network", values, arguments.json)
    raise SystemExit(0 if all(claims.values()) else 1)


if __name__ == "__main__":
    main()
