"""Open Sound Control messages over UDP, for music, light and animation programs (opensoundcontrol.org, 1.0)."""

import socket
import struct
from collections.abc import Sequence

from hifihr_core.errors import ConfigError, DeviceError
from hifihr_core.video.live.live_hands import LiveHand

_LOOPBACK = "127.0.0.1"


class OscSender:
    """Sends hands to a program that listens on a port, one message ``/hifihr/hand`` per hand.

    A message holds the track, the side, and x, y, z of all 21 joints, metres in the camera frame. Raises: DeviceError
    for an unknown host.
    """

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._target = (socket.gethostbyname(host), port)
        except OSError as error:
            raise DeviceError(f"--osc {host}:{port}: unknown host ({error}); check its name") from error

    def send(self, hands: Sequence[LiveHand]) -> None:
        """Send one message per hand; a missing listener is not an error."""
        for hand in hands:
            values = [hand.id, hand.side, *map(float, hand.joints_cam.ravel())]
            self._socket.sendto(osc_message("/hifihr/hand", values), self._target)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def osc_message(address: str, values: Sequence[int | float | str]) -> bytes:
    """Return one message: address, types and values, big-endian, with strings padded to a multiple of four bytes."""
    types = "".join("i" if isinstance(v, int) else "s" if isinstance(v, str) else "f" for v in values)
    body = b"".join(
        _padded(v) if isinstance(v, str) else struct.pack(">i" if isinstance(v, int) else ">f", v) for v in values
    )
    return _padded(address) + _padded("," + types) + body


def parse_target(text: str) -> tuple[str, int]:
    """Parse HOST:PORT, or PORT for this machine. Raises: ConfigError for anything else."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"--osc {text}: expected HOST:PORT or PORT, with a port from 1 to 65535")
    return host or _LOOPBACK, int(port)


def _padded(text: str) -> bytes:
    data = text.encode() + b"\0"
    return data + b"\0" * (-len(data) % 4)
