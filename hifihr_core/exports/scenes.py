"""GLB files: the rigged hands of a photo with its camera, its light, and the photo as a backdrop.

The camera of the photo is at the origin and looks along -z, +y is up (glTF's frame); each hand is where the camera saw
it. Bones, units and extras: docs/files.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pygltflib as gltf
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.spatial.transform import Rotation

from hifihr_core.exports.bone_names import bone_names
from hifihr_core.exports.clips import Clip, flat_to_photo
from hifihr_core.exports.encoding import encode_jpeg
from hifihr_core.exports.gltf import T_GLTF_CAM, Document, add_clip, add_mesh, add_skeleton, add_skin
from hifihr_core.exports.textured_meshes import TexturedMesh
from hifihr_core.records import Side

_NEAR_M = 0.01
#: The backdrop is this many times as far from the camera as the farthest vertex.
_BACKDROP_DISTANCE = 1.25
_BACKDROP_PX = 2048
_BACKDROP_ALONE_M = 1.0


@dataclass(frozen=True)
class SceneHand:
    """One hand in a scene; `clips` are the animations of its rig, by default `flat_to_photo`."""

    mesh: TexturedMesh
    name: str = "hand"
    side: Side = "right"
    clips: Sequence[Clip] | None = None
    extras: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class PhotoView:
    """The photo's camera: K for images of ``size_px`` (width, height). `image` is the photo, if it is shown."""

    K: Float[np.ndarray, "3 3"]
    size_px: tuple[int, int]
    image: UInt8[np.ndarray, "H W 3"] | None = None


@dataclass(frozen=True)
class SceneLight:
    """The light of a scene: a distant lamp and ambient light.

    `color` and `ambient` are RGB; `direction` points from the surface towards the lamp, camera frame.
    """

    color: Float[np.ndarray, "3"]
    direction: Float[np.ndarray, "3"]
    ambient: Float[np.ndarray, "3"]


def write_scene(
    path: Path,
    hands: Sequence[SceneHand],
    *,
    view: PhotoView | None = None,
    light: SceneLight | None = None,
    bones: str = "vrm",
    extras: Mapping[str, object] | None = None,
) -> None:
    """Write hands to a single GLB, with the camera and picture of `view` and the `light` if they are given.

    `bones` is a style of `bone_names`; `extras` are stored with the scene. Raises: DataError if the file cannot be
    written, ConfigError for an unknown style; an existing file stays intact until the new one is complete.
    """
    document = Document()
    for hand in hands:
        _add_hand(document, hand, bones)
    if view is not None:
        _add_camera(document, view)
        if view.image is not None:
            _add_backdrop(document, view, view.image, [hand.mesh for hand in hands])
    if light is not None:
        _add_light(document, light)
    document.file.scenes[0].extras = {"units": "metres", **(extras or {})}
    document.save(path)


def write_glb(path: Path, mesh: TexturedMesh, *, name: str = "hand", side: Side = "right", bones: str = "vrm") -> None:
    """Write one mesh with its appearance, and its armature if it has one.

    Raises: DataError if the file cannot be written, ConfigError for an unknown style of bone names.
    """
    write_scene(path, [SceneHand(mesh, name, side)], bones=bones)


def _add_hand(document: Document, hand: SceneHand, bones: str) -> None:
    rig = hand.mesh.rig
    mesh = add_mesh(document, hand.mesh, hand.name)
    extras = {"side": hand.side, **hand.extras}
    node = document.node(hand.name, mesh=mesh, extras=extras)
    if rig is None:
        return
    armature = document.node(f"{hand.name}_armature", extras=extras)
    nodes = add_skeleton(document, rig, bone_names(rig.names, hand.side, bones), parent=armature)
    document.file.nodes[node].skin = add_skin(document, rig, nodes, f"{hand.name}_armature")
    for clip in [flat_to_photo(rig)] if hand.clips is None else hand.clips:
        add_clip(document, clip, rig.parents, nodes, f"{hand.name}_{clip.name}")


def _add_camera(document: Document, view: PhotoView) -> None:
    """Add the camera; glTF has no principal point, so an off-centre one is only in the extras."""
    width, height = view.size_px
    lens = gltf.Perspective(
        aspectRatio=width / height * view.K[1, 1] / view.K[0, 0],
        yfov=2 * float(np.arctan(height / (2 * view.K[1, 1]))),
        znear=_NEAR_M,
    )
    document.file.cameras.append(gltf.Camera(name="photo", type="perspective", perspective=lens))
    extras = {"K": view.K.tolist(), "width_px": width, "height_px": height}
    document.node("photo_camera", camera=0, extras=extras)


def _add_light(document: Document, light: SceneLight) -> None:
    """Add a directional light of pi times our brightness, in lux, so that a matt surface facing it looks the same."""
    document.use("KHR_lights_punctual")
    strength = max(float(light.color.max()), 1e-6)
    lamp = {
        "name": "photo_light",
        "type": "directional",
        "color": (light.color.clip(0) / strength).tolist(),
        "intensity": np.pi * strength,
    }
    document.file.extensions = {"KHR_lights_punctual": {"lights": [lamp]}}
    towards = T_GLTF_CAM[:3, :3] @ (light.direction / np.linalg.norm(light.direction))
    turn, _ = Rotation.align_vectors(towards[None], np.array([[0.0, 0.0, 1.0]]))  # a light shines along its -z
    document.node(
        "photo_light",
        rotation=turn.as_quat().tolist(),
        extensions={"KHR_lights_punctual": {"light": 0}},
        extras={"ambient": light.ambient.tolist()},
    )


def _add_backdrop(
    document: Document, view: PhotoView, image: UInt8[np.ndarray, "H W 3"], meshes: Sequence[TexturedMesh]
) -> None:
    """Add the photo behind the hands, on a plane that fills the view of its camera."""
    farthest = max((float(mesh.vertices[:, 2].max()) for mesh in meshes), default=_BACKDROP_ALONE_M)
    width, height = view.size_px
    corners_px = np.array([[0, height, 1], [width, height, 1], [width, 0, 1], [0, 0, 1.0]])
    corners_cam = farthest * _BACKDROP_DISTANCE * corners_px @ np.linalg.inv(view.K).T
    columns = {
        "POSITION": (corners_cam @ T_GLTF_CAM[:3, :3], gltf.VEC3),
        "NORMAL": (np.tile([0.0, 0.0, 1.0], (4, 1)), gltf.VEC3),
        "TEXCOORD_0": (np.array([[0, 1], [1, 1], [1, 0], [0, 0.0]]), gltf.VEC2),
    }
    attributes = {
        name: document.accessor(values.astype(np.float32), kind, target=gltf.ARRAY_BUFFER, bounds=name == "POSITION")
        for name, (values, kind) in columns.items()
    }
    material = document.material(
        "photo", encode_jpeg(_power_of_two(image), longest_px=_BACKDROP_PX), "image/jpeg", unlit=True
    )
    mesh = document.mesh("photo", attributes, np.array([[0, 1, 2], [0, 2, 3]]), material)
    document.node("photo_backdrop", mesh=mesh)


def _power_of_two(image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "P Q 3"]:
    """Resize the picture to power-of-two sides, which some readers need for textures; UVs stay the same."""
    width, height = (min(_BACKDROP_PX, 1 << (side - 1).bit_length()) for side in image.shape[1::-1])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
