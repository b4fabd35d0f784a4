"""Gestures as a person would describe them: anatomical degrees, 0 = straight.

A finger is (MCP flexion, abduction towards the thumb's side, PIP flexion, DIP flexion); the thumb is (CMC flexion,
abduction, opposition, MCP flexion, MCP abduction, IP flexion), with its saddle joint relative to the open rest pose.
"""

from dataclasses import dataclass, field

import numpy as np

from hifihr_core.hands.anny.rig import ANGLES
from hifihr_core.skeleton import FINGERS

Finger = tuple[float, float, float, float]
Thumb = tuple[float, float, float, float, float, float]

#: Sideways angles, degrees, that bring the spread fingers of the rest pose together, and that spread them further.
CLOSED = {"index": -8.0, "middle": -1.0, "ring": 7.0, "pinky": 14.0}
WIDE = {"index": 7.0, "middle": 1.0, "ring": -5.0, "pinky": -9.0}
REST = dict.fromkeys(CLOSED, 0.0)


#: What the thumb's pad can touch: a bone, and a side of it.
TARGETS = {
    "index": ("index_dip", "pad"),
    "middle": ("middle_dip", "pad"),
    "ring": ("ring_dip", "pad"),
    "pinky": ("pinky_dip", "pad"),
    "index_back": ("index_pip", "back"),
    "middle_back": ("middle_pip", "back"),
    "ring_back": ("ring_pip", "back"),
    "index_side": ("index_pip", "side"),
}


@dataclass(frozen=True)
class Gesture:
    """One gesture: `touch` names what the thumb's pad touches, `loose` how much the gesture may vary (1: normally)."""

    thumb: Thumb
    fingers: tuple[Finger, Finger, Finger, Finger]
    touch: tuple[str, ...] = field(default=())
    loose: float = 1.0
    weight: float = 1.0


def _all(mcp: float, pip: float, dip: float, lean: dict[str, float], slope: float = 0.0) -> tuple[Finger, ...]:
    """Return four equal fingers; `slope` adds flexion from index to pinky."""
    return tuple((mcp + slope * k, lean[f], pip + slope * k, dip + 0.5 * slope * k) for k, f in enumerate(FINGERS[1:]))


def _some(
    straight: str, lean: dict[str, float] = REST, curl: tuple[float, float, float] = (80, 98, 55)
) -> tuple[Finger, ...]:
    """Return fingers of which those named by their first letters (i, m, r, p) are straight, the others curled."""
    return tuple(
        (4.0, lean[f], 6.0, 4.0) if f[0] in straight else (curl[0], CLOSED[f], curl[1], curl[2]) for f in FINGERS[1:]
    )


_SIDE: Thumb = (0, -12, 0, 8, 0, 5)
_OPEN: Thumb = (-12, 0, 0, -5, 0, 0)
_ACROSS: Thumb = (26, 24, 28, 38, 0, 45)
_RELAXED: Thumb = (6, 4, 8, 14, 0, 18)
_OPPOSED: Thumb = (8, 26, 30, 18, 0, 20)

