"""Left hands: all hand models are right hands, and a left hand is the mirror image of one."""

import numpy as np
from jaxtyping import Float

from hifihr_core.records import Side


def mirror_axis(side: Side) -> Float[np.ndarray, "3"]:
    """Return the factors that turn points of a right hand into those of a hand of `side`: a left one has x negated."""
    return np.array([-1.0 if side == "left" else 1.0, 1.0, 1.0])
