"""The table of benchmarks: number of samples, joints, frame, and the official names of scores.

Sources: `eval.py` and `pred.py` of lmb-freiburg/freihand and of shreyashampali/ho3d; the published scores of the
all-zeros prediction are those of the benchmarks' own pages.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from hifihr_core.errors import ConfigError
from hifihr_core.skeleton import ROOT, WRIST, scatter_to
from hifihr_core.sources import table as sources

Alignment = Literal["raw", "procrustes", "scale_translation"]

#: Prefix of each alignment in the name of a metric: `mpjpe_mm`, `pa_mpjpe_mm`, `st_mpjpe_mm`.
PREFIXES: Mapping[Alignment, str] = MappingProxyType({"raw": "", "procrustes": "pa_", "scale_translation": "st_"})

#: Alignments of vertices and F-scores, which exclude scale and translation.
MESH_ALIGNMENTS: tuple[Alignment, ...] = ("raw", "procrustes")
JOINT_METRICS = ("mpjpe_mm", "auc_joints")
MESH_METRICS = ("mpvpe_mm", "auc_vertices", "f5", "f15")

_FREIHAND_KEYS = {
    "xyz_mean3d": "mpjpe_mm",
    "xyz_auc3d": "auc_joints",
    "xyz_al_mean3d": "pa_mpjpe_mm",
    "xyz_al_auc3d": "pa_auc_joints",
}
_HO3D_KEYS = {
    "xyz_mean3d": "mpjpe_mm",
    "xyz_auc3d": "auc_joints",
    "xyz_procrustes_al_mean3d": "pa_mpjpe_mm",
    "xyz_procrustes_al_auc3d": "pa_auc_joints",
    "xyz_scale_trans_al_mean3d": "st_mpjpe_mm",
    "xyz_scale_trans_al_auc3d": "st_auc_joints",
}
_MESH_KEYS = {
    "mesh_mean3d": "mpvpe_mm",
    "mesh_auc3d": "auc_vertices",
    "mesh_al_mean3d": "pa_mpvpe_mm",
    "mesh_al_auc3d": "pa_auc_vertices",
    "f_score_5": "f5",
    "f_al_score_5": "pa_f5",
    "f_score_15": "f15",
    "f_al_score_15": "pa_f15",
}


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: its samples, joints, frame and scores.

    `samples` is their number, None if it is not fixed. `axes` converts our OpenCV camera frame to that of the
    submission by multiplying x, y and z. `given_root` is the joint (in our order) whose position the benchmark provides
    with every sample. `official` maps the keys of the official `scores.txt`, in which errors are in centimetres, to our
    metrics, in the order of that file. `paper_mask` is the mask that the code of the paper applies to pictures.
    `zero_predictor` contains the published scores of the all-zeros prediction.
    """

    name: str
    dataset: str
    version: str | None
    samples: int | None
    joint_order: str
    joint_definition: Literal["freihand", "ho3d"]
    joint_alignments: tuple[Alignment, ...]
    official: Mapping[str, str]
    axes: tuple[float, float, float] = (1.0, 1.0, 1.0)
    given_root: int | None = None
    paper_mask: Literal["truth", "silhouette"] = "truth"
    zero_predictor: Mapping[str, float] = field(default_factory=dict)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of our metrics on this benchmark, in the order of reports."""
        joints = [f"{PREFIXES[alignment]}{name}" for alignment in self.joint_alignments for name in JOINT_METRICS]
        mesh = [f"{PREFIXES[alignment]}{name}" for alignment in MESH_ALIGNMENTS for name in MESH_METRICS]
        return (*joints, *mesh)

    @property
    def to_submission(self) -> tuple[int, ...]:
        """Return the indices that convert our joints to the order of the submission: ``theirs = ours[indices]``."""
        return scatter_to(self.joint_order)

    @property
    def scale_bone(self) -> tuple[int, int]:
        """Return the indices of the wrist and the middle finger's MCP joint in the submission's order.

        The bone between them determines the scale in the alignment of scale and translation.
        """
        order = self.to_submission
        return order.index(WRIST), order.index(ROOT)

    @property
    def behind_camera(self) -> float:
        """Return the sign of z of points behind the camera, in the submission's frame."""
        return -self.axes[2]


