"""Self-test of the scorer on predictions whose scores on the official ground truth are known."""

from dataclasses import dataclass

import numpy as np

from hifihr_core.evaluation.benchmarks.point_files import PointSets
from hifihr_core.evaluation.benchmarks.scoring import Scores, score
from hifihr_core.evaluation.benchmarks.table import Benchmark
from hifihr_core.lookup import needed
from hifihr_core.machine.progress import OnProgress, no_progress
from hifihr_core.metrics.pose import PCK_THRESHOLDS_M

#: Half a unit of the last published digit: two decimals for errors in centimetres, three for F-scores.
TOLERANCES = {"mean3d": 0.005, "score": 0.0005}
#: Tolerance for scores that are exact up to a few nanometres: the official Procrustes adds 1e-8 to both norms.
_EXACT = 1e-4
#: The first PCK threshold is 0, which rounding errors exceed: then half a step of the official area is lost.
_FIRST_STEP = 0.5 / (len(PCK_THRESHOLDS_M) - 1)


@dataclass(frozen=True)
class Check:
    """A score of a prediction for which the correct value is known.

    Scores of the all-zeros prediction have official names and units; all other scores have ours.
    """

    prediction: str
    metric: str
    expected: float
    found: float | None
    tolerance: float

    @property
    def passed(self) -> bool:
        """Return whether the score is as expected, within the tolerance and a small margin for rounding."""
        return self.found is not None and abs(self.found - self.expected) <= self.tolerance * (1 + 1e-6)

    @property
    def verdict(self) -> str:
        """Return "ok" or "OFF", for a table."""
        return "ok" if self.passed else "OFF"


def run_self_test(truth: PointSets, benchmark: Benchmark, *, on_progress: OnProgress = no_progress) -> list[Check]:
    """Compare the scores of four predictions with their known values.

    The predictions are all zeros, whose scores are published; the ground truth itself, which is perfect; and its mirror
    image and the ground truth at twice the size, which are perfect after Procrustes alignment (the official one allows
    reflections).
    """
    vertices = needed(truth.vertices, "the ground truth's vertices")
    mirror = np.array([-1.0, 1.0, 1.0])
    zeros = PointSets(np.zeros_like(truth.joints), np.zeros_like(vertices))
    checks = _published(score(zeros, truth, benchmark, on_progress=on_progress), benchmark)
    checks += _exact("the ground truth itself", score(truth, truth, benchmark, on_progress=on_progress), aligned=False)
    mirrored = PointSets(truth.joints * mirror, vertices * mirror)
    checks += _exact("its mirror image", score(mirrored, truth, benchmark, on_progress=on_progress), aligned=True)
    doubled = PointSets(2 * truth.joints, 2 * vertices)
    checks += _exact(
        "the ground truth at twice the size", score(doubled, truth, benchmark, on_progress=on_progress), aligned=True
    )
    return checks


def _published(scores: Scores, benchmark: Benchmark) -> list[Check]:
    found = scores.official()
    return [
        Check("all zeros", key, expected, found[key], TOLERANCES["mean3d" if key.endswith("mean3d") else "score"])
        for key, expected in benchmark.zero_predictor.items()
    ]


def _exact(prediction: str, scores: Scores, *, aligned: bool) -> list[Check]:
    """Return the checks of a perfect prediction; with `aligned`, only of its scores after Procrustes alignment."""
    checks = []
    for name, value in scores.metrics().items():
        if aligned and not name.startswith("pa_"):
            continue
        tolerance = _EXACT + (_FIRST_STEP if "auc" in name else 0.0)
        checks.append(Check(prediction, name, 0.0 if name.endswith("_mm") else 1.0, value, tolerance))
    return checks
