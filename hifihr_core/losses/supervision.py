"""The supervision table: the labels that each level may read, and the weights of its terms.

docs/supervision.md shows the same table to readers; a test compares the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.lookup import lookup
from hifihr_core.losses import geometric, look_terms, map_terms, photometric, priors  # noqa: F401  (they fill the registry)
from hifihr_core.losses.compared_regions import REGIONS
from hifihr_core.losses.terms import TERMS, Term

#: One weight for the whole run, or steps ``((epoch, weight), ...)``: the last step at or before an epoch applies.
Weight = float | int | tuple[tuple[float | int, float | int], ...]


@dataclass(frozen=True)
class Level:
    """One row of the table: the labels that may be read, the region for photometric terms, and the terms' weights."""

    labels: frozenset[str]
    region: str
    weights: Mapping[str, Weight]


#: Labels that are also given at test time; every level may read them. The box determines the crop.
INPUTS = ("box_px",)

#: Appearance weights common to all levels, and priors for a hand without labels.
_PRIORS: Mapping[str, Weight] = {
    "joint_limits": 0.1,
    "shape_prior": ((0, 0.1), (270, 1e-3), (300, 1e-5)),
    "texture_prior": ((0, 5e-3), (260, 5e-5), (270, 5e-7)),
}

LEVELS: Mapping[str, Level] = MappingProxyType(
    {
        # All annotations, with the emphasis on 3D.
        "full": Level(
            labels=frozenset(
                {
                    *INPUTS,
                    "joints_cam",
                    "joints_px",
                    "joints_visible",
                    "mano_vertices_cam",
                    "bone_m",
                    "root_cam",
                    "mask",
                    "texture",
                    "light",
                    "sky",
                }
            ),
            region="mask",
            weights={
                **_PRIORS,
                "joints_3d": 200.0,
                "vertices_3d": 150.0,
                "bone_direction_3d": 6.0,
                "edge_length": 100.0,
                "root_px": 0.05,
                "root_scale": 2.0,
                "joint_maps": 1.0,
                "pose_prior": ((0, 0.01), (10, 1e-3), (20, 1e-5)),
                "photometric": 0.02,
                "mean_color": 0.002,
                "ssim": 0.01,
                "silhouette": 8e-4,
                "iou": 8e-4,
                "perceptual": 1e-8,
            },
        ),
        # What a person can annotate by hand: 2D joints and an outline.
        "weak": Level(
            labels=frozenset({*INPUTS, "joints_px", "joints_visible", "mask"}),
            region="mask",
            weights={
                **_PRIORS,
                "joints_2d": 0.01,
                "bone_direction_2d": 0.1,
                "joint_maps": 1.0,
                "bone_length_prior": 0.1,
                "start_depth": 1.0,
                "pose_prior": ((0, 0.01), (10, 1e-3), (20, 1e-5)),
                "photometric": 0.01,
                "mean_color": 0.001,
                "ssim": 0.002,
                "silhouette": 8e-4,
                "iou": 8e-4,
                "perceptual": 1e-8,
            },
        ),
        # What a detector finds automatically.
        "self": Level(
            labels=frozenset({*INPUTS, "keypoints_px", "keypoints_confidence"}),
            region="keypoints",
            weights={
                **_PRIORS,
                "keypoints_2d": 1e-3,
                "keypoint_bone_direction": 0.2,
                "keypoint_maps": 1.0,
                "bone_length_prior": 0.1,
                "start_depth": 1.0,
                "pose_prior": ((0, 1e-3), (260, 1e-4), (280, 1e-4)),
                "texture_prior": ((0, 3e-3), (260, 3e-5), (270, 3e-7)),
                "photometric": 0.003,
                "mean_color": 0.001,
                "ssim": 0.001,
                "perceptual": 1e-6,
            },
        ),
    }
)

