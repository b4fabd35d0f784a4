"""The one place that imports onnxruntime: its builds may report their use to Microsoft, which is disabled here."""

import os
from typing import Any


def import_onnxruntime() -> Any:
    """Return the module `onnxruntime`, which sends no telemetry unless ORT_DISABLE_TELEMETRY allows it.

    With telemetry, version 1.32 also warns, in colour, if it cannot store an identifier of the machine.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
