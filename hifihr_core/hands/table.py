"""The one table of hand models, and `load_hand`, which builds any of them by name."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from hifihr_core.assets.store import asset_path
from hifihr_core.hands.contract import HandModel, JointDefinition


@dataclass(frozen=True)
class _Row:
    """How one hand model is built: ``module.function(path, pose_basis=..., joints=..., **options)``."""

    builder: str
    asset: str | None
    bases: tuple[str, ...]  # the first is the default
    options: tuple[str, ...]  # what `load_hand` passes on


_TABLE = MappingProxyType(
    {
        "anny": _Row("hifihr_core.hands.anny.model:build_anny", None, ("anatomical",), ("texture_px",)),
        "mano": _Row(
            "hifihr_core.hands.mano.model:build_mano",
            "mano-right",
            ("axis_angle", "pca"),
            ("flat_hand", "num_components", "centred", "dtype"),
        ),
        "nimble": _Row(
            "hifihr_core.hands.nimble.model:build_nimble",
            "nimble",
            ("pca", "axis_angle"),
            ("num_components", "texture_px", "mano_path", "dtype"),
        ),
    }
)

HAND_NAMES = tuple(_TABLE)


def load_hand(
    name: str,
    *,
    path: Path | None = None,
    pose_basis: str | None = None,
    joints: JointDefinition = "freihand",
    **options: object,
) -> HandModel:
    """Build a hand model, on the CPU in float32; move it with ``.to(...)``.

    `path` is a converted model file; without it the asset cache is asked (`anny` ships with the package).
    `joints` names the joint definition, see docs/conventions.md. `options` go to the model: `texture_px` for `anny`;
    `flat_hand`, `num_components`, `centred` and `dtype` for `mano`; `num_components`, `texture_px`, `mano_path` and
    `dtype` for `nimble`.
    Raises: ValueError for an unknown name, basis or option, or a value that the model refuses; AssetError where the
    file is missing or broken.
    """
    if name not in _TABLE:
        raise ValueError(f"hand model {name!r} is not known; known models: {', '.join(_TABLE)}")
    row = _TABLE[name]
    basis = row.bases[0] if pose_basis is None else pose_basis
    if basis not in row.bases:
        raise ValueError(f"pose basis {basis!r} is not one of {name}'s: {', '.join(row.bases)}")
    if unknown := [option for option in options if option not in row.options]:
        raise ValueError(f"{name} has no option {unknown[0]}; its options: {', '.join(row.options)}")
    if path is None and row.asset is not None:
        path = asset_path(row.asset)
    module, _, function = row.builder.partition(":")
    build: Callable[..., HandModel] = getattr(import_module(module), function)
    return build(path, pose_basis=basis, joints=joints, **options)