def _ho3d(version: str, samples: int, zero_predictor: Mapping[str, float]) -> Benchmark:
    return Benchmark(
        name=f"ho3d-{version}",
        dataset="ho3d",
        version=version,
        samples=samples,
        joint_order="ho3d",
        joint_definition="ho3d",
        joint_alignments=("raw", "procrustes", "scale_translation"),
        official=MappingProxyType(_HO3D_KEYS | _MESH_KEYS),
        axes=(1.0, -1.0, -1.0),  # OpenGL: y up, z towards the viewer
        given_root=WRIST,
        paper_mask="silhouette",
        zero_predictor=MappingProxyType(dict(zero_predictor)),
    )


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "freihand": Benchmark(
            name="freihand",
            dataset="freihand",
            version=None,
            samples=3960,
            joint_order="freihand",
            joint_definition="freihand",
            joint_alignments=("raw", "procrustes"),
            official=MappingProxyType(_FREIHAND_KEYS | _MESH_KEYS),
            zero_predictor=MappingProxyType(
                {
                    "xyz_mean3d": 70.79,
                    "xyz_al_mean3d": 4.73,
                    "mesh_mean3d": 70.84,
                    "mesh_al_mean3d": 5.07,
                    "f_score_5": 0.0,
                    "f_score_15": 0.0,
                    "f_al_score_5": 0.001,
                    "f_al_score_15": 0.031,
                }
            ),
        ),
        # The published scale-translation score of HO-3D's zeros is NaN: an older script divided by a length of 0.
        "ho3d-v2": _ho3d(
            "v2",
            11524,
            {
                "xyz_mean3d": 56.87,
                "xyz_procrustes_al_mean3d": 5.19,
                "mesh_mean3d": 57.12,
                "mesh_al_mean3d": 5.47,
                "f_al_score_5": 0.0,
                "f_al_score_15": 0.017,
            },
        ),
        "ho3d-v3": _ho3d("v3", 20137, {}),
        "synth": Benchmark(
            name="synth",
            dataset="synth",
            version=None,
            samples=None,
            joint_order="freihand",
            joint_definition="freihand",
            joint_alignments=("raw", "procrustes", "scale_translation"),
            official=MappingProxyType({}),
        ),
    }
)

DATASETS = tuple(dict.fromkeys(benchmark.dataset for benchmark in BENCHMARKS.values()))


def benchmarks_of(dataset: str) -> list[Benchmark]:
    """Return the benchmarks of a dataset, one per version; an empty list for an unknown dataset.

    A dataset without an official benchmark has a single one, with its own evaluation split.
    """
    found = [benchmark for benchmark in BENCHMARKS.values() if benchmark.dataset == dataset]
    return found or [_own_split(dataset)] * (dataset in sources.SOURCES)


def _own_split(dataset: str) -> Benchmark:
    """Return the benchmark of a dataset that has no official one: like that of `synth`, under the dataset's name."""
    return replace(BENCHMARKS["synth"], name=dataset, dataset=dataset)


def find_benchmark(dataset: str, *, version: str | None = None, samples: int | None = None) -> Benchmark:
    """Return the benchmark of a dataset; without `version`, the one that has `samples` samples, else the first.

    Raises: ConfigError for an unknown dataset or version.
    """
    found = benchmarks_of(dataset)
    if not found:
        known = dict.fromkeys((*DATASETS, *sources.SOURCES))
        raise ConfigError(f"--dataset {dataset}: not a benchmark, expected one of {', '.join(known)}")
    if version is not None:
        named = [benchmark for benchmark in found if benchmark.version == version]
        if not named:
            versions = ", ".join(str(benchmark.version) for benchmark in found if benchmark.version)
            expected = f", expected one of {versions}" if versions else "; it has only one, so leave the option out"
            raise ConfigError(f"--version {version}: {dataset} has no such version{expected}")
        return named[0]
    fitting = [benchmark for benchmark in found if samples is not None and benchmark.samples == samples]
    return (fitting or found)[0]
