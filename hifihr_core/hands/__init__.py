"""Hand models behind one contract: `anny` (free, shipped), `mano` and `nimble` (the user's files)."""

from hifihr_core.hands.contract import Hand, HandModel, HandParameters, PosePrior

__all__ = ["Hand", "HandModel", "HandParameters", "PosePrior"]
