"""A page that shows a camera's picture and its hands in 3D, live."""

import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hifihr_core.records import Side
from hifihr_core.video.live.live_hands import LiveHand
from hifihr_core.video.reading.frames import Frame
from hifihr_core.viewing.picture_plane import aim, show_picture
from hifihr_core.viewing.viser_library import serve

#: Maximum number of pictures per second sent to a browser, and the distance of their plane, metres.
_MOST_PER_S, _PLANE_M = 15.0, 1.5
_COLORS: dict[Side, tuple[int, int, int]] = {"right": (232, 182, 150), "left": (150, 190, 232)}


class LivePage:
    """Serves a page with a camera's picture and its hands at ``http://host:port``.

    `faces` are those of a right hand; `K` and `height_px` are those of the picture. If the port is taken, the next free
    one is used. Raises: ConfigError if the extra `view` is not installed or `host` is not an address of this machine.
    """

    def __init__(
        self,
        faces: Int[np.ndarray, "F 3"],
        K: Float[np.ndarray, "3 3"],
        height_px: int,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._faces = {"right": faces, "left": faces[:, ::-1].copy()}
        self._K, self._clock, self._shown_s = K, clock, -np.inf
        self._hands: dict[int, Any] = {}
        self.server = serve(host, port)
        self.port = int(self.server.get_port())
        self.server.scene.set_up_direction("-y")
        self.server.on_client_connect(lambda client: aim(client, K, height_px, _PLANE_M))
        self._words = self.server.gui.add_markdown("no hand yet")

    def show(self, frame: Frame, hands: Sequence[LiveHand]) -> None:
        """Show a picture and its hands; pictures beyond 15 per second are skipped."""
        now = self._clock()
        if now - self._shown_s < 1 / _MOST_PER_S:
            return
        self._shown_s = now
        with self.server.atomic():  # a browser shows the hands with their own picture
            show_picture(self.server.scene, "/camera", frame.image, self._K, depth_m=_PLANE_M)
            self._draw(hands)
        words = [f"- {hand.side}, track {hand.id}, score {hand.score:.2f}" for hand in hands] or ["no hand"]
        self._words.content = f"frame {frame.number}, {frame.time_s:.1f} s\n\n" + "\n".join(words)

    def _draw(self, hands: Sequence[LiveHand]) -> None:
        for id in set(self._hands) - {hand.id for hand in hands}:
            self._hands.pop(id).remove()
        for hand in hands:
            self._hands[hand.id] = self.server.scene.add_mesh_simple(
                f"/hands/{hand.id}",
                hand.vertices_cam.astype(np.float32),
                self._faces[hand.side],
                color=_COLORS[hand.side],
                side="double",
            )

    def stop(self) -> None:
        """Stop serving."""
        with redirect_stdout(StringIO()):
            self.server.stop()
