"""Run the networks of the eyes in onnxruntime, on the CPU."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from torch import nn

from hifihr_core.eyes.networks import LANDMARK_PX, PALM_PX, LandmarkNetwork, PalmNetwork, load_network
from hifihr_core.eyes.onnx_graph import onnx_bytes
from hifihr_core.machine.device import usable_cores
from hifihr_core.machine.onnx_runtime import import_onnxruntime

_INPUT_PX: dict[type[nn.Module], int] = {PalmNetwork: PALM_PX, LandmarkNetwork: LANDMARK_PX}


class Engine:
    """A network that is ready to run on square pictures `image_px` pixels wide (None: the input size of the network).

    `threads` is the number of CPU threads; 0 uses one per core. Several pictures are processed at a time, each by a
    single thread, because the networks are too small to be split. The result for a picture does not depend on the
    other pictures.
    """

    def __init__(self, network: nn.Module, *, threads: int = 0, image_px: int | None = None) -> None:
        onnxruntime = import_onnxruntime()
        self.image_px = image_px or _INPUT_PX[type(network)]
        self.threads = threads or usable_cores()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        content = onnx_bytes(network, (3, self.image_px, self.image_px))
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, pictures: Sequence[UInt8[np.ndarray, "H W 3"]]) -> list[Float32[np.ndarray, "B ..."]]:
        """Return the outputs of the network's `forward`, in order, for B square RGB pictures of its input size."""
        answers: list[list[np.ndarray]] = [[] for _ in pictures]
        waiting = deque(range(len(pictures)))

        def work() -> None:
            while True:
                try:
                    number = waiting.popleft()
                except IndexError:  # nothing is waiting any more
                    return
                answers[number] = self._run(pictures[number])

        helpers = min(self.threads, len(pictures)) - 1
        if helpers < 1:
            work()
        else:
            with ThreadPoolExecutor(helpers) as pool:  # cheap compared with one picture, and leaves nothing running
                others = [pool.submit(work) for _ in range(helpers)]
                work()
            for other in others:
                other.result()
        return [np.concatenate(outputs) for outputs in zip(*answers, strict=True)]

    def _run(self, picture: UInt8[np.ndarray, "H W 3"]) -> list[Float32[np.ndarray, "1 ..."]]:
        return self._session.run(None, {self._input: cv2.dnn.blobFromImage(picture, scalefactor=1 / 255)})


def palm_engine(*, threads: int = 0) -> Engine:
    """Return the shipped palm detector. Raises: AssetError if its weights are missing."""
    return Engine(load_network(PalmNetwork), threads=threads)


def landmark_engine(*, threads: int = 0) -> Engine:
    """Return the shipped landmark network. Raises: AssetError if its weights are missing."""
    return Engine(load_network(LandmarkNetwork), threads=threads)
