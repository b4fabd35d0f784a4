import numpy as np

from hifihr_core.photos import tiling


def _hand_at(x: float, y: float, size: float) -> np.ndarray:
    """Return 21 keypoints that fill a square."""
    return np.stack(np.meshgrid(np.linspace(x, x + size, 7), np.linspace(y, y + size, 3)), axis=-1).reshape(-1, 2)


def _finder(hands: list[tuple[np.ndarray, str]], shape: tuple[int, int]):
    """Return a detector that knows where the hands of a photo are: its tiles carry their corner in their pixels."""

    def look(tile: np.ndarray) -> list:
        corner = tile[0, 0, :2].astype(float)
        low, high = corner, corner + tile.shape[1::-1]
        return [
            (hand - corner, side, 0.9)
            for hand, side in hands
            if (hand.max(axis=0) > low).all() and (hand.min(axis=0) < high).all()
        ]

    image = np.zeros((*shape, 3), dtype=np.uint8)
    image[..., 0], image[..., 1] = np.arange(shape[1])[None], np.arange(shape[0])[:, None]
    return image, look


def test_each_hand_is_found_once_and_whole() -> None:
    hands = [(_hand_at(10, 20, 60), "right"), (_hand_at(150, 90, 40), "left")]
    image, look = _finder(hands, (160, 220))
    found = tiling.look_closer(image, look, max_hands=8)
    assert [one.side for one in found] == ["right", "left"]
    for one, (keypoints, _) in zip(found, hands, strict=True):
        np.testing.assert_allclose(one.keypoints_px, keypoints)
        np.testing.assert_allclose(one.box_px, [*keypoints.min(axis=0), *keypoints.max(axis=0)])


def test_clasped_hands_stay_two_and_one_hand_stays_one() -> None:
    outer, inner = _hand_at(0, 0, 100), _hand_at(45, 45, 50)
    sighting = tiling._detection
    assert not tiling._same_hand(sighting(outer, "right", 1.0), sighting(inner, "left", 1.0))
    assert tiling._same_hand(sighting(outer, "right", 1.0), sighting(inner, "right", 1.0))
    assert tiling._same_hand(sighting(outer, "right", 1.0), sighting(outer + 5, "left", 1.0))
    assert tiling._same_hand(sighting(outer, "right", 1.0), sighting(_hand_at(25, 25, 50), "left", 1.0))


def test_tiles_cover_the_photo() -> None:
    seen = np.zeros((101, 67), dtype=int)
    for x, y, tile in tiling._tiles(np.zeros((101, 67, 3), dtype=np.uint8), 3):
        seen[y : y + tile.shape[0], x : x + tile.shape[1]] += 1
    assert seen.min() >= 1
    assert seen.max() > 1


def test_the_area_of_an_empty_box_is_0() -> None:
    assert tiling.box_area(np.array([3.0, 3.0, 1.0, 5.0])) == 0
    assert tiling.box_area(np.array([1.0, 1.0, 3.0, 4.0])) == 6
