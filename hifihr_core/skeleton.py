"""The 21 joints, their names and parents, and the joint orders of datasets and hand models.

Internally, joints are in FreiHAND's order (the same as OpenPose's hand): wrist, then thumb, index, middle, ring and
pinky, each from base to tip. A gather list has, for each of these 21 joints, its index in another order: ``ours =
theirs[gather]``.
"""

from types import MappingProxyType

FINGERS = ("thumb", "index", "middle", "ring", "pinky")

JOINT_NAMES = (
    "wrist",
    *("thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"),
    *(f"{finger}_{joint}" for finger in FINGERS[1:] for joint in ("mcp", "pip", "dip", "tip")),
)

NUM_JOINTS = len(JOINT_NAMES)

WRIST = 0
ROOT = 9  # middle MCP: the origin of the root frame
TIPS = (4, 8, 12, 16, 20)
#: The proximal interphalangeal joints of the four long fingers.
MIDDLE_JOINTS = (6, 10, 14, 18)

#: ``PARENTS[j]`` is the parent of joint j; -1 for the wrist.
PARENTS = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)

#: The 20 bones as (parent, child).
BONES = tuple((parent, child) for child, parent in enumerate(PARENTS) if parent >= 0)

#: The bone that FreiHAND's `scale` measures: the proximal phalanx of the middle finger.
SCALE_BONE = (9, 10)

GATHER = MappingProxyType(
    {
        "freihand": tuple(range(21)),
        # HO-3D: MANO's 16 joints, then the tips of thumb, index, middle, ring, pinky.
        "ho3d": (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20),
        # MANO with interleaved tips, as commonly used: fingers in MANO's order, each from base to tip.
        "mano_interleaved": (0, 17, 18, 19, 20, 1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 15, 16, 9, 10, 11, 12),
        # RHD: each finger from tip to base.
        "rhd": (0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17),
        # DART: MANO's 16 joints, then the tips of index, middle, pinky, ring, thumb.
        "dart": (0, 13, 14, 15, 20, 1, 2, 3, 16, 4, 5, 6, 17, 10, 11, 12, 19, 7, 8, 9, 18),
        # NIMBLE's 25: four bones per finger; the metacarpals of the four long fingers are not among ours.
        "nimble": (0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 24),
    }
)


def gather_from(source: str) -> tuple[int, ...]:
    """Return the indices that convert joints of `source` to our order: ``ours = theirs[gather_from(source)]``.

    Raises: ValueError for an unknown order.
    """
    if source not in GATHER:
        raise ValueError(f"unknown joint order {source!r}; known orders: {', '.join(GATHER)}")
    return GATHER[source]


def scatter_to(target: str) -> tuple[int, ...]:
    """Return the indices that convert our joints to another order: ``theirs = ours[scatter_to(target)]``.

    Raises: ValueError for an unknown order, or one that has other joints than our 21.
    """
    gather = gather_from(target)
    if sorted(gather) != list(range(NUM_JOINTS)):
        raise ValueError(f"joint order {target!r} has joints that ours lacks, expected an order of the same 21 joints")
    inverse = [0] * NUM_JOINTS
    for ours, theirs in enumerate(gather):
        inverse[theirs] = ours
    return tuple(inverse)
