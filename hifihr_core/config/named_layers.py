"""Named layers of settings, for the command line and for calls of `fit` from Python:

settings = load_settings(RunSettings, layers=[PRETRAINING], overrides=["data.train=['synth']"])
fit(settings, Path("runs/mine"))
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Layer:
    """Settings that belong together: `values` maps dotted names to values; `name` appears in messages."""

    name: str
    values: Mapping[str, object] = field(default_factory=dict)


#: A layer without settings.
EMPTY = Layer("defaults")

#: The choices of the original release that differ from the defaults; its bugs are not reproduced.
PAPER = Layer(
    "--paper",
    MappingProxyType(
        {
            "data.augmentation": "paper",
            "model.normalize": False,
            "model.rotation": "axis_angle",
            "model.relative_to_ray": False,
            "model.light": "paper",
            "render.shading": "phong",
            "render.supersample": 3,
            "render.antialias": False,
            "render.root": "given",
            "train.optimizer": "adam",
            "train.schedule": "steps",
            "train.warmup_steps": 0,
            "train.clip_norm": 0.0,
            "train.mixed_precision": False,
        }
    ),
)

#: Settings that all pretraining has: all labels, no rendering, no texture and light heads.
PRETRAINING = Layer(
    "hifihr pretrain",
    MappingProxyType({"train.supervision": "full", "render.enabled": False, "model.texture": False}),
)
