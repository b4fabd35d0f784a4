"""Convert the colours of a photo with an ICC profile (Display P3, Adobe RGB, ProPhoto, CMYK) to sRGB."""

import io
from functools import cache
from typing import Any

from PIL import Image


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert the picture to sRGB; it is unchanged if the profile is damaged or does not fit its mode."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in (source.profile.profile_description or "") and image.mode == "RGB":
            return image
        converted = ImageCms.profileToProfile(
            image, source, _srgb(), renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    return image if converted is None else converted


@cache
def _srgb() -> Any:
    from PIL import ImageCms

    return ImageCms.createProfile("sRGB")
