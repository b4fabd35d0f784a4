"""Convert MediaPipe's palm detector and hand landmark network to our weight files.

    pip download --no-deps mediapipe==0.10.21    # the last release that contains both; unpack the wheel
    python tools/port_eyes.py UNPACKED/mediapipe/modules --golden tests/hifihr_core/eyes/golden.npz

Needs the package `tflite` (reads the files) and, for --golden, an interpreter (`ai-edge-litert` or `tflite-runtime`).
Weights stay in half precision, as in the originals.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from hifihr_core.eyes.networks import LANDMARK_PX, PALM_PX, LandmarkNetwork, PalmNetwork, shipped_path

ORIGINALS = {
    PalmNetwork: ("palm_detection/palm_detection_full.tflite", PALM_PX),
    LandmarkNetwork: ("hand_landmark/hand_landmark_full.tflite", LANDMARK_PX),
}
#: Linear layers in the order of the original file; all other layers have the same order in both.
LINEAR_ORDER = ("right", "presence", "joints", "metres")
#: Of thousands of anchors, every n-th is kept.
STEP = 16


def main() -> None:
    """Write both weight files and, if requested, the outputs of the original networks."""
    arguments = parse()
    golden = {}
    for network, (name, image_px) in ORIGINALS.items():
        original = arguments.modules / name
        state = ported(network(), original)
        path = shipped_path(network)
        path.parent.mkdir(exist_ok=True)
        save_file(state, path, metadata={"source": f"mediapipe 0.10.21, {name}", "licence": "Apache-2.0"})
        print(f"{path}: {len(state)} tensors, {path.stat().st_size / 1e6:.2f} MB")
        if arguments.golden:
            golden.update(answers(original, network.__name__, image_px))
    if arguments.golden:
        arguments.golden.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(arguments.golden, **golden)
        print(f"{arguments.golden}: {arguments.golden.stat().st_size / 1e3:.0f} kB")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", type=Path, help="the folder mediapipe/modules of the unpacked wheel")
    parser.add_argument("--golden", type=Path, help="also write the originals' outputs on random pictures here")
    return parser.parse_args()


def ported(network: nn.Module, original: Path) -> dict[str, torch.Tensor]:
    """Return the state of `network` filled from the constants of a .tflite file, half precision."""
    constants = constants_in_order(original)
    state = {}
    for name, layer in layers_in_order(network):
        for kind, parameter in layer.named_parameters():
            value = arranged(constants.pop(0), layer, kind)
            if value.shape != parameter.shape:
                raise SystemExit(
                    f"{original}: {name}.{kind} has shape {value.shape}, expected {tuple(parameter.shape)}"
                )
            state[f"{name}.{kind}"] = torch.from_numpy(value.copy(order="C"))
    if constants:
        raise SystemExit(f"{original}: {len(constants)} constants were not used; is this another version of the file?")
    return state


def layers_in_order(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the layers with weights in the order in which the original evaluates them."""
    layers = [(name, layer) for name, layer in network.named_modules() if not list(layer.children())]
    layers = [(name, layer) for name, layer in layers if list(layer.parameters())]
    linear = sorted((one for one in layers if one[0] in LINEAR_ORDER), key=lambda one: LINEAR_ORDER.index(one[0]))
    return [one for one in layers if one[0] not in LINEAR_ORDER] + linear


def arranged(value: np.ndarray, layer: nn.Module, kind: str) -> np.ndarray:
    """Return a constant in TensorFlow's layout converted to torch's."""
    if isinstance(layer, nn.Conv2d) and kind == "weight":
        depthwise = layer.groups > 1
        return value.transpose(3, 0, 1, 2) if depthwise else value.transpose(0, 3, 1, 2)
    return value.reshape(-1) if isinstance(layer, nn.PReLU) else value


def constants_in_order(path: Path) -> list[np.ndarray]:
    """Return the half-precision constants used by convolutions, PReLUs and linear layers, operation by operation."""
    import tflite

    model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    kinds = tflite.BuiltinOperator
    weighted = (kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D, kinds.PRELU, kinds.FULLY_CONNECTED)
    half: dict[int, np.ndarray] = {}
    constants = []
    for operation in (graph.Operators(i) for i in range(graph.OperatorsLength())):
        code = model.OperatorCodes(operation.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if kind == kinds.DEQUANTIZE:
            source = graph.Tensors(operation.Inputs(0))
            content = model.Buffers(source.Buffer()).DataAsNumpy().view(np.float16)
            half[operation.Outputs(0)] = content.reshape(source.ShapeAsNumpy())
        elif kind in weighted:
            constants += [half[number] for number in operation.InputsAsNumpy()[1:].tolist()]
    return constants


def answers(original: Path, name: str, image_px: int) -> dict[str, np.ndarray]:
    """Return the original network's outputs for seeded random pictures (`golden_pictures`)."""
    interpreter = build_interpreter(original)
    interpreter.allocate_tensors()
    outputs: dict[str, list[np.ndarray]] = {}
    for picture in golden_pictures(image_px):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None].astype(np.float32) / 255)
        interpreter.invoke()
        for place, detail in enumerate(interpreter.get_output_details()):
            value = interpreter.get_tensor(detail["index"])[0]
            outputs.setdefault(f"{name}_{place}", []).append(value[::STEP] if len(value) > 1000 else value)
    return {key: np.stack(values) for key, values in outputs.items()}


def golden_pictures(image_px: int) -> list[np.ndarray]:
    """Return seeded pictures of random squares, coarse to fine, (image_px, image_px, 3) uint8."""
    random = np.random.default_rng(20)
    pictures = []
    for cells in (4, 16, 56):
        coarse = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        index = np.arange(image_px) * cells // image_px
        pictures.append(coarse[index][:, index])
    return pictures


def build_interpreter(path: Path):
    """Return an interpreter of .tflite files, whichever package is installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter
    return Interpreter(model_path=str(path))


if __name__ == "__main__":
    main()
