"""The networks of the eyes in onnxruntime, and the part that training keeps frozen."""

from collections.abc import Sequence

import cv2
import numpy as np
from torch import Tensor, nn

from hifihr_core.eyes.networks import LANDMARK_PX, LandmarkNetwork, load_network
from hifihr_core.eyes.onnx_graph import onnx_bytes
from hifihr_core.lifting.hand_network import FROZEN_BLOCKS
from hifihr_core.machine.onnx_runtime import import_onnxruntime


class _FirstBlocks(LandmarkNetwork):
    def forward(self, crop: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        body = self.stem(crop)
        for block in list(self.blocks)[:FROZEN_BLOCKS]:  # one by one, since the ONNX writer finds modules by name
            body = block(body)
        return (body,)


class BodyEngine:
    """Runs the first blocks of the landmark network on crops; their maps do not change during training."""

    def __init__(self, threads: int = 1) -> None:
        network: nn.Module = _FirstBlocks()
        network.load_state_dict(load_network(LandmarkNetwork).state_dict())
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        content = onnx_bytes(network, (3, LANDMARK_PX, LANDMARK_PX))
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Return the maps (N, C, h, w) of square uint8 pictures of 224 px."""
        blob = cv2.dnn.blobFromImages(list(pictures), scalefactor=1 / 255)
        return self._session.run(None, {self._input: blob})[0]
