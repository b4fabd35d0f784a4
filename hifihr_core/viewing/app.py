"""The viewer: a viser server that shows the photo and its hands, with switches for what is visible.

The scene is in the camera frame of the photo (+x right, +y down, +z forward, metres). One photo is in memory at a time.
"""

from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float
from PIL import Image
from scipy.spatial.transform import Rotation

from hifihr_core.exports.clips import curl_fingers
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.textured_meshes import Rig, TexturedMesh, skinned_vertices, split_at_seams, unsplit
from hifihr_core.photos.reading import Photo
from hifihr_core.skeleton import FINGERS
from hifihr_core.viewing.picture_plane import show_picture
from hifihr_core.viewing.stored_photos import StoredPhotos, before_refinement
from hifihr_core.viewing.viser_library import serve

_PHOTO_PX = 1280
_CLAY = (190, 190, 190)
_FINGER_COLORS = ((230, 60, 60), (230, 160, 40), (60, 180, 75), (50, 140, 230), (170, 80, 220))
_PALM_COLOR = (120, 120, 120)
_SEEN_COLOR, _JOINT_COLOR, _OFFSET_COLOR = (255, 210, 0), (0, 120, 255), (255, 90, 0)
#: Width of a keypoint mark, metres.
_MARK_M = 0.004


