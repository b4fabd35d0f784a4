"""The layout of a shard folder: names, versions, and the facts that hold for a whole dataset (docs/shards.md)."""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hifihr_core.errors import DataError
from hifihr_core.outside.json_text import parse_json, read_json
from hifihr_core.samples import LABELS, Sample

FORMAT = "hifihr-shards"
FORMAT_VERSION = 1
INDEX_NAME = "index.json"

#: Labels of a single picture; all others, K and the mask belong to the annotated pose.
PER_IMAGE = frozenset(name for name, label in LABELS.items() if label.per_picture)

#: The two tables of a shard. A row of `samples` is one picture; its `annotation` is a row of `annotations`.
SAMPLES = "samples"
ANNOTATIONS = "annotations"

#: `crop_scale` of older shards that do not state it; all other datasets used the default.
_CROP_SCALES_BEFORE: Mapping[str, float | None] = MappingProxyType(
    {"freihand": None, "dart": None, "synth": None, "ho3d": 2.2, "rhd": 1.8}
)

Camera = Literal["perspective", "orthographic", "assumed"]


class _Record(BaseModel):
    """A frozen record in the index; fields of later minor versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class DatasetFacts(_Record):
    """Facts that hold for every sample of a split.

    `hand` names the hand model of the labels `global_orient`, `pose`, `shape` and `texture`, None if there are none;
    `pose_zero` says whether a zero pose is the flat hand or the model's mean hand. `root_joint` is the joint that
    `root_cam` refers to. `camera` is `orthographic` if the distance of the hand was chosen arbitrarily (DART), and
    `assumed` if K may be a guess (photos). `mano_stand_in` means that `mano_vertices_cam` are 778 fixed points of
    another hand model instead of MANO's vertices. `crop_scale` is the side of the square that a network sees, as a
    multiple of the hand's box, in training and evaluation; None means the whole picture, for datasets that are already
    cropped.
    """

    dataset: str
    split: str
    version: str
    licence: str
    joint_definition: Literal["freihand", "ho3d", "other"]
    root_joint: int = 9
    hand: str | None = None
    pose_zero: Literal["flat", "mean"] | None = None
    camera: Camera = "perspective"
    synthetic: bool = False
    mano_stand_in: bool = False
    provenance: str = ""
    crop_scale: float | None = 2.0


class LabelFacts(_Record):
    """The shape of one label, the table that contains it, and how many rows of this table have it."""

    shape: tuple[int, ...]
    table: Literal["samples", "annotations"]
    count: int


class ShardFacts(_Record):
    """One file of a shard folder; `file` is a bare name, so an index cannot point to other folders."""

    file: str = Field(pattern=r"^[\w.-]*\w\.h5$")
    samples: int = Field(ge=0)
    annotations: int = Field(ge=0)
    bytes: int = Field(ge=1)
    sha256: str

    @model_validator(mode="after")
    def _fits(self) -> "ShardFacts":
        """Check that the file has at least one byte per sample and per annotation."""
        if max(self.samples, self.annotations) > self.bytes:
            raise ValueError(
                f"{self.file}: {self.bytes:,} bytes are too few for {self.samples:,} samples and {self.annotations:,} "
                "annotations"
            )
        return self


class Problem(_Record):
    """A skipped sample, and the reason."""

    key: str
    reason: str


class CheckFacts(_Record):
    """A check of the data: what was measured, or why it was skipped."""

    name: str
    status: Literal["passed", "failed", "skipped"]
    detail: str


class ShardIndex(_Record):
    """Contents of `index.json`, which is written last, so its presence means that the folder is complete."""

    format: Literal["hifihr-shards"] = "hifihr-shards"
    format_version: int = FORMAT_VERSION
    software: str
    facts: DatasetFacts
    plan: dict[str, Any]
    samples: int
    annotations: int
    labels: dict[str, LabelFacts]
    shards: tuple[ShardFacts, ...]
    checks: tuple[CheckFacts, ...] = ()
    problem_count: int = 0
    problems: tuple[Problem, ...] = ()

    def dump(self) -> str:
        """Return the text of `index.json`; equal indexes give the same text."""
        return json.dumps(self.model_dump(mode="json"), indent=1) + "\n"


def read_index(folder: Path) -> ShardIndex:
    """Read the index of a shard folder. Raises: DataError if it is missing, broken or of another version."""
    path = folder / INDEX_NAME
    if not path.is_file():
        found = f"no {INDEX_NAME}" if folder.is_dir() else "a file" if folder.exists() else "no such folder"
        raise DataError(
            f"{folder}: {found}, expected a finished shard folder; create or complete it with `hifihr prepare`"
        )
    return _validate(read_json(path, remedy="prepare the dataset again"), path)


def parse_index(content: bytes, name: str) -> ShardIndex:
    """Return the index of a shard folder from its bytes. Raises: DataError if it is broken or of another version."""
    return _validate(parse_json(content, name, remedy="prepare the dataset again"), name)


def _validate(content: Any, path: Path | str) -> ShardIndex:
    try:
        version = content.get("format_version") if isinstance(content, dict) else None
        if version != FORMAT_VERSION:
            found = "no layout version" if version is None else f"layout version {version!r:.40}"
            raise DataError(f"{path}: {found}, expected {FORMAT_VERSION}; prepare the dataset again")
        return ShardIndex.model_validate(_renew(content))
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise DataError(f"{path}: {reason}, expected a shard index; prepare the dataset again") from error


def _renew(content: dict[str, Any]) -> dict[str, Any]:
    """Add the fields that indexes of earlier releases lack; `content` is changed in place and returned."""
    plan, default = content.get("plan"), DatasetFacts.model_fields["crop_scale"].default
    for facts in (content.get("facts"), plan.get("facts") if isinstance(plan, dict) else None):
        if isinstance(facts, dict):
            facts.setdefault("crop_scale", _CROP_SCALES_BEFORE.get(str(facts.get("dataset")), default))
    return content


def find_problem(sample: Sample, *, sibling: Sample | None = None) -> str | None:
    """Return why a sample is invalid, or None if it is valid.

    The image must not be empty, K must be a camera matrix, and each label must be known, of the right shape, float32
    and finite. Arrays that are shared with `sibling`, a valid sample of the same annotation, are not checked again.
    """
    checked = sibling.labels if sibling is not None and sibling.annotation == sample.annotation else {}
    if not sample.image:
        return "the image is empty"
    if sample.K.shape != (3, 3) or not np.isfinite(sample.K).all() or sample.K[0, 0] <= 0 or sample.K[1, 1] <= 0:
        return f"K is {sample.K.tolist()}, expected a 3 x 3 matrix of finite numbers with positive focal lengths"
    for name, value in sample.labels.items():
        reason = None if checked.get(name) is value else _find_label_problem(name, value)
        if reason:
            return reason
    return None


def _find_label_problem(name: str, value: np.ndarray) -> str | None:
    """Return what is wrong with one label, or None."""
    if name not in LABELS or name == "mask":
        return f"unknown label {name!r}"
    shape = LABELS[name].shape
    if not fits_shape(value.shape, shape) or value.dtype != np.float32:
        return f"{name} is {value.dtype} {value.shape}, expected float32 {describe_shape(shape)}"
    if not np.isfinite(value).all():
        return f"{name} contains a non-finite number"
    return None


def fits_shape(found: Sequence[int], expected: Sequence[int]) -> bool:
    """Return whether a shape is the expected one, in which -1 matches any size."""
    return len(found) == len(expected) and all(want in (-1, got) for want, got in zip(expected, found, strict=True))


def describe_shape(shape: Sequence[int]) -> str:
    """Return an expected shape for a message, with N in place of -1, which matches any size."""
    return str(tuple(shape)).replace("-1", "N")


def sample_checksum(key: str, image: bytes, labels: Mapping[str, np.ndarray]) -> int:
    """Return the CRC-32 of the key, the image, and the picture's labels in alphabetical order."""
    return _crc(labels, zlib.crc32(image, zlib.crc32(key.encode())))


