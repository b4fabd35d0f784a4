"""The package behind pages in a browser, imported when one is needed."""

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
        raise ConfigError("the viewer needs the package viser; pip install 'hifihr[view]'") from error
    return viser


def serve(host: str, port: int) -> Any:
    """Return a server of viser; its banner does not go to stdout, which is for data. Raises: as `import_viser`."""
    viser = import_viser()
    with redirect_stdout(StringIO()):
        return viser.ViserServer(host=host, port=port, label="hifihr", verbose=False)
