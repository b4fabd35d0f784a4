"""Does the network's skin follow the person when skin and light are labels of the loss?

    python benchmarks/look_terms.py --rows start "labels alone" --parts backbone geometry texture light

Parts of the shipped network (the heads of texture and light, unless `--parts` says more) are trained for a few steps on
rendered hands under lights that it has not seen (environment maps). Pictures are rendered on the true geometry, so all
errors are errors of the look. Rows: "start" (no step), "photometric" (the photometric terms of the preset
train_synth_texture), "labels" (these terms, `albedo` and `light`), and "labels alone" (`albedo` and `light`, without
rendering). Scored on held-out hands: correlation over people and error of the mean albedo, and the difference of the
light on white surfaces.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from learning_common import true_geometry
from render_common import arguments
from reporting import report

from hifihr_core.lookup import needed
from hifihr_core.losses.evaluate import capabilities_of, evaluate_terms, hand_facts, loss_inputs, total_weights, weigh
from hifihr_core.losses.look_terms import light as light_term
from hifihr_core.losses.supervision import LEVELS, plan_terms
from hifihr_core.models.checkpoint import Checkpoint, load_checkpoint
from hifihr_core.models.placing import build_renderer, place_estimate
from hifihr_core.models.shipped import IMAGE_NETWORK, shipped_model
from hifihr_core.records import Batch
from hifihr_core.synthesis import Synthesizer, SynthOptions

LR = 1e-3
PHOTOMETRIC = {"photometric": 5.0, "mean_color": 1.0, "ssim": 0.2, "texture_prior": 1e-3}
ROWS: Mapping[str, Mapping[str, float]] = {
    "start": {},
    "photometric": PHOTOMETRIC,
    "labels": PHOTOMETRIC | {"albedo": 5.0, "light": 1.0},
    "labels alone": {"albedo": 5.0, "light": 1.0},
}


def only(weights: Mapping[str, float]) -> dict[str, float]:
    """Return weights that disable all other terms of the level."""
    return dict.fromkeys(LEVELS["full"].weights, 0.0) | dict(weights)


def learn(
    checkpoint: Checkpoint, batches: list[Batch], weights: Mapping[str, float], parts: Sequence[str], *, steps: int
) -> None:
    """Train some parts of the network; it renders if a term needs the picture."""
    network, hand = checkpoint.network.eval(), checkpoint.hand
    draws = "photometric" in weights
    settings = checkpoint.settings
    renderer = build_renderer(hand, settings.render, settings.data.image_px) if draws else None
    parameters = [p for name in parts for module in network.parts()[name] for p in module.parameters()]
    network.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    plan = plan_terms("full", capabilities_of(hand, renders=True, perceptual=False), weights=only(weights))
    facts, optimizer = hand_facts(hand), torch.optim.AdamW(parameters, lr=LR)
    for step in range(steps):
        batch = batches[step % len(batches)]
        estimate = true_geometry(network(batch.image, batch.K), batch, hand)
        placed = place_estimate(estimate, batch.K, hand, renderer=renderer)
        ratios = evaluate_terms(loss_inputs(placed, batch, plan, facts), plan)
        optimizer.zero_grad()
        weigh(ratios, plan.weights_at(0), total_weights(ratios)).backward()
        optimizer.step()


@torch.no_grad()
def score(checkpoint: Checkpoint, batches: list[Batch]) -> dict[str, object]:
    """Return tone and light on held-out hands."""
    hand, facts = checkpoint.hand, hand_facts(checkpoint.hand)
    plan = plan_terms("full", capabilities_of(hand, renders=True, perceptual=False), weights=only({"light": 1.0}))
    ours, truth, lights = [], [], []
    for batch in batches:
        estimate = true_geometry(checkpoint.network(batch.image, batch.K), batch, hand)
        ratio = light_term(loss_inputs(place_estimate(estimate, batch.K, hand), batch, plan, facts))
        lights.append(float(ratio.total.sum() / ratio.weight.sum()))
        for colors, skin in ((ours, needed(estimate.parameters.texture, "the skin")), (truth, batch.labels["texture"])):
            colors.append(facts.vertex_colors(skin).mean(dim=1))
    x, y = torch.cat(ours).numpy(), torch.cat(truth).numpy()
    return {
        "tone_correlation": [float(np.corrcoef(x[:, c], y[:, c])[0, 1]) for c in range(3)],
        "tone_error": np.abs(x - y).mean(axis=0).tolist(),
        "tone_error_of_mean": np.abs(y.mean(axis=0) - y).mean(axis=0).tolist(),
        "light_error": float(np.mean(lights)),
    }


def main() -> None:
    """Render, train, score and report."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--parts", nargs="+", default=["texture", "light"], help="parts of the network that learn")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--hands", type=int, default=480)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    weights = needed(shipped_model(IMAGE_NETWORK), "the shipped image network")
    checkpoint = load_checkpoint(weights, device=torch.device("cpu"))
    drawn = SynthOptions(image_px=checkpoint.settings.data.image_px, light="environment")

    def make(seed: int) -> Synthesizer:
        return Synthesizer(checkpoint.hand, seed=seed, options=drawn)

    batches, held_out = (
        [synthesizer.make(number, 24) for number in range(count)]
        for synthesizer, count in ((make(5), options.hands // 24), (make(6), 8))
    )
    results: dict[str, object] = {"hands": options.hands, "steps": options.steps, "held_out": 24 * len(held_out)}
    for row in options.rows:
        torch.manual_seed(0)
        checkpoint = load_checkpoint(weights, device=torch.device("cpu"))
        if ROWS[row]:
            learn(checkpoint, batches, ROWS[row], options.parts, steps=options.steps)
        results[row] = score(checkpoint, held_out)
        print(row, results[row], flush=True)
    report("look_terms", results, options.json)


if __name__ == "__main__":
    main()