def annotation_checksum(key: str, K: np.ndarray, mask: bytes | None, labels: Mapping[str, np.ndarray]) -> int:
    """Return the CRC-32 of the key, K, the mask, and the pose's labels in alphabetical order."""
    crc = zlib.crc32(_little(K), zlib.crc32(key.encode()))
    return _crc(labels, zlib.crc32(mask or b"", crc))


def _crc(labels: Mapping[str, np.ndarray], crc: int) -> int:
    for name in sorted(labels):
        crc = zlib.crc32(_little(labels[name]), crc)
    return crc


def _little(values: np.ndarray) -> bytes:
    """Return float32 values as little-endian bytes, as in the file."""
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def table_of(label: str) -> Literal["samples", "annotations"]:
    """Return the name of the table that contains a label."""
    return "samples" if label in PER_IMAGE else "annotations"


def split_evenly(count: int, *, bytes_each: int, target_bytes: int) -> Sequence[range]:
    """Divide `count` annotations into the fewest ranges of nearly equal length that have at most `target_bytes` each.

    An annotation has `bytes_each` bytes; a range has at least one annotation, even if that is larger.
    """
    if count < 1:
        return []
    pieces = math.ceil(count / max(1, target_bytes // bytes_each))
    edges = [count * piece // pieces for piece in range(pieces + 1)]
    return [range(start, stop) for start, stop in pairwise(edges)]
