"""The trained models that ship with the package; their licence class is "free"."""

from importlib.resources import files
from pathlib import Path

#: The image network, the keypoint lifter and the hand network, all for the free hand; docs/models.md is their card.
IMAGE_NETWORK = "anny_mobile.safetensors"
LIFTER = "anny_lifter.safetensors"
HAND_NETWORK = "anny_hand_network.safetensors"


def shipped_model(name: str) -> Path | None:
    """Return the path of a model in the package, or None if this installation lacks it."""
    path = Path(str(files("hifihr_core.models") / "data" / name))
    return path if path.is_file() else None