class HandViewer:
    """Serves the photos in a results folder at ``http://host:port``.

    If the port is taken, the next free one is used. Raises: ConfigError if the extra `view` is not installed or
    `host` is not an address of this machine.
    """

    def __init__(self, photos: StoredPhotos, *, host: str = "127.0.0.1", port: int = 8080) -> None:
        self.photos, self.server = photos, serve(host, port)
        self.port = int(self.server.get_port())
        self._fov_rad = 0.8
        self._hands: list[HandResult] = []
        self._before: list[TexturedMesh] = []
        self._shown: list[Any] = []
        self._hand_boxes: list[Any] = []
        self._build_controls()
        self.server.scene.set_up_direction("-y")
        self.server.on_client_connect(self._aim)
        self.show(0)

    def stop(self) -> None:
        """Stop the server."""
        with redirect_stdout(StringIO()):
            self.server.stop()

    def show(self, number: int) -> None:
        """Show photo `number` of the folder. Raises: DataError if a file of its hands is missing or broken."""
        photo = self.photos.photo(number)
        self._hands = self.photos.hands(number)
        self._before = [before_refinement(hand) for hand in self._hands]
        self.keypoints.visible = any(hand.keypoints_px is not None for hand in self._hands)
        self.before.visible = any(hand.before is not None for hand in self._hands)
        self._draw_photo(photo)
        for box in self._hand_boxes:
            box.remove()
        with self._hands_folder:
            self._hand_boxes = [self._switch(f"{hand.side} ({hand.score:.2f})", True) for hand in self._hands]
        self._show_textures()
        self._light()
        self.draw()
        for client in self.server.get_clients().values():
            self._aim(client)

    def draw(self) -> None:
        """Draw the hands according to the switches and sliders."""
        degrees = {finger: float(slider.value) for finger, slider in self.sliders.items()}
        old, self._shown = self._shown, []
        for number, hand in enumerate(self._hands):
            mesh = self._before[number] if self.before.value else hand.mesh
            rig = None if mesh.rig is None else curl_fingers(mesh.rig, degrees)
            vertices = mesh.vertices if rig is None else skinned_vertices(rig)
            inside = self.bones.value or self.keypoints.value
            solid = as_trimesh(mesh, vertices, skin=self.skin.value, opacity=0.45 if inside else 1.0)
            visible = self._hand_boxes[number].value
            self._shown.append(self.server.scene.add_mesh_trimesh(f"/hands/{number}", solid, visible=visible))
            if rig is not None and self.bones.value:
                self._draw_lines(f"/bones/{number}", *bone_lines(rig), visible)
            if self.keypoints.value and hand.keypoints_px is not None:
                self._draw_keypoints(number, hand, visible)
        kept = {handle.name for handle in self._shown}
        for handle in old:
            if handle.name not in kept:  # a handle with the same name was replaced
                handle.remove()

    def _draw_lines(self, name: str, points: np.ndarray, colors: np.ndarray, visible: bool) -> None:
        self._shown.append(
            self.server.scene.add_line_segments(
                name, points, colors, thickness=3.0, thickness_units="screen", visible=visible
            )
        )

    def _draw_keypoints(self, number: int, hand: HandResult, visible: bool) -> None:
        """Draw the detected keypoints, the fitted joints, and lines between them."""
        marks = keypoint_marks(hand)
        self._draw_lines(f"/offsets/{number}", marks.offsets, np.array(_OFFSET_COLOR, dtype=np.uint8), visible)
        for name, points, color in (("seen", marks.seen, _SEEN_COLOR), ("joints", marks.joints, _JOINT_COLOR)):
            self._shown.append(
                self.server.scene.add_point_cloud(
                    f"/{name}/{number}",
                    points,
                    color,
                    point_size=_MARK_M,
                    point_shape="circle",
                    precision="float32",
                    visible=visible,
                )
            )

    def _build_controls(self) -> None:
        gui = self.server.gui
        gui.configure_theme(show_logo=False, show_share_button=False)
        self.chooser = gui.add_dropdown("Photo", self.photos.names)
        self.chooser.on_update(lambda _: self.show(self.photos.names.index(self.chooser.value)))
        self._hands_folder = gui.add_folder("Hands")
        with gui.add_folder("Show"):
            self.skin, self.bones = self._switch("Skin", True), self._switch("Bones", False)
            self.keypoints, self.before = (
                self._switch("Keypoints seen", False),
                self._switch("Before refinement", False),
            )
            self.backdrop = gui.add_checkbox("Photo behind", True)
            self.backdrop.on_update(lambda _: self._show_backdrop())
            self.light = gui.add_slider("Light", -180, 180, 5, 0)
            self.light.on_update(lambda _: self._light())
        with gui.add_folder("Curl"):
            self.sliders = {finger: gui.add_slider(finger, -60, 90, 1, 0) for finger in FINGERS}
            for slider in self.sliders.values():
                slider.on_update(lambda _: self.draw())
        self._textures_folder = gui.add_folder("Textures", expand_by_default=False)
        self._pictures: list[Any] = []
        self._photo_handles: list[Any] = []

    def _switch(self, label: str, on: bool) -> Any:
        box = self.server.gui.add_checkbox(label, on)
        box.on_update(lambda _: self.draw())
        return box

    def _show_textures(self) -> None:
        for picture in self._pictures:
            picture.remove()
        self._pictures = []
        with self._textures_folder:
            for hand in self._hands:
                if hand.mesh.texture is not None:
                    small = Image.fromarray(hand.mesh.texture).resize((256, 256))
                    self._pictures.append(self.server.gui.add_image(np.asarray(small), label=hand.side))

    def _draw_photo(self, photo: Photo | None) -> None:
        """Draw the photo behind the hands, on a plane that fills the view of its camera."""
        for handle in self._photo_handles:
            handle.remove()
        self._photo_handles = []
        if photo is None:
            return
        K = self._hands[0].K
        self._fov_rad = 2 * float(np.arctan(photo.size_px[1] / (2 * K[1, 1])))
        depth_m = 1.25 * max(float(hand.mesh.vertices[:, 2].max()) for hand in self._hands)
        plane = show_picture(self.server.scene, "/photo/plane", photo.image, K, depth_m=depth_m, longest_px=_PHOTO_PX)
        plane.visible = self.backdrop.value
        self._photo_handles = [plane]

    def _show_backdrop(self) -> None:
        for handle in self._photo_handles[:1]:
            handle.visible = self.backdrop.value

    def _light(self) -> None:
        """Light the scene with the estimated light, rotated about the vertical axis by the angle of the slider."""
        if not self._hands:
            return
        scene = self.server.scene
        scene.configure_default_lights(False)
        scene.configure_environment_map(None)
        color, ambient, towards = (
            np.mean([hand.light[name] for hand in self._hands], axis=0) for name in ("color", "ambient", "direction")
        )
        position = Rotation.from_euler("y", self.light.value, degrees=True).apply(towards)
        strength, rgb = _lamp(color)
        scene.add_light_directional("/lights/lamp", color=rgb, intensity=strength, position=tuple(map(float, position)))
        strength, rgb = _lamp(ambient)
        scene.add_light_ambient("/lights/room", color=rgb, intensity=strength)

    def _aim(self, client: Any) -> None:
        """Move a browser's viewpoint to the photo's camera, looking at the hands."""
        middle = np.mean([hand.joints_cam.mean(axis=0) for hand in self._hands], axis=0)
        client.camera.up_direction = (0.0, -1.0, 0.0)
        client.camera.position = (0.0, 0.0, 0.0)
        client.camera.look_at = tuple(float(value) for value in middle)
        client.camera.fov = self._fov_rad


