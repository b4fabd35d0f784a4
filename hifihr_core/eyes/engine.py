"""Runs the networks of the eyes in onnxruntime, on the CPU."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from torch import nn

from hifihr_core.eyes.networks import LANDMARK_PX, PALM_PX, LandmarkNetwork, PalmNetwork, load_network
from hifihr_core.eyes.onnx_graph import onnx_bytes

_INPUT_PX: dict[type[nn.Module], int] = {PalmNetwork: PALM_PX, LandmarkNetwork: LANDMARK_PX}


class Engine:
    """One network, ready to run on batches of pictures of `image_px` pixels (None: those of the eyes' own networks).

    `threads` is the number of CPU threads; 0 takes one per core. The same pictures give the same numbers at any time.
    """

    def __init__(self, network: nn.Module, *, threads: int = 0, image_px: int | None = None) -> None:
        import onnxruntime

        self.image_px = image_px or _INPUT_PX[type(network)]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads wait, others may work
        content = onnx_bytes(network, (3, self.image_px, self.image_px))
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, pictures: Sequence[UInt8[np.ndarray, "H W 3"]]) -> list[Float32[np.ndarray, "B ..."]]:
        """Return the outputs of the network for square pictures of its size, in the order of its `forward`."""
        blob = cv2.dnn.blobFromImages(list(pictures), scalefactor=1 / 255)
        return self._session.run(None, {self._input: blob})


def palm_engine(*, threads: int = 0) -> Engine:
    """Return the shipped palm detector. Raises: AssetError if its weights are missing."""
    return Engine(load_network(PalmNetwork), threads=threads)


def landmark_engine(*, threads: int = 0) -> Engine:
    """Return the shipped landmark network. Raises: AssetError if its weights are missing."""
    return Engine(load_network(LandmarkNetwork), threads=threads)
