"""Choose the encoder for clips: the table lists the encoders for each codec, best first.

Their options forbid the reordering of frames, so that parts can be joined; files are about as large as a phone's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hifihr_core.errors import AssetError, ConfigError


@dataclass(frozen=True)
class VideoEncoder:
    """An FFmpeg encoder: its name in FFmpeg and its options."""

    name: str
    options: Mapping[str, str]


_OPENH264 = VideoEncoder("libopenh264", {"b": "4000000", "rc_mode": "quality"})
_X264 = VideoEncoder("libx264", {"crf": "20", "preset": "veryfast", "bf": "0"})
_VP9 = VideoEncoder(
    "libvpx-vp9", {"crf": "28", "b": "0", "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "row-mt": "1"}
)

#: Every codec by the name on the command line. H.264 plays everywhere; VP9 needs neither a GPL library nor H.264 patent
#: licences, and plays in browsers and VLC, but not in QuickTime.
CODECS: Mapping[str, tuple[VideoEncoder, ...]] = MappingProxyType(
    {"auto": (_OPENH264, _X264, _VP9), "h264": (_OPENH264, _X264), "vp9": (_VP9,)}
)


def find_encoder(av: Any, codec: str = "auto") -> VideoEncoder:
    """Return the first encoder of a codec that this installation of PyAV (the module `av`) has.

    Raises: ConfigError for an unknown codec; AssetError if none of its encoders is available.
    """
    if codec not in CODECS:
        raise ConfigError(f"unknown codec {codec!r}, expected one of {', '.join(CODECS)}")
    for encoder in CODECS[codec]:
        try:
            av.codec.Codec(encoder.name, "w")
        except ValueError:  # PyAV has no codec with this name
            continue
        return encoder
    names = " or ".join(encoder.name for encoder in CODECS[codec])
    remedy = "give --no-overlay" if codec == "auto" else "give another --codec, or --no-overlay"
    raise AssetError(f"codec {codec}: the installed PyAV has no encoder {names}; {remedy}")
