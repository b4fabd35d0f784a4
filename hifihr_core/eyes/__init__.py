"""The eyes: find the hands in a photo and the 21 joints of each.

eyes = Eyes.load()
hands = eyes.find(image_rgb)           # tuple of SeenHand, most certain first
hands = eyes.look(image_rgb, boxes)    # one per box x0, y0, x1, y1
"""

from hifihr_core.eyes.eyes import MIN_SCORE, Eyes
from hifihr_core.eyes.search import EFFORTS, Effort
from hifihr_core.eyes.seen_hand import SeenHand

__all__ = ["EFFORTS", "MIN_SCORE", "Effort", "Eyes", "SeenHand"]
