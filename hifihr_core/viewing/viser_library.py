"""Import viser, the package behind the browser pages, only when it is needed, and start its server."""

import socket
from contextlib import redirect_stdout
from io import StringIO
from types import ModuleType
from typing import Any

from hifihr_core.errors import ConfigError


def import_viser() -> ModuleType:
    """Return the module `viser`. Raises: ConfigError if it is not installed."""
    try:
        import viser
    except ImportError as error:
        raise ConfigError("the viewer needs the package viser; run pip install 'hifihr[view]'") from error
    return viser


def serve(host: str, port: int) -> Any:
    """Start a viser server and return it; its banner is suppressed, since stdout is for data.

    If the port is taken, the next free one is used. Raises: ConfigError if viser is not installed, or if this machine
    does not have the address `host`.
    """
    viser = import_viser()
    check_host(host)
    with redirect_stdout(StringIO()):
        return viser.ViserServer(host=host, port=port, label="hifihr", verbose=False)


def check_host(host: str) -> None:
    """Raise ConfigError if this machine cannot listen on the address; the server itself would wait forever."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"host {host!r}: cannot be used ({reason}), expected an address of this machine, such as 127.0.0.1"
        ) from error