#: Capabilities that a hand or run may lack, and the reason shown. A term without its capability is omitted.
CAPABILITIES: Mapping[str, str] = MappingProxyType(
    {
        "mano_vertices": "this hand has no MANO vertices",
        "mano_edges": "this hand has no MANO faces",
        "render": "rendering is off",
        "region": "rendering is off",
        "keypoints": 'the network has no joint maps (model.geometry is "pooled")',
        "start": 'loss.priors is "mean"',
        "perceptual": "the VGG19 weights are not installed (`hifihr assets fetch vgg19`)",
    }
)


@dataclass(frozen=True)
class Plan:
    """A run's selection from the table: its terms, their weights, the labels it reads, and the omitted terms.

    `left_out` pairs each omitted term with the reason.
    """

    level: str
    terms: Mapping[str, Term]
    weights: Mapping[str, Weight]
    labels: frozenset[str]
    region: str
    left_out: tuple[tuple[str, str], ...] = ()

    def weights_at(self, epoch: float | int) -> dict[str, float]:
        """Return the weight of every term at a (fractional) epoch."""
        return {name: weight_at(weight, epoch) for name, weight in self.weights.items()}


def weight_at(weight: Weight, epoch: float | int) -> float:
    """Return the value of a weight at an epoch: that of the last step at or before it, or else of the first step."""
    if isinstance(weight, int | float):
        return float(weight)
    return float(([weight[0][1]] + [value for start, value in weight if start <= epoch])[-1])


def plan_terms(
    level: str, capabilities: frozenset[str], *, weights: Mapping[str, Weight] = MappingProxyType({})
) -> Plan:
    """Choose the terms of a run: those of the level, with weights replaced by `weights`, that the run supports.

    `capabilities` are the names in `CAPABILITIES` that the run and its hand model have. Raises: ConfigError for an
    unknown level or term, or for a term that needs a label that the level may not read.
    """
    row = lookup(LEVELS, level, "train.supervision")
    merged = {**row.weights, **weights}
    chosen: dict[str, Term] = {}
    left_out = []
    for name, weight in merged.items():
        term = _known_term(name)
        if not _is_used(weight):
            continue
        labels = term.labels | (REGIONS[row.region].labels if "region" in term.requires else frozenset())
        if forbidden := sorted(labels - row.labels):
            raise ConfigError(
                f"loss.weights.{name}: supervision {level} may not read the label {forbidden[0]}, which this term "
                f"needs; set its weight to 0 or choose another train.supervision"
            )
        # The table lists rendering before what only rendering needs.
        if missing := sorted(term.requires - capabilities, key=[*CAPABILITIES, *sorted(term.requires)].index):
            left_out.append((name, CAPABILITIES.get(missing[0], f"it needs {missing[0]}")))
            continue
        chosen[name] = Term(name, term.function, labels, term.requires)
    return Plan(
        level=level,
        terms=chosen,
        weights={name: merged[name] for name in chosen},
        labels=frozenset().union(*(term.labels for term in chosen.values())),
        region=row.region,
        left_out=tuple(left_out),
    )


def check_labels(plan: Plan, datasets: Mapping[str, frozenset[str]], *, extra: Sequence[str] = ()) -> None:
    """Check that the data supports the plan; `datasets` maps each dataset's name to its labels.

    `extra` names labels that the run needs besides those of its terms. Raises: DataError if a label is in no dataset.
    """
    carried = frozenset().union(*datasets.values())
    for name in sorted((plan.labels | set(extra)) - carried):
        terms = [term.name for term in plan.terms.values() if name in term.labels]
        uses, off = list(terms), [f"loss.weights.{term}=0" for term in terms]
        if name in extra:
            uses, off = [*uses, "render.root=given"], [*off, "render.root=predicted"]
        raise DataError(
            f"{', '.join(datasets)}: no label {name}, which supervision {plan.level} needs for {', '.join(uses)}; "
            f"prepare data that has it, or do without it: {' '.join(f'--set {one}' for one in off)}"
        )


def _known_term(name: str) -> Term:
    if name not in TERMS:
        raise ConfigError(f"loss.weights.{name}: unknown term, expected one of {', '.join(sorted(TERMS))}")
    return TERMS[name]


def _is_used(weight: Weight) -> bool:
    return weight > 0 if isinstance(weight, int | float) else any(value > 0 for _, value in weight)
