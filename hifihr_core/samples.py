"""One sample of a dataset, and the names of everything that can be known about a hand.

Apart from `records.py`, whose names it shares, so that reading and packing data never waits for torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

Side = Literal["right", "left"]

#: Every label that a sample may carry: shape, and what it is. Supervision levels, shards and losses use these names.
LABELS: Mapping[str, tuple[tuple[int, ...], str]] = MappingProxyType(
    {
        "joints_cam": ((21, 3), "annotated joints, camera frame, metres"),
        "joints_px": ((21, 2), "annotated joints in the image, pixels (u, v)"),
        "joints_visible": ((21,), "1 where an annotated joint is visible, else 0"),
        "keypoints_px": ((21, 2), "joints found by a 2D detector, pixels; (0, 0) where it found none"),
        "keypoints_confidence": ((21,), "the detector's confidence per joint, 0 to 1"),
        "mano_vertices_cam": (
            (778, 3),
            "MANO vertices (or the 778 stand-ins of a synthetic tree), camera frame, metres",
        ),
        "root_cam": (
            (3,),
            "the root joint given with the sample, camera frame, metres; the wrist in HO-3D's evaluation",
        ),
        "bone_m": ((), "length of the middle finger's proximal phalanx, metres (FreiHAND's `scale`)"),
        "box_px": ((4,), "a box given with the sample, pixels x0, y0, x1, y1"),
        "global_orient": ((3,), "rotation of the hand model named by the dataset, axis-angle"),
        "pose": ((-1,), "pose coefficients of that model"),
        "shape": ((-1,), "shape coefficients of that model"),
        "texture": ((-1,), "texture coefficients of that model"),
        "light": ((9,), "ambient colour, light colour, direction towards the light"),
        "mask": ((-1, -1), "True where the hand is, one value per pixel"),
    }
)


@dataclass(frozen=True)
class Sample:
    """One right-looking hand in one picture, as a source reads it and a shard keeps it.

    The picture of a left hand, with its K and labels, was mirrored already; `side` remembers what it was.
    `labels` holds float32 arrays under the names of `LABELS`, except `mask`, which stays encoded in `mask`.
    Samples with the same `annotation` show the same annotated pose and share their labels (FreiHAND's four versions).
    """

    key: str
    annotation: str
    image: bytes
    K: np.ndarray
    labels: Mapping[str, np.ndarray]
    mask: bytes | None = None
    side: Side = "right"
