import numpy as np

from hifihr_core.augmentation.spectrum import jitter_spectrum


def _picture() -> np.ndarray:
    rows, columns = np.mgrid[:48, :40]
    smooth = 128 + 60 * np.sin(rows / 6)[..., None] * np.array([1.0, 0.6, 0.3]) + 20 * np.cos(columns / 5)[..., None]
    return smooth.astype(np.uint8)


def test_amplitudes_change_and_the_mean_colour_does_not() -> None:
    picture = _picture()
    changed = jitter_spectrum(picture, np.random.default_rng(0))
    assert changed.shape == picture.shape
    assert changed.dtype == np.uint8
    assert np.abs(changed.astype(float) - picture).mean() > 1
    np.testing.assert_allclose(changed.mean(axis=(0, 1)), picture.mean(axis=(0, 1)), atol=1.5)


def test_phases_stay() -> None:
    picture = _picture()
    changed = jitter_spectrum(picture, np.random.default_rng(1), strength=0.0, floor=0.3)
    before, after = (np.fft.rfft2(one.astype(float), axes=(0, 1)) for one in (picture, changed))
    strong = np.abs(before) > 0.02 * np.abs(before).max()
    turn = np.angle(after[strong] / before[strong])
    assert np.abs(turn).max() < 0.1


def test_no_jitter_changes_nothing_and_a_seed_repeats() -> None:
    picture = _picture()
    np.testing.assert_array_equal(jitter_spectrum(picture, np.random.default_rng(0), strength=0.0, floor=0.0), picture)
    one, other = (jitter_spectrum(picture, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
