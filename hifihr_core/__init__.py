"""hifihr: from one photo of a hand to an accurate, posed, textured 3D hand.

    import hifihr_core as hifihr

    hands = hifihr.predict("photo.jpg").hands

The names in `__all__` are public and documented in docs/reference/python.md. Each is loaded when it is first used, so
that importing this package is cheap.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

#: Public name -> the module that defines it.
_PUBLIC = {
    "predict": "hifihr_core.api",
    "train": "hifihr_core.api",
    "evaluate": "hifihr_core.api",
    "Predictor": "hifihr_core.prediction.predictor",
    "PredictSettings": "hifihr_core.prediction.predictor",
    "PhotoResult": "hifihr_core.exports.results",
    "HandResult": "hifihr_core.exports.results",
    "load_hand": "hifihr_core.hands",
    "HandModel": "hifihr_core.hands",
    "HandParameters": "hifihr_core.hands",
    "Renderer": "hifihr_core.rendering",
    "HifihrError": "hifihr_core.errors",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; public names: {', '.join(_PUBLIC)}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value  # so that it is looked up only once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
