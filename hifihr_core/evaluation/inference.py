"""Run a checkpoint over evaluation shards, to get hands in the camera frame and their rendered pictures."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.config.data_folders import shards_folder
from hifihr_core.errors import DataError
from hifihr_core.hands import HandModel
from hifihr_core.lookup import needed
from hifihr_core.models.checkpoint import Checkpoint
from hifihr_core.models.placing import PlacedEstimate, build_renderer, place_estimate
from hifihr_core.records import Batch
from hifihr_core.shards.folder import ShardSet, find_shard_folders
from hifihr_core.stream.batch_stream import BatchStream, StreamOptions, StreamPart
from hifihr_core.stream.sample_sets import ChosenSamples, Samples
from hifihr_core.synthesis.labels import stand_in_indices

RootChoice = Literal["predicted", "gt"]

#: The evaluated function from a batch of crops to hands, for example a network with its hand (`predict_with`).
PredictBatch = Callable[[Batch], PlacedEstimate]


def open_evaluation_shards(folder: Path | None, dataset: str, *, version: str | None = None) -> ShardSet:
    """Open the evaluation split of a prepared dataset, in `folder` or, by default, where `hifihr prepare` writes it.

    For the dataset "synth", a training split is used if there is no other. Raises: DataError if there is no such split,
    or none of that version.
    """
    place = folder or shards_folder(dataset)
    everything = [ShardSet(found) for found in find_shard_folders(place)]
    sets = [shards for shards in everything if dataset == "synth" or shards.index.facts.dataset == dataset]
    held_out = [shards for shards in sets if shards.index.facts.split != "train"]
    fitting = [s for s in held_out or (sets if dataset == "synth" else []) if version in (None, s.index.facts.version)]
    if not fitting:
        found = ", ".join(f"{s.index.facts.dataset} {s.index.facts.version} {s.index.facts.split}" for s in everything)
        raise DataError(
            f"{place}: no evaluation split of {' '.join((dataset, version or '')).strip()} (found: {found}); "
            f"run `hifihr prepare {dataset}` on a download that contains it, or give another folder with --data"
        )
    return fitting[0]


def open_batches(
    samples: Samples,
    positions: Sequence[int],
    *,
    hand_scale: float | None,
    image_px: int,
    batch_size: int,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Batch]:
    """Yield batches of crops of the samples at `positions`, in that order, without augmentation.

    `hand_scale` is the side of a crop as a multiple of the hand's box; see `StreamPart`.
    """
    part = StreamPart(ChosenSamples(samples, np.array(positions)), hand_scale=hand_scale)
    options = StreamOptions(batch_size=batch_size, image_px=image_px, shuffle=False, drop_last=False)
    return iter(BatchStream([part], options, num_workers=workers, device=device))


def predict_with(
    checkpoint: Checkpoint, hand: HandModel, *, root: RootChoice, root_joint: int, renders: bool
) -> PredictBatch:
    """Return a function that predicts the hands of a batch with a checkpoint's network.

    With `renders`, hands are rendered on black as in training. With `root="gt"`, each hand is moved so that its joint
    `root_joint` is at the position given with the sample (`root_cam`).
    """
    settings = checkpoint.settings
    renderer = build_renderer(hand, settings.render, settings.data.image_px) if renders else None

    def predict(batch: Batch) -> PlacedEstimate:
        with torch.inference_mode():
            estimate = checkpoint.network(batch.image, batch.K)
            root_cam = None
            if root == "gt":
                relative = place_estimate(estimate, batch.K, hand).hand.joints[:, root_joint]
                root_cam = batch.labels["root_cam"] - relative
            return place_estimate(estimate, batch.K, hand, root_cam=root_cam, renderer=renderer)

    return predict


@dataclass(frozen=True)
class Surface:
    """The surface points to score: MANO's vertices, their replacement in synthetic data, or the hand's own vertices.

    For the last two, `indices` are the indices of these points among the vertices of the hand.
    """

    kind: Literal["mano", "stand-in", "own"]
    indices: Tensor | None = None

    def of(self, prediction: PlacedEstimate) -> Float[Tensor, "B V 3"]:
        """Return the surface points of a prediction in the camera frame, metres."""
        if self.kind == "mano":
            return needed(prediction.hand.mano_vertices, "MANO's vertices") + prediction.root_cam[:, None]
        return prediction.verts_cam[:, needed(self.indices, "the list of surface points")]


def choose_surface(hand: HandModel, *, truth_is_stand_in: bool) -> Surface:
    """Return the surface to score; `truth_is_stand_in` is True if the data has replacements for MANO's vertices.

    These replacements exist only for the hand anny.
    """
    if truth_is_stand_in and hand.name == "anny":
        return Surface("stand-in", stand_in_indices(hand))
    if hand.has_mano_vertices and not truth_is_stand_in:
        return Surface("mano")
    return Surface("own", torch.unique(hand.faces))  # a mesh may have vertices that no face uses
