"""Jitter a picture's amplitude spectrum: its statistics change, but its edges do not move.

Networks trained on rendered pictures rely on frequency amplitudes, which renderers get wrong; random amplitudes prevent
that. Source: Chattopadhyay et al., "PASTA: Proportional Amplitude Spectrum Training Augmentation", ICCV 2023: the noise
grows with the frequency, as rendered and real pictures differ most there.
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
    """Return a picture whose amplitudes are multiplied by ``1 + sigma * normal``, with unchanged phases.

    ``sigma = strength * (distance to frequency 0 / the largest) ** growth + floor``; the mean colour is unchanged.
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
