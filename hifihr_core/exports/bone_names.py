"""Name bones as other programs do."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from hifihr_core.errors import ConfigError
from hifihr_core.records import Side

#: Joint -> last part of its VRM name; VRM has no names for fingertips.
_VRM_PARTS = MappingProxyType(
    {"cmc": "Metacarpal", "mcp": "Proximal", "pip": "Intermediate", "dip": "Distal", "ip": "Distal", "tip": "Tip"}
)
_JOINT_NUMBERS = MappingProxyType({"mcp": 1, "pip": 2, "dip": 3})
_THUMB_NUMBERS = MappingProxyType({"cmc": 1, "mcp": 2, "ip": 3})


def _vrm(joint: str, side: Side) -> str:
    finger, _, part = joint.partition("_")
    word = {"pinky": "Little"}.get(finger, finger.capitalize())
    return f"{side}Hand" if joint == "wrist" else f"{side}{word}{_VRM_PARTS[part]}"


def _unreal(joint: str, side: Side) -> str:
    finger, _, part = joint.partition("_")
    if joint == "wrist":
        return f"hand_{side[0]}"
    if part == "tip":
        return f"{finger}_tip_{side[0]}"
    if part == "cmc" and finger != "thumb":
        return f"{finger}_metacarpal_{side[0]}"
    return f"{finger}_{_number(finger, part):02d}_{side[0]}"


def _mano(joint: str, side: Side) -> str:
    finger, _, part = joint.partition("_")
    if joint == "wrist" or part == "tip" or (part == "cmc" and finger != "thumb"):
        return f"{side}_{joint}"
    return f"{side}_{finger}{_number(finger, part)}"


def _number(finger: str, part: str) -> int:
    return (_THUMB_NUMBERS if finger == "thumb" else _JOINT_NUMBERS)[part]


#: Every style: (our name of the joint, side) -> name of the bone.
BONE_STYLES: Mapping[str, Callable[[str, Side], str]] = MappingProxyType(
    {"vrm": _vrm, "unreal": _unreal, "mano": _mano}
)


def bone_names(joints: Sequence[str], side: Side, style: str = "vrm") -> tuple[str, ...]:
    """Return the name of every bone in the style of VRM humanoids, Unreal's mannequin or smplx's MANO.

    `joints` are our names of the joints at which the bones start. Raises: ConfigError for an unknown style.
    """
    check_bone_style(style)
    return tuple(BONE_STYLES[style](joint, side) for joint in joints)


def check_bone_style(style: str) -> None:
    """Raise ConfigError for an unknown style of bone names."""
    if style not in BONE_STYLES:
        raise ConfigError(f"unknown style of bone names {style!r}, expected one of {', '.join(BONE_STYLES)}")
