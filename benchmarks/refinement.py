"""Compare the refinement with the former one on the same hands in one run: accuracy and processor time.

    python benchmarks/refinement.py --hands 50 [--photos FOLDER] [--sheet sheet.png]

"first order" is 80 steps of Adam (`first_order.py`), "now" what `hifihr predict --refine` does. Synthetic hands are
those of `predict_accuracy`, from noisy keypoints; keypoint errors are distances from the given keypoints, and the IoU
is with the true mask. Photos are a folder of your own, with the hands that the eyes find; their masks are the final
ones of both refinements, and the IoU is the mean of both. PSNR inside the mask is that of the final result, with skin
and light inferred again after the refinement. A sheet shows each photo's hands: crop, start, first order, now.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from first_order import refine_first_order
from predict_accuracy import Scene, errors, keypoint_start, open_scene
from reporting import report
from torch import Tensor

from hifihr_core.drawing import to_bytes
from hifihr_core.hands import HandModel
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.machine.device import one_thread
from hifihr_core.photos.finding import find_photos
from hifihr_core.placed_hands import LitHands, map_tensors
from hifihr_core.prediction import predictor as predicting
from hifihr_core.prediction.predictor import REFINED_MAP_PX, Predictor, PredictSettings
from hifihr_core.prediction.refine import Refined, measure, refine
from hifihr_core.prediction.refinement.picture_fit import draw_shaded
from hifihr_core.rendering import Renderer

Look = Callable[[LitHands, Tensor], LitHands]


@dataclass(frozen=True)
class Case:
    """Hands to refine: the arguments of `refine`, and how skin and light are inferred."""

    hand: HandModel
    renderer: Renderer
    start: LitHands
    crops: Crops
    look: Look


@dataclass(frozen=True)
class Outcome:
    """The final hands of a method, its masks, and its processor time, seconds per hand."""

    hands: LitHands
    mask: Tensor
    seconds: float


def first_order(case: Case) -> Refined:
    """Refine as formerly."""
    return refine_first_order(case.hand, case.renderer, case.start, case.crops)


def now(case: Case) -> Refined:
    """Refine as `hifihr predict --refine` does."""
    return refine(case.hand, case.renderer, case.start, case.crops, look=case.look)


METHODS: dict[str, Callable[[Case], Refined]] = {"first order": first_order, "now": now}


def outcomes(case: Case) -> dict[str, Outcome]:
    """Return the results of each method for the same hands; the start is included, without a time."""
    found = {}
    for name, method in METHODS.items():
        began = time.process_time()
        refined = method(case)
        seconds = (time.process_time() - began) / len(case.start)
        found[name] = Outcome(case.look(refined.hands, refined.mask), refined.mask, seconds)
    return {"start": Outcome(case.start, found["now"].mask, 0.0), **found}


def scores(case: Case, hands: LitHands, masks: list[Tensor]) -> dict[str, list[float]]:
    """Return keypoint error, IoU and PSNR of every hand, as means over the masks."""
    drawn = draw_shaded(case.hand, case.renderer, hands, case.crops)[0]
    rows = [measure(case.hand, drawn, case.crops, mask) for mask in masks]
    return {name: torch.stack([getattr(row, name) for row in rows]).mean(dim=0).tolist() for name in vars(rows[0])}


def synthetic(first: int, count: int) -> tuple[Scene, Case]:
    """Return the held-out synthetic hands and their start from noisy keypoints."""
    scene = open_scene(count, 224, None, first=first)
    start, crops = keypoint_start(scene)

    def look(hands: LitHands, mask: Tensor) -> LitHands:
        return scene.match(hands, crops, mask)

    return scene, Case(scene.hand.with_small_maps(REFINED_MAP_PX), scene.renderer, start, crops, look)


def photos(folder: Path) -> Iterator[Case]:
    """Yield the hands of every photo as they are before the predictor refines them."""
    own = Predictor.load(settings=PredictSettings(refine=True))
    for path in find_photos([str(folder)]).photos:
        cases: list[Case] = []

        def keep(hand, renderer, start, crops, settings, *, look, on_step, cases=cases):
            cases.append(Case(hand, renderer, start, crops, look))
            return refine(hand, renderer, start, crops, replace(settings, steps=1), look=look)

        predicting.refine = keep
        own.settings = replace(own.settings, texture_px=64)
        own.predict(path)
        yield from cases


def strip(case: Case, found: dict[str, Outcome]) -> np.ndarray:
    """Return a row of pictures per hand: the crop, then each method's hand drawn over it."""
    rows = []
    for i in range(len(case.start)):
        cells = [to_bytes(case.crops.image[i])]
        for outcome in found.values():
            one = map_tensors(lambda values, i=i: values[i : i + 1], outcome.hands)
            image, K = case.crops.image[i : i + 1], case.crops.K[i : i + 1]
            posed = case.hand(one.parameters)
            drawn = case.renderer(posed.vertices + one.root_cam[:, None], K, posed.appearance, one.light, image)
            cells.append(_outlined(to_bytes(drawn.image[0].clamp(0, 1)), drawn.silhouette[0]))
        rows.append(np.concatenate(cells, axis=1))
    return np.concatenate(rows)


def _outlined(picture: np.ndarray, silhouette: Tensor) -> np.ndarray:
    picture = np.ascontiguousarray(picture)
    contours, _ = cv2.findContours((silhouette > 0.5).numpy().astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(picture, contours, -1, (0, 255, 0), 1)


def _means(rows: list[dict[str, list[float]]]) -> dict[str, float]:
    return {name: float(np.nanmean(np.concatenate([row[name] for row in rows]))) for name in rows[0]}


def compare_synthetic(first: int, count: int) -> dict[str, object]:
    """Return the scores of both methods on synthetic hands."""
    scene, case = synthetic(first, count)
    mask = scene.batch.labels["mask"] > 0.5
    result: dict[str, object] = {"hands": count, "first": first}
    for name, one in outcomes(case).items():
        result[name] = {
            "s_per_hand": one.seconds,
            **errors(scene.hand, one.hands, scene.batch),
            **_means([scores(case, one.hands, [mask])]),
        }
    return result


def compare_photos(folder: Path, sheet: Path | None) -> dict[str, object]:
    """Return the scores of both methods on the hands of photos."""
    rows: dict[str, list[dict[str, list[float]]]] = {}
    seconds: dict[str, list[float]] = {}
    pictures = []
    for case in photos(folder):
        found = outcomes(case)
        for name, one in found.items():
            rows.setdefault(name, []).append(scores(case, one.hands, [found[m].mask for m in METHODS]))
            seconds.setdefault(name, []).append(one.seconds)
        pictures.append(strip(case, found))
    if sheet is not None:
        cv2.imwrite(str(sheet), np.concatenate(pictures)[..., ::-1])
    hands = sum(len(row["iou"]) for row in rows["now"])
    table = {name: {"s_per_hand": float(np.mean(seconds[name])), **_means(rows[name])} for name in rows}
    return {"hands": hands, **table}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="The refinement beside the one before it.")
    parser.add_argument("--hands", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="Number of the first synthetic hand.")
    parser.add_argument("--photos", type=Path, default=None, help="A folder of your own photos.")
    parser.add_argument("--sheet", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    results: dict[str, object] = {}
    with one_thread():
        if options.hands:
            results["synthetic"] = compare_synthetic(options.first, options.hands)
        if options.photos is not None:
            results["photos"] = compare_photos(options.photos, options.sheet)
    print(json.dumps(results, indent=1))
    report("refinement", results, options.json)


if __name__ == "__main__":
    main()