GESTURES: dict[str, Gesture] = {
    "flat": Gesture(_SIDE, _all(2, 4, 3, CLOSED), loose=0.6),
    "flat_thumb_out": Gesture(_OPEN, _all(0, 3, 2, CLOSED), loose=0.6),
    "spread": Gesture(_OPEN, _all(-2, 4, 3, WIDE), loose=0.7),
    "five": Gesture(_OPEN, _all(5, 10, 6, REST), weight=2.0),
    "bent_back": Gesture(_OPEN, _all(-18, 4, 2, REST), loose=0.6, weight=0.5),
    "relaxed": Gesture(_RELAXED, _all(22, 28, 14, CLOSED, 5), weight=3.0),
    "relaxed_open": Gesture(_RELAXED, _all(12, 20, 10, REST, 4), weight=3.0),
    "half_open": Gesture(_RELAXED, _all(35, 48, 25, REST, 2), weight=2.0),
    "fist": Gesture(_ACROSS, _all(82, 98, 55, CLOSED), ("index_back", "middle_back"), loose=0.5, weight=1.5),
    "loose_fist": Gesture(_ACROSS, _all(66, 82, 42, CLOSED, 2), ("index_back",), loose=0.7, weight=1.5),
    "thumb_up": Gesture((-25, -10, 0, -5, 0, -10), _all(80, 98, 55, CLOSED), loose=0.5),
    "fist_thumb_side": Gesture((10, -5, 0, 15, 0, 15), _all(80, 98, 55, CLOSED), ("index_side",), loose=0.5),
    "point": Gesture(_ACROSS, _some("i"), ("middle_back",), loose=0.6, weight=1.5),
    "point_thumb_out": Gesture(_OPEN, _some("i"), loose=0.6),
    "touch_screen": Gesture(_RELAXED, ((28, 0, 26, 12), (46, -1, 52, 28), (52, 7, 58, 30), (54, 12, 58, 30))),
    "two": Gesture(_ACROSS, _some("im", {**REST, "index": 6.0, "middle": -4.0}), ("ring_back",), loose=0.5),
    "two_together": Gesture(_ACROSS, _some("im", CLOSED), ("ring_back",), loose=0.5),
    "three": Gesture(_ACROSS, _some("imr"), ("pinky",), loose=0.5),
    "three_thumb": Gesture(_OPEN, _some("im"), loose=0.6),
    "four": Gesture((26, 20, 30, 40, 0, 50), _all(3, 5, 4, REST), loose=0.5),
    "horns": Gesture(_ACROSS, _some("ip"), ("middle_back",), loose=0.5, weight=0.5),
    "i_love_you": Gesture(_OPEN, _some("ip"), loose=0.6, weight=0.5),
    "call_me": Gesture((-22, 0, 0, -5, 0, -5), _some("p"), loose=0.6),
    "pinky_up": Gesture(
        _ACROSS,
        _some("p"),
        (
            "index_back",
            "middle_back",
        ),
        loose=0.5,
        weight=0.5,
    ),
    "pinch": Gesture(_OPPOSED, ((42, 2, 48, 26), (38, 0, 44, 22), (40, 6, 44, 22), (42, 10, 42, 20)), ("index",)),
    "ok": Gesture(_OPPOSED, ((48, 4, 56, 30), (12, 2, 16, 8), (6, 0, 10, 6), (2, -4, 8, 4)), ("index",)),
    "pinch_middle": Gesture(
        _OPPOSED, ((20, 4, 22, 10), (52, 0, 54, 28), (28, 2, 30, 14), (20, -2, 22, 10)), ("middle",)
    ),
    "pinch_ring": Gesture(
        (16, 28, 40, 25, 0, 30), ((12, 4, 16, 8), (22, 0, 26, 12), (58, 2, 60, 32), (32, 2, 36, 18)), ("ring",)
    ),
    "pinch_pinky": Gesture(
        (22, 28, 46, 35, 0, 35), ((8, 4, 14, 6), (14, 0, 18, 8), (34, 2, 36, 18), (62, 0, 58, 32)), ("pinky",)
    ),
    "tripod": Gesture(
        _OPPOSED,
        ((46, -2, 46, 22), (50, 2, 50, 26), (56, 8, 62, 32), (58, 12, 62, 32)),
        ("index", "middle"),
        weight=1.5,
    ),
    "five_finger_pinch": Gesture(
        _OPPOSED, ((50, -6, 34, 16), (52, 0, 36, 18), (54, 8, 36, 18), (56, 16, 34, 16)), ("middle",), loose=0.6
    ),
    "key_pinch": Gesture(
        (14, -6, 10, 18, 0, 18), ((46, 0, 58, 28), *_all(62, 74, 36, CLOSED)[1:]), ("index_side",), loose=0.6
    ),
    "grasp_wide": Gesture((-2, 28, 26, 4, 0, 10), _all(24, 34, 20, WIDE), weight=1.5),
    "grasp_bottle": Gesture((0, 28, 28, 10, 0, 18), _all(38, 48, 28, CLOSED, 2), weight=2.0),
    "grasp_rod": Gesture((14, 26, 30, 22, 0, 30), _all(58, 70, 38, CLOSED, 3), weight=1.5),
    "grasp_ball": Gesture((0, 26, 28, 6, 0, 12), _all(30, 38, 22, WIDE), weight=1.5),
    "grasp_plate": Gesture((6, 16, 22, 4, 0, 2), _all(50, 14, 6, CLOSED)),
    "hook": Gesture(_SIDE, _all(8, 78, 42, CLOSED), loose=0.7),
    "claw": Gesture(_OPEN, _all(-4, 60, 36, WIDE), loose=0.7),
    "table_top": Gesture(_RELAXED, _all(66, 6, 4, CLOSED), loose=0.7),
    "duck_bill": Gesture((8, 18, 22, 0, 0, 0), _all(48, 10, 6, CLOSED), loose=0.7),
}


def anatomical(gesture: Gesture) -> np.ndarray:
    """Return the 24 angles, radians, of a gesture: the metacarpals of ring and pinky flex with their fingers."""
    values: dict[str, float] = {}
    thumb = ("cmc_flexion", "cmc_abduction", "cmc_opposition", "mcp_flexion", "mcp_abduction", "ip_flexion")
    values |= {f"thumb_{angle}": degrees for angle, degrees in zip(thumb, gesture.thumb, strict=True)}
    finger_angles = ("mcp_flexion", "mcp_abduction", "pip_flexion", "dip_flexion")
    for finger, angles in zip(FINGERS[1:], gesture.fingers, strict=True):
        values |= {f"{finger}_{angle}": degrees for angle, degrees in zip(finger_angles, angles, strict=True)}
    values["ring_cmc_flexion"] = 0.09 * max(values["ring_mcp_flexion"], 0)
    values["pinky_cmc_flexion"] = 0.18 * max(values["pinky_mcp_flexion"], 0)
    return np.radians([values[name] for name in ANGLES])
