"""Hand models with one interface: `anny` (free, shipped), `mano` and `nimble` (from the user's files)."""

from hifihr_core.hands.contract import Hand, HandModel, HandParameters, JointDefinition, PosePrior
from hifihr_core.hands.table import HAND_NAMES, load_hand

__all__ = ["HAND_NAMES", "Hand", "HandModel", "HandParameters", "JointDefinition", "PosePrior", "load_hand"]
