"""One sample of a dataset, and the table of all labels of a hand.

It is separate from `records.py`, which re-exports its names, so that reading and packing data does not import torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

Side = Literal["right", "left"]

#: The kind of a label, which determines how it changes when its picture is mirrored, cropped, scaled or rotated:
#: `not` does not change; `cam` points or a vector in the camera frame; `px` pixels; `found_px` pixels from a detector,
#: (0, 0) if not found; `box_px` a box, x0, y0, x1, y1; `global_rotation` axis-angle from the hand to the camera;
#: `joint_rotations` axis-angles between bones; `light` two colours and a direction; `sky` eight harmonics per channel;
#: `picture` an image, which changes like the picture itself.
Moves = Literal[
    "not", "cam", "px", "found_px", "box_px", "global_rotation", "joint_rotations", "light", "sky", "picture"
]


@dataclass(frozen=True)
class Label:
    """One row of `LABELS`. A size of -1 in `shape` means any size.

    `moves` names the rule by which the label changes with its picture; `augmentation.moves` (for batches) and
    `sources.cutting` (for one sample) implement the rules. A `per_picture` label belongs to a single picture, others to
    the annotated pose, which several pictures may share.
    """

    shape: tuple[int, ...]
    meaning: str
    moves: Moves = "not"
    per_picture: bool = False


#: Every label that a sample may have. Supervision levels, shards and losses use these names; a new label only needs a
#: new row here.
LABELS: Mapping[str, Label] = MappingProxyType(
    {
        "joints_cam": Label((21, 3), "annotated joints, camera frame, metres", "cam"),
        "joints_px": Label((21, 2), "annotated joints in the image, pixels (u, v)", "px"),
        "joints_visible": Label((21,), "1 where an annotated joint is visible, else 0"),
        "keypoints_px": Label((21, 2), "joints found by a 2D detector, pixels; (0, 0) if not found", "found_px", True),
        "keypoints_confidence": Label((21,), "the detector's confidence per joint, 0 to 1", per_picture=True),
        "mano_vertices_cam": Label(
            (778, 3), "MANO vertices (without MANO, 778 points of a synthetic hand), camera frame, metres", "cam"
        ),
        "root_cam": Label(
            (3,), "the root joint given with the sample (in HO-3D's evaluation the wrist), camera frame, metres", "cam"
        ),
        "bone_m": Label((), "length of the middle finger's proximal phalanx, metres (FreiHAND's `scale`)"),
        "box_px": Label((4,), "a box given with the sample, pixels x0, y0, x1, y1", "box_px"),
        "global_orient": Label((3,), "rotation of the dataset's hand model, axis-angle", "global_rotation"),
        "pose": Label((-1,), "pose coefficients of the dataset's hand model", "joint_rotations"),
        "shape": Label((-1,), "shape coefficients of the dataset's hand model"),
        "texture": Label((-1,), "texture coefficients of the dataset's hand model"),
        "light": Label((9,), "ambient colour, light colour, unit vector towards the light", "light"),
        "sky": Label((8, 3), "eight coefficients per channel of the sky's light; see docs/conventions.md", "sky"),
        "mask": Label((-1, -1), "True where the hand is, one value per pixel", "picture"),
    }
)


@dataclass(frozen=True)
class Sample:
    """One right (or mirrored left) hand in one picture, as read by a source and stored in a shard.

    The picture of a left hand has been mirrored along with K and labels; `side` is the original side.
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
