"""The one place that imports onnxruntime: its builds may report their use to Microsoft, and here they do not."""

import os
from typing import Any


def import_onnxruntime() -> Any:
    """Return the module `onnxruntime`, which sends no telemetry unless ORT_DISABLE_TELEMETRY says that it may.

    Version 1.32 also warns, in colour, where it can store no identifier of the machine.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
