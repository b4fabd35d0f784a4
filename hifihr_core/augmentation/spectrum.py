"""Jitter a picture's amplitude spectrum: its statistics change, but its edges do not move.

Networks trained on rendered pictures may rely on the amplitudes of frequencies, which renderers get wrong; random
amplitudes prevent this. The noise grows with the frequency, since rendered and real pictures differ most at high ones.
Source: Chattopadhyay et al., "PASTA: Proportional Amplitude Spectrum Training Augmentation", ICCV 2023.
"""

import numpy as np
from jaxtyping import Float, UInt8


def jitter_spectrum(
    picture: UInt8[np.ndarray, "H W 3"],
    random: np.random.Generator,
    *,
    strength: float = 3.0,
    growth: float = 2.0,
    floor: float = 0.15,
) -> UInt8[np.ndarray, "H W 3"]:
    """Return the picture with each amplitude multiplied by ``abs(1 + sigma * z)``, z standard normal; phases are kept.

    ``sigma = strength * f ** growth + floor``, where f is the frequency relative to the largest one. The mean colour is
    kept, except that values are clipped to 0 to 255.
    """
    spectrum = np.fft.rfft2(picture.astype(np.float32), axes=(0, 1))
    sigma = strength * _distance(*picture.shape[:2]) ** growth + floor
    sigma[0, 0] = 0.0
    factor = 1 + sigma[..., None] * random.standard_normal(spectrum.shape, dtype=np.float32)
    changed = np.fft.irfft2(spectrum * np.abs(factor), s=picture.shape[:2], axes=(0, 1))
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def _distance(height: int, width: int) -> Float[np.ndarray, "H W"]:
    """Return the distance of each entry in a real spectrum from frequency 0, relative to the largest."""
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    distance = np.hypot(rows, columns).astype(np.float32)
    return distance / distance.max()
