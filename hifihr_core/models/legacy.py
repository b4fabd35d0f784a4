"""Read the authors' published checkpoints (`.t7`) without running code, and convert them to our network.

A file is ``torch.save`` of a dict: "args" (an `argparse.Namespace`), "base_encoder", "hand_encoder", "light_estimator",
and the state of the optimiser. Its encoder is lukemelas' EfficientNet-B3, whose tensors are in the order of timm's
`tf_efficientnet_b3`. The original does not predict the root: with these weights it stays at the centre of the crop, so
use the true root (`--root gt`).
"""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hifihr_core.config.tree import DataSettings, ModelSettings, RenderSettings, RunSettings
from hifihr_core.errors import AssetError
from hifihr_core.models.checkpoint import save_weights
from hifihr_core.models.encoders import build_encoder
from hifihr_core.models.heads import LightHead, branch, trunk
from hifihr_core.models.reconstructor import Reconstructor
from hifihr_core.outside.torch_files import read_torch_file
from hifihr_core.weight_files import FORMAT, FORMAT_VERSION

BACKBONE = "tf_efficientnet_b3"

#: The original's pose vector: three numbers of global rotation, then NIMBLE's PCA.
GLOBAL_DIM, POSE_DIM, SHAPE_DIM, TEXTURE_DIM = 3, 27, 20, 10

#: Settings of the original's network: raw colours, axis-angle along the optical axis, free light.
SETTINGS = RunSettings(
    data=DataSettings(augmentation="paper"),
    model=ModelSettings(
        hand="nimble",
        backbone=BACKBONE,
        weights="none",
        normalize=False,
        rotation="axis_angle",
        relative_to_ray=False,
        light="paper",
        ambient=False,
    ),
    render=RenderSettings(shading="phong", supersample=3, antialias=False, root="given"),
)

#: Head of the original -> ours; layers have the same indices in both.
_HEADS = {"shape_reg": "shape", "tex_reg": "texture"}


def load_t7(path: Path) -> Reconstructor:
    """Return the authors' network in evaluation mode; its heads have the original's sizes.

    Heads that the file lacks, or that the original did not use (`use_mean_shape`, `render`), are omitted.
    Raises: UnsafePickleError if the file refers to more than plain data; AssetError if it is missing, damaged or of
    another network.
    """
    state = read_t7(path)
    arguments = vars(state["args"])
    hand, light = state["hand_encoder"], state.get("light_estimator")
    network = _blank(
        with_shape=not arguments.get("use_mean_shape", False),
        with_texture=arguments.get("render", True) is not False and light is not None and "tex_reg.2.bias" in hand,
    )
    ours = network.state_dict()
    theirs = _encoder_state(path, state["base_encoder"], network.encoder.backbone) | _hand_state(hand)
    if light is not None:
        theirs |= {n.replace("base_layers.", "light.convolutions.", 1): v for n, v in light.items() if n[0] == "b"}
        theirs |= {n.replace("light_reg.", "light.linear.", 1): v for n, v in light.items() if n[0] == "l"}
    for name, value in ours.items():
        if name.endswith("num_batches_tracked") or name.startswith("branches.root."):
            continue
        if name not in theirs or theirs[name].shape != value.shape:
            found = f"has shape {tuple(theirs[name].shape)}" if name in theirs else "is missing"
            raise AssetError(
                f"{path}: tensor {name} {found}, expected shape {tuple(value.shape)}; the file is not a HiFiHR network "
                "with NIMBLE"
            )
        ours[name] = theirs[name]
    network.load_state_dict(ours)
    return network.eval()


def convert_t7(source: Path, target: Path) -> None:
    """Convert the authors' checkpoint to our weight file, for the asset cache. Raises: the same as `load_t7`."""
    network = load_t7(source)
    model = SETTINGS.model.model_copy(
        update={"mean_shape": "shape" not in network.branches, "texture": "texture" in network.branches}
    )
    settings = SETTINGS.model_copy(update={"model": model})
    facts = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "settings": settings.model_dump_json(),
        "hand": "nimble",
        "pose_basis": "pca",
        "joints": "freihand",
        "hand_options": f'{{"num_components": {POSE_DIM}}}',
        "hand_licence": "unknown",
        "step": "0",
    }
    save_weights(target, network.state_dict(), facts)


def read_t7(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint: tensors in dicts, and `args` as a plain namespace; no code in it is run.

    Raises: UnsafePickleError if the file refers to anything but tensors, containers and `argparse.Namespace`;
    AssetError if it is missing, damaged or not a checkpoint of HiFiHR.
    """
    state = read_torch_file(path, what="a readable checkpoint", remedy="get the file again", allowed=[Namespace])
    missing = [name for name in ("args", "base_encoder", "hand_encoder") if name not in (state or ())]
    if not isinstance(state, dict) or missing or not isinstance(state["args"], Namespace):
        raise AssetError(
            f"{path}: not a checkpoint of HiFiHR, expected a dict with args, base_encoder and hand_encoder"
        )
    return state


def _blank(*, with_shape: bool, with_texture: bool) -> Reconstructor:
    """Return a network with the original's sizes; its root branch always outputs the centre of the crop."""
    encoder = build_encoder(BACKBONE, weights="none", normalize=False)
    branches = {"global_orient": branch(GLOBAL_DIM), "pose": branch(POSE_DIM), "root": branch(3)}
    for parameter in branches["root"].parameters():
        nn.init.zeros_(parameter)
    if with_shape:
        branches["shape"] = branch(SHAPE_DIM)
    if with_texture:
        branches["texture"] = branch(TEXTURE_DIM)
    return Reconstructor(
        encoder,
        trunk(encoder.feature_dim),
        branches,
        LightHead(encoder.low_dim, ambient=False) if with_texture else None,
        shape_dim=SHAPE_DIM,
        rotation="axis_angle",
        light_range="paper",
        relative_to_ray=False,
    )


def _encoder_state(path: Path, state: Mapping[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """Rename the original encoder's tensors, in order, to timm's names."""
    theirs = [v for n, v in state.items() if not n.endswith("num_batches_tracked") and "._fc." not in n]
    names = [n for n in backbone.state_dict() if not n.endswith("num_batches_tracked")]
    if len(theirs) != len(names):
        raise AssetError(
            f"{path}: the encoder has {len(theirs)} tensors, expected the {len(names)} of EfficientNet-B3; its "
            "backbone is a different network"
        )
    return {f"encoder.backbone.{name}": value for name, value in zip(names, theirs, strict=True)}


def _hand_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the hand encoder's tensors to our names; its pose head is split into global rotation and pose."""
    ours = {name.replace("base_layers.", "trunk.", 1): value for name, value in state.items()}
    for name, value in state.items():
        head, _, rest = name.partition(".")
        if head in _HEADS:
            ours[f"branches.{_HEADS[head]}.{rest}"] = value
        elif head == "pose_reg":
            is_last = rest.startswith("2.")
            ours[f"branches.global_orient.{rest}"] = value[:GLOBAL_DIM] if is_last else value
            ours[f"branches.pose.{rest}"] = value[GLOBAL_DIM:] if is_last else value
    return ours
