"""The interface of loss terms, their inputs, and their registry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hifihr_core.hands.contract import PosePrior
from hifihr_core.lookup import needed
from hifihr_core.models.placing import PlacedEstimate
from hifihr_core.records import Appearance
from hifihr_core.rendering.fragments import Rendered


@dataclass(frozen=True)
class Ratio:
    """A loss as sums: `total` over `weight`, each per sample.

    The loss of any set of samples is ``total.sum() / weight.sum()``, so a divided batch (over several processes, or one
    sample at a time) has the same loss as the whole, and a sample with a non-finite loss can be identified. A sample
    without the label has weight 0 and total 0.
    """

    total: Float[Tensor, " B"]
    weight: Float[Tensor, " B"]


@dataclass(frozen=True)
class HandFacts:
    """Facts about a hand model that terms need besides its output; made once per run by `hand_facts`.

    `edges` lists each edge of the mesh once. `vertex_colors` converts texture coefficients (B, X) to albedo.
    `mano_edges` are the edges of the MANO surface, None if the hand has none.
    """

    prior: PosePrior
    edges: Int[Tensor, "E 2"]
    vertex_colors: Callable[[Tensor], Float[Tensor, "B V 3"]]
    mano_edges: Int[Tensor, "M 2"] | None = None


@dataclass(frozen=True)
class LossInputs:
    """Everything that a term may read: the prediction, the photo, and the labels that its level allows.

    Concretely, ``labels[name][b]`` is valid only if ``present[name][b]``; a sample with ``present["image"]`` False is
    corrupt and contributes to no term. `region` weights the pixels that photometric terms compare and `trust` the
    samples; both are None in a run without rendering. `start` is the starting network's estimate for the batch, None
    unless it is the centre of the priors. `region` and `start` have no gradient.

    Each property below needs the capability that its docstring names in quotes. A term that uses the property lists
    this capability in `requires`; without the capability, the property raises ValueError.
    """

    prediction: PlacedEstimate
    image: Float[Tensor, "B 3 H W"]
    K: Float[Tensor, "B 3 3"]
    labels: Mapping[str, Tensor]
    present: Mapping[str, Bool[Tensor, " B"]]
    hand: HandFacts
    region: Float[Tensor, "B H W"] | None = None
    trust: Float[Tensor, " B"] | None = None
    perceptual: nn.Module | None = None
    start: PlacedEstimate | None = None

    @property
    def placed_start(self) -> PlacedEstimate:
        """Return the hands as estimated by the run's starting network (capability "start")."""
        return needed(self.start, "the estimate of the run's starting network")

    @property
    def rendered(self) -> Rendered:
        """Return the rendered picture (capability "render")."""
        return needed(self.prediction.rendered, "the rendered picture")

    @property
    def pixels(self) -> tuple[Float[Tensor, "B H W"], Float[Tensor, " B"]]:
        """Return `region` and `trust` (capability "region")."""
        return needed(self.region, "the region to compare"), needed(self.trust, "the trust in each sample")

    @property
    def mano_vertices(self) -> Float[Tensor, "B 778 3"]:
        """Return the predicted MANO vertices in the root frame, metres (capability "mano_vertices")."""
        return needed(self.prediction.hand.mano_vertices, "MANO's vertices")

    @property
    def appearance(self) -> Appearance:
        """Return the predicted appearance (capability "render")."""
        return needed(self.prediction.hand.appearance, "the appearance")


TermFunction = Callable[[LossInputs], Ratio]


@dataclass(frozen=True)
class Term:
    """One row of the registry: the function, the labels it reads, and the capabilities that it requires.

    `requires` holds names in `supervision.CAPABILITIES`. If a run lacks one of them, it omits the term and reports
    this.
    """

    name: str
    function: TermFunction
    labels: frozenset[str] = frozenset()
    requires: frozenset[str] = frozenset()


#: Every term by its name in the settings.
TERMS: dict[str, Term] = {}


def term(
    name: str, *, labels: tuple[str, ...] = (), requires: tuple[str, ...] = ()
) -> Callable[[TermFunction], TermFunction]:
    """Add the decorated function to the registry. Raises: ValueError if the name is taken."""

    def register(function: TermFunction) -> TermFunction:
        if name in TERMS:
            raise ValueError(f"the loss term {name!r} is registered twice")
        TERMS[name] = Term(name, function, frozenset(labels), frozenset(requires))
        return function

    return register


def mean_over_present(inputs: LossInputs, values: Float[Tensor, "B *rest"], *names: str) -> Ratio:
    """Return the mean of each sample's values; a sample that lacks one of the labels `names` has weight 0."""
    per_sample = values.flatten(1).mean(dim=1) if values.ndim > 1 else values
    weight = inputs.present["image"].to(per_sample.dtype)
    for name in names:
        weight = weight * inputs.present[name]
    return Ratio(torch.where(weight > 0, per_sample, 0.0), weight)
