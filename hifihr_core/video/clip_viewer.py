"""View clips in a browser: the picture, its hands in 3D, a time slider, and playback."""

import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.video.reading.containers import VideoFile
from hifihr_core.video.reading.frames import Frame
from hifihr_core.viewing.picture_plane import aim, show_picture
from hifihr_core.viewing.stored_tracks import StoredClips, StoredTrack
from hifihr_core.viewing.viser_library import serve

_COLORS = ((232, 182, 150), (150, 190, 232), (170, 220, 160), (230, 210, 140), (205, 170, 230))
_UNSEEN_OPACITY = 0.45


class ClipViewer:
    """Serves the clips in a results folder at ``http://host:port``.

    Hands are translucent in frames in which they were not seen. If the port is taken, the next free one is used.
    Raises: ConfigError if the extra `view` is not installed or `host` is not an address of this machine; AssetError if
    the extra `video` is not installed; DataError for broken results.
    """

    def __init__(self, clips: StoredClips, *, host: str = "127.0.0.1", port: int = 8080) -> None:
        self.clips, self.server = clips, serve(host, port)
        self.port = int(self.server.get_port())
        self._lock, self._stopped = threading.RLock(), threading.Event()
        self._tracks: list[StoredTrack] = []
        self._pictures: "_Pictures | None" = None
        self._meshes: dict[int, Any] = {}
        self._boxes: list[Any] = []
        self._build_controls()
        self.server.scene.set_up_direction("-y")
        self.server.on_client_connect(self._aim)
        self.show(0)
        self._player = threading.Thread(target=self._run, name="player", daemon=True)
        self._player.start()

    def stop(self) -> None:
        """Stop playback and the server."""
        self._stopped.set()
        self._player.join()
        with redirect_stdout(StringIO()):
            self.server.stop()

    def show(self, number: int) -> None:
        """Show clip `number`, at the time at which its first track begins."""
        with self._lock:
            self._tracks = self.clips.tracks(number)
            path = self.clips.path(number)
            self._pictures = None if path is None else _Pictures(VideoFile(path))
            for handle in (*self._boxes, *self._meshes.values()):
                handle.remove()
            self._meshes = {}
            with self._hands_folder:
                self._boxes = [self._box(track) for track in self._tracks]
            self.slider.max = round(max(float(track.times_s[-1]) for track in self._tracks), 3)
            self.slider.value = round(min(float(track.times_s[0]) for track in self._tracks), 3)
            self.draw()

    def draw(self) -> None:
        """Draw the picture and the hands at the time that the slider shows."""
        with self._lock:
            time_s = float(self.slider.value)
            depth_m = 1.25 * max(float(track.arrays["root_cam"][:, 2].max()) for track in self._tracks) + 0.1
            frame = None if self._pictures is None else self._pictures.at(time_s)
            with self.server.atomic():  # hands and picture must reach the browser together
                if frame is not None:
                    show_picture(self.server.scene, "/picture", frame.image, self._tracks[0].K, depth_m=depth_m)
                for place, track in enumerate(self._tracks):
                    self._draw_track(place, track, time_s)

    def _draw_track(self, place: int, track: StoredTrack, time_s: float) -> None:
        row = track.row(time_s) if self._boxes[place].value else None
        if row is None:
            if place in self._meshes:
                self._meshes.pop(place).remove()
            return
        self._meshes[place] = self.server.scene.add_mesh_simple(
            f"/hands/{place}",
            track.vertices_cam(row).astype(np.float32),
            track.faces(),
            color=_COLORS[place % len(_COLORS)],
            opacity=None if track.seen[row] else _UNSEEN_OPACITY,
            side="double",
        )

    def _build_controls(self) -> None:
        gui = self.server.gui
        gui.configure_theme(show_logo=False, show_share_button=False)
        self.chooser = gui.add_dropdown("Clip", self.clips.names)
        self.chooser.on_update(lambda _: self.show(self.clips.names.index(self.chooser.value)))
        self.slider = gui.add_slider("Second", 0.0, 1.0, 0.001, 0.0)
        self.slider.on_update(lambda _: self.draw())
        self.play = gui.add_checkbox("Play", False)
        self._hands_folder = gui.add_folder("Hands")

    def _box(self, track: StoredTrack) -> Any:
        ends = f"{track.times_s[0]:.1f} to {track.times_s[-1]:.1f} s"
        box = self.server.gui.add_checkbox(f"{track.side}, track {track.id}, {ends}", True)
        box.on_update(lambda _: self.draw())
        return box

    def _run(self) -> None:
        """Advance the slider in real time while `Play` is checked."""
        last = time.monotonic()
        while not self._stopped.wait(1 / 15):
            now = time.monotonic()
            if self.play.value:
                self.advance(now - last)
            last = now

    def advance(self, elapsed_s: float) -> None:
        """Move the slider forward by `elapsed_s`, or back to 0 after the end; this also draws."""
        with self._lock:
            later = float(self.slider.value) + elapsed_s
            self.slider.value = round(later if later <= self.slider.max else 0.0, 3)

    def _aim(self, client: Any) -> None:
        root = np.mean([track.arrays["root_cam"].mean(axis=0) for track in self._tracks], axis=0)
        frame = None if self._pictures is None else self._pictures.last
        K = self._tracks[0].K
        aim(client, K, round(2 * K[1, 2]) if frame is None else frame.image.shape[0], float(root[2]))


class _Pictures:
    """The pictures of a clip by time: forward seeks continue decoding, backward seeks restart it."""

    def __init__(self, clip: VideoFile) -> None:
        self._clip = clip
        self._frames: Iterator[Frame] = iter(())
        self._next: Frame | None = None
        self.last: Frame | None = None

    def at(self, time_s: float) -> Frame | None:
        """Return the picture that is visible at a time; None if the clip is damaged."""
        try:
            if self.last is None or time_s < self.last.time_s - 1e-6:
                self._frames = self._clip.frames()
                self.last, self._next = next(self._frames, None), next(self._frames, None)
            while self._next is not None and self._next.time_s <= time_s + 1e-6:
                self.last, self._next = self._next, next(self._frames, None)
        except DataError:
            return None
        return self.last