def _lamp(color: np.ndarray) -> tuple[float, tuple[int, int, int]]:
    """Return the intensity and colour of the light in three.js that gives a white matt surface `color`.

    The intensity is pi times the brightness; the colour has values from 0 to 255.
    """
    strength = max(float(color.max()), 1e-3)
    red, green, blue = (round(255 * float(part) / strength) for part in color.clip(0))
    return np.pi * strength, (red, green, blue)


def as_trimesh(mesh: TexturedMesh, vertices: np.ndarray, *, skin: bool, opacity: float = 1.0) -> trimesh.Trimesh:
    """Return the mesh as the viewer sends it to the browser, at the given `vertices`; grey unless `skin`."""
    material = trimesh.visual.material.PBRMaterial(
        baseColorFactor=[255, 255, 255, round(255 * opacity)],
        alphaMode="BLEND" if opacity < 1 else "OPAQUE",
        metallicFactor=0.0,
        roughnessFactor=0.9,
    )
    split = split_at_seams(mesh) if mesh.uvs is not None else unsplit(mesh)
    if not skin:
        material.baseColorTexture = Image.new("RGB", (1, 1), _CLAY)
    elif mesh.texture is not None:
        material.baseColorTexture = Image.fromarray(mesh.texture)
    elif mesh.vertex_colors is not None:
        colors = np.column_stack((mesh.vertex_colors, np.full(len(vertices), opacity)))
        return trimesh.Trimesh(vertices, mesh.faces, vertex_colors=(255 * colors).astype(np.uint8), process=False)
    normals = trimesh.Trimesh(vertices, mesh.faces, process=False).vertex_normals[split.source]
    visual = trimesh.visual.TextureVisuals(uv=split.uvs, material=material)
    return trimesh.Trimesh(vertices[split.source], split.faces, visual=visual, vertex_normals=normals, process=False)


@dataclass(frozen=True)
class KeypointMarks:
    """What the viewer draws to compare keypoints with joints, camera frame, metres.

    `seen` are the detected keypoints, placed at the depth of their joints, `joints` are these joints, and `offsets` the
    segments from each keypoint to its joint.
    """

    seen: Float[np.ndarray, "N 3"]
    joints: Float[np.ndarray, "N 3"]
    offsets: Float[np.ndarray, "N 2 3"]


def keypoint_marks(hand: HandResult) -> KeypointMarks:
    """Return marks that show the offset of a hand's joints from its detected keypoints, camera frame.

    Raises: ValueError for a hand without keypoints.
    """
    if hand.keypoints_px is None:
        raise ValueError("keypoint_marks: the hand has no keypoints, expected a hand that was fitted to keypoints")
    found = ~np.isnan(hand.keypoints_px).any(axis=1)
    joints = hand.joints_cam[found]
    rays = np.column_stack((hand.keypoints_px[found], np.ones(found.sum()))) @ np.linalg.inv(hand.K).T
    seen = rays * joints[:, 2:]
    return KeypointMarks(*(part.astype(np.float32) for part in (seen, joints, np.stack((seen, joints), axis=1))))


def bone_lines(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Return a segment from each bone's parent to the bone, (N, 2, 3), and the colours of its ends, (N, 2, 3)."""
    children = [bone for bone, parent in enumerate(rig.parents) if parent >= 0]
    heads = rig.T_cam_bone[:, :3, 3]
    points = np.stack((heads[[rig.parents[bone] for bone in children]], heads[children]), axis=1)
    fingers = [rig.names[bone].partition("_")[0] for bone in children]
    colors = [_FINGER_COLORS[FINGERS.index(name)] if name in FINGERS else _PALM_COLOR for name in fingers]
    return points.astype(np.float32), np.repeat(np.array(colors, dtype=np.uint8)[:, None], 2, axis=1)
