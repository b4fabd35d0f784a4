"""The colour of skin from its pigments: melanin, blood and carotene over a pale ground (Beer-Lambert absorption).

The absorptions are per sRGB primary, in the proportions of the published spectra at about 610, 545 and 465 nm (melanin
falls with wavelength; haemoglobin peaks in green; carotene absorbs blue), flattened towards grey for melanin, because
blue light that melanin absorbs is scattered before it gets deep. See docs/hands_anny.md.
"""

import numpy as np

#: Linear reflectance of skin without pigment or blood.
GROUND = np.array([0.89, 0.75, 0.62])
MELANIN = np.array([1.05, 1.27, 1.45])
BLOOD = np.array([0.07, 1.00, 0.80])
CAROTENE = np.array([0.03, 0.16, 1.00])
#: The absorption of a vein under the skin: mostly red, so that it looks blue or green.
VEIN = np.array([1.0, 0.42, 0.25])


def skin_colour(melanin: np.ndarray, blood: np.ndarray, carotene: np.ndarray, vein: np.ndarray) -> np.ndarray:
    """Return sRGB (N, 3) in [0, 1] for pigment densities (N,); see the module for the model."""
    absorbed = melanin[:, None] * MELANIN + blood[:, None] * BLOOD + carotene[:, None] * CAROTENE + vein[:, None] * VEIN
    return encode(GROUND * np.exp(-absorbed))


def encode(linear: np.ndarray) -> np.ndarray:
    """Return sRGB values of linear reflectances (IEC 61966-2-1)."""
    linear = np.clip(linear, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
