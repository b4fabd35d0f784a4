"""Export networks as ONNX files that run without hifihr: the shipped ones and those of a run.

docs/onnx.md lists the names and shapes of inputs and outputs. Every file is compared with its torch module on random
input before it is saved.
"""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hifihr_core.errors import AssetError, ConfigError
from hifihr_core.eyes.networks import LANDMARK_PX, PALM_PX, LandmarkNetwork, PalmNetwork, load_network
from hifihr_core.files import check_writable, write_atomically
from hifihr_core.hands import load_hand
from hifihr_core.lifting.lifter import Lifter, load_lifter
from hifihr_core.machine.onnx_runtime import import_onnxruntime
from hifihr_core.models.checkpoint import find_checkpoint, load_checkpoint
from hifihr_core.models.contract import Estimate, ImageNetwork
from hifihr_core.models.shipped import LIFTER, shipped_model

#: Largest allowed difference between torch and onnxruntime, relative to each output's largest value (at least 1).
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Portable:
    """A module with named plain tensors as inputs and outputs, and a generator of random input.

    Concretely, ``module(*example(n).values())`` returns the tensors of `outputs` for a batch of n.
    """

    module: nn.Module
    outputs: Sequence[str]
    example: Callable[[int], Mapping[str, Tensor]]


class _LiftedNumbers(nn.Module):
    def __init__(self, lifter: Lifter) -> None:
        super().__init__()
        self.lifter = lifter

    def forward(self, keypoints_px: Tensor, confidence: Tensor, K: Tensor) -> tuple[Tensor, ...]:
        placed = self.lifter(keypoints_px, confidence, K)
        hand = placed.parameters
        return hand.global_orient, hand.pose, hand.shape, placed.root_cam


class _EstimatedNumbers(nn.Module):
    """An image network's estimate as a tuple, without outputs that the network lacks."""

    def __init__(self, network: ImageNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, K: Tensor) -> tuple[Tensor, ...]:
        return tuple(named_numbers(self.network(image, K)).values())


def named_numbers(estimate: Estimate) -> dict[str, Tensor]:
    """Return the tensors of an `Estimate`, keyed by their names in the ONNX file."""
    hand, light, seen = estimate.parameters, estimate.light, estimate.keypoints
    named = {
        "global_orient": hand.global_orient,
        "pose": hand.pose,
        "shape_coefficients": hand.shape,  # the exporter uses the name "shape" for its own nodes
        "texture_coefficients": hand.texture,
        "root_px": estimate.root_px,
        "scale_px_per_m": estimate.scale_px_per_m,
        "light_ambient": None if light is None else light.ambient,
        "light_color": None if light is None else light.color,
        "light_direction": None if light is None else light.direction,
        "keypoints": None if seen is None else seen.points,
        "keypoints_confidence": None if seen is None else seen.confidence,
    }
    return {name: value for name, value in named.items() if value is not None}


def _picture(px: int) -> Callable[[int], Mapping[str, Tensor]]:
    return lambda count: {"image": torch.rand(count, 3, px, px, generator=_dice())}


def _palm() -> Portable:
    return Portable(load_network(PalmNetwork), ("palms", "logits"), _picture(PALM_PX))


def _landmarks() -> Portable:
    outputs = ("joints_px", "joints_m", "presence", "right")
    return Portable(load_network(LandmarkNetwork), outputs, _picture(LANDMARK_PX))


def _lifter() -> Portable:
    path = shipped_model(LIFTER)
    if path is None:
        raise AssetError("this installation has no lifter; reinstall hifihr")

    def example(count: int) -> Mapping[str, Tensor]:
        points = 100 + 60 * torch.rand(count, 21, 2, generator=_dice())
        return {"keypoints_px": points, "confidence": torch.ones(count, 21), "K": _camera(count, 256)}

    outputs = ("global_orient", "pose", "shape_coefficients", "root_cam")
    return Portable(_LiftedNumbers(load_lifter(path, load_hand("anny"))), outputs, example)


def _image(path: Path | None) -> Portable:
    checkpoint = load_checkpoint(find_checkpoint(path))
    px = checkpoint.settings.data.image_px

    def example(count: int) -> Mapping[str, Tensor]:
        return {**_picture(px)(count), "K": _camera(count, px)}

    with torch.no_grad():
        outputs = tuple(named_numbers(checkpoint.network(*example(1).values())))
    return Portable(_EstimatedNumbers(checkpoint.network), outputs, example)


#: The shipped networks; any other name is a weight file or a run folder.
NETWORKS: Mapping[str, Callable[[], Portable]] = {
    "image": lambda: _image(None),
    "lifter": _lifter,
    "palm": _palm,
    "landmarks": _landmarks,
}


def export_onnx(network: str, path: Path) -> float:
    """Write a network as ONNX with a variable batch size; return the largest relative difference from torch.

    `network` is a name in `NETWORKS`, a weight file, or a run folder. Raises: AssetError if the weights are missing or
    broken, or the written file gives different results; ConfigError if there is no such network, or a package for
    the export is missing; DataError if `path` cannot be written.
    """
    if network not in NETWORKS and not Path(network).exists():
        raise ConfigError(
            f"{network}: no such file, run folder or shipped network, expected a path or one of {', '.join(NETWORKS)}"
        )
    check_writable(path)  # rather than after a minute of work
    portable = NETWORKS[network]() if network in NETWORKS else _image(Path(network))
    content = onnx_content(portable)
    difference = max(largest_difference(portable, content, count) for count in (1, 3))
    if not difference < TOLERANCE:
        raise AssetError(
            f"{network}: its ONNX file differs from torch by {difference:.2g}, expected below {TOLERANCE:g}; "
            "nothing was written; please report this with the versions of torch and onnx"
        )
    with write_atomically(path) as temporary:
        temporary.write_bytes(content)
    return difference


def onnx_content(portable: Portable) -> bytes:
    """Return the bytes of an ONNX file of a portable module.

    Raises: ConfigError if a package for the export is missing, AssetError if torch returns no result.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"ONNX export needs the package {error.name}; run pip install 'hifihr[onnx]'") from error
    example = portable.example(2)
    batch = torch.export.Dim("batch", min=1)
    # The exporter prints to both streams and warns about its own internals; its result is checked below instead.
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            portable.module.eval(),
            tuple(example.values()),
            dynamo=True,
            input_names=list(example),
            output_names=list(portable.outputs),
            dynamic_shapes=tuple({0: batch} for _ in example),
            verbose=False,
        )
    if program is None:
        raise AssetError("torch returned no ONNX program; install the versions in constraints.txt")
    return program.model_proto.SerializeToString()


def largest_difference(portable: Portable, content: bytes, count: int) -> float:
    """Return the largest difference between torch and onnxruntime over all outputs, for a batch of `count`.

    Differences are relative to the largest value of the output, or to 1 if that is larger.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    example = portable.example(count)
    found = session.run(list(portable.outputs), {name: value.numpy() for name, value in example.items()})
    with torch.no_grad():
        expected = portable.module(*example.values())
    return max(
        float(np.abs(ours - theirs.numpy()).max() / max(1.0, float(theirs.abs().max())))
        for ours, theirs in zip(found, expected, strict=True)
    )


def _camera(count: int, px: int) -> Tensor:
    K = torch.tensor([[1.4 * px, 0.0, px / 2], [0.0, 1.4 * px, px / 2], [0.0, 0.0, 1.0]])
    return K.expand(count, 3, 3).clone()


def _dice() -> torch.Generator:
    return torch.Generator().manual_seed(7)
