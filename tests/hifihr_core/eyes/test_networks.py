"""The port: the original interpreter's outputs (tools/port_eyes.py), the torch modules and onnxruntime agree."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hifihr_core.errors import AssetError
from hifihr_core.eyes.engine import Engine
from hifihr_core.eyes.networks import LandmarkNetwork, PalmNetwork, load_network
from hifihr_core.eyes.onnx_graph import onnx_bytes

GOLDEN = Path(__file__).with_name("golden.npz")
STEP = 16  # every such anchor is in the file

#: Where each output of `forward` is among the original's, and how near it has to be (pixels, or parts of 1).
ORIGINAL = {
    PalmNetwork: ((0, 1e-3), (1, 1e-3)),
    LandmarkNetwork: ((0, 1e-3), (3, 1e-5), (1, 1e-5), (2, 1e-5)),
}


def pictures(image_px: int) -> list[np.ndarray]:
    """Return the pictures that the tool showed to the original."""
    random = np.random.default_rng(20)
    made = []
    for cells in (4, 16, 56):
        coarse = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        index = np.arange(image_px) * cells // image_px
        made.append(coarse[index][:, index])
    return made


@pytest.mark.parametrize("network", [PalmNetwork, LandmarkNetwork])
def test_both_ways_of_running_agree_with_the_original(network):
    module = load_network(network)
    engine = Engine(module, threads=1)
    shown = pictures(engine.image_px)
    by_onnx = engine(shown)
    by_torch = module(torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2).float() / 255)
    with np.load(GOLDEN) as golden:
        for (place, near), onnx_output, torch_output in zip(ORIGINAL[network], by_onnx, by_torch, strict=True):
            original = golden[f"{network.__name__}_{place}"]
            assert original.std() > 0
            for output in (onnx_output, torch_output.numpy()):
                ours = output[:, ::STEP] if output.shape[1] > 1000 else output
                np.testing.assert_allclose(ours, original, rtol=0, atol=near)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_numbers_of_a_picture_depend_neither_on_the_others_nor_on_threads(eyes, threads):
    engine = Engine(load_network(LandmarkNetwork), threads=threads)
    shown = pictures(engine.image_px)
    alone = eyes._landmarks(shown[1:2])
    for one, many in zip(alone, engine(shown), strict=True):
        np.testing.assert_array_equal(one[0], many[1])


def test_every_parameter_can_be_trained():
    network = load_network(LandmarkNetwork).train().requires_grad_(True)
    joints, metres, presence, right = network(torch.rand(1, 3, 224, 224))
    (joints.sum() + metres.sum() + presence.sum() + right.sum()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_layer_that_cannot_be_written_is_an_error():
    class Doubled(torch.nn.Module):
        def forward(self, x):
            return (x * 2,)

    with pytest.raises(ValueError, match="mul"):
        onnx_bytes(Doubled(), (1,))


def test_missing_and_foreign_weights_are_named(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(AssetError, match=r"eyes\.safetensors: no such file"):
        load_network(PalmNetwork, tmp_path / "eyes.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"damaged")
    with pytest.raises(AssetError, match=r"not the weights of PalmNetwork \(.*[^.]\); reinstall"):
        load_network(PalmNetwork, tmp_path / "damaged.safetensors")
    with pytest.raises(AssetError, match="not the weights of PalmNetwork"):
        load_network(PalmNetwork, tmp_path / "foreign.safetensors")
