"""The landmark network in onnxruntime, with what its body and its pooled features say as further outputs."""

from collections.abc import Sequence

import cv2
import numpy as np
import onnxruntime
from torch import Tensor

from hifihr_core.eyes.networks import LANDMARK_PX, LandmarkNetwork, load_network
from hifihr_core.eyes.onnx_graph import onnx_bytes
from hifihr_core.lifting.hand_network import FROZEN_BLOCKS


class _WithFeatures(LandmarkNetwork):
    def forward(self, crop: Tensor) -> tuple[Tensor, ...]:
        blocks = list(self.blocks)  # one by one, as the ONNX writer follows modules by their names
        body = self.stem(crop)
        for block in blocks[:FROZEN_BLOCKS]:
            body = block(body)
        last = body
        for block in blocks[FROZEN_BLOCKS:]:
            last = block(last)
        seen = self.top(last)
        heads = self.joints(seen), self.metres(seen), self.presence(seen).sigmoid(), self.right(seen).sigmoid()
        return *heads, seen, body


class FeatureEngine:
    """Runs the landmark network on crops: joints, metres, presence, right, 1,152 features, and the body's map."""

    def __init__(self, threads: int = 1) -> None:
        network = _WithFeatures()
        network.load_state_dict(load_network(LandmarkNetwork).state_dict())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        content = onnx_bytes(network, (3, LANDMARK_PX, LANDMARK_PX))
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the six outputs for square uint8 pictures of 224 px."""
        return self._session.run(None, {self._input: cv2.dnn.blobFromImages(list(pictures), scalefactor=1 / 255)})
