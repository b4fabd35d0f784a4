"""The table of hand models, and `load_hand`, which builds any of them by name."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from hifihr_core.assets.store import asset_path
from hifihr_core.hands.contract import HandModel, JointDefinition
from hifihr_core.lookup import load_attribute, lookup


@dataclass(frozen=True)
class HandRow:
    """One hand model: everything that the rest of the package needs to know about it.

    `builder` is "module:function" of ``build(path, pose_basis=..., joints=..., **options)``; the first of `bases` is
    the default, and `options` are the names of further arguments. `asset` and `convert` are for models whose files the
    user provides: the id in the asset registry, and "module:function" of ``convert(source, target)``, which converts
    the published files to the plain file in the cache. `model.hand = "auto"` selects the installed model with the
    highest `rank`.
    """

    builder: str
    bases: tuple[str, ...]
    options: tuple[str, ...] = ()
    asset: str | None = None
    convert: str | None = None
    rank: int = -1


HANDS: Mapping[str, HandRow] = MappingProxyType(
    {
        "anny": HandRow("hifihr_core.hands.anny.model:build_anny", ("anatomical",), ("texture_px",), rank=0),
        "mano": HandRow(
            "hifihr_core.hands.mano.model:build_mano",
            ("axis_angle", "pca"),
            ("flat_hand", "num_components", "centred", "dtype"),
            asset="mano-right",
            convert="hifihr_core.hands.mano.convert:convert_mano",
            rank=1,
        ),
        "nimble": HandRow(
            "hifihr_core.hands.nimble.model:build_nimble",
            ("pca", "axis_angle"),
            ("num_components", "texture_px", "mano_path", "dtype"),
            asset="nimble",
            convert="hifihr_core.hands.nimble.convert:convert_nimble",
            rank=2,
        ),
    }
)

HAND_NAMES = tuple(HANDS)


def load_hand(
    name: str,
    *,
    path: Path | str | None = None,
    pose_basis: str | None = None,
    joints: JointDefinition = "freihand",
    **options: object,
) -> HandModel:
    """Build a hand model, on the CPU in float32; move it with ``.to(...)``.

    `path` is a converted model file, or the authors' published files (`MANO_RIGHT.pkl`, NIMBLE's folder), which are
    read without running any code in them; by default the asset cache is used (`anny` ships with the package). `joints`
    names the joint definition; see docs/conventions.md. `options` are passed to the model: `texture_px` for `anny`;
    `flat_hand`, `num_components`, `centred` and `dtype` for `mano`; `num_components`, `texture_px`, `mano_path` and
    `dtype` for `nimble`.
    Raises: ValueError for an unknown name, basis or option, or a value that the model rejects; AssetError if the file
    is missing or damaged.
    """
    row = lookup(HANDS, name, "hand model", error=ValueError)
    basis = row.bases[0] if pose_basis is None else pose_basis
    if basis not in row.bases:
        raise ValueError(f"unknown pose basis {basis!r} for {name}, expected {' or '.join(row.bases)}")
    if unknown := [option for option in options if option not in row.options]:
        raise ValueError(f"{name} has no option {unknown[0]}; its options: {', '.join(row.options)}")
    build: Callable[..., HandModel] = load_attribute(row.builder)
    if path is None:
        plain = asset_path(row.asset) if row.asset is not None else None
        return build(plain, pose_basis=basis, joints=joints, **options)
    with tempfile.TemporaryDirectory(prefix="hifihr-") as scratch:
        return build(_plain_file(row, Path(path), Path(scratch)), pose_basis=basis, joints=joints, **options)


def _plain_file(row: HandRow, path: Path, scratch: Path) -> Path:
    """Return the converted model file: `path` itself, or published files converted into the folder `scratch`."""
    if row.convert is None or path.suffix.lower() == ".npz" or not path.exists():
        return path
    convert: Callable[[Path, Path], None] = load_attribute(row.convert)
    convert(path, scratch / "model.npz")
    return scratch / "model.npz"
