import numpy as np

from hifihr_core.geometry.sides import mirror_axis


def test_only_left_hands_are_mirrored() -> None:
    np.testing.assert_array_equal(mirror_axis("right"), [1, 1, 1])
    np.testing.assert_array_equal(mirror_axis("left"), [-1, 1, 1])
