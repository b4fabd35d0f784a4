"""The parts of a glTF file: textured meshes, armatures and animations; `scenes.py` combines them.

The frame of glTF 2.0 is right-handed with +y up, in metres: our camera frame rotated by 180 degrees about x.
"""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pygltflib as gltf
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from hifihr_core import __version__
from hifihr_core.exports.clips import Clip, local_transforms, quaternions
from hifihr_core.exports.encoding import encode_png
from hifihr_core.exports.textured_meshes import Rig, SplitMesh, TexturedMesh, split_at_seams, surface_normals, unsplit
from hifihr_core.files import write_atomically

#: Rotates the OpenCV camera frame to glTF's: x stays, y and z change sign.
T_GLTF_CAM = np.diag([1.0, -1.0, -1.0, 1.0])
_INFLUENCES = 4
_COMPONENTS = {"float32": gltf.FLOAT, "uint16": gltf.UNSIGNED_SHORT, "uint32": gltf.UNSIGNED_INT}
#: Smaller movement (metres, or quaternion components) does not count: the channel is omitted.
_STILL = 1e-6


class Document:
    """A glTF file under construction; every buffer view starts at a multiple of four bytes."""

    def __init__(self) -> None:
        self.file = gltf.GLTF2(
            asset=gltf.Asset(version="2.0", generator=f"hifihr {__version__}"), scene=0, scenes=[gltf.Scene()]
        )
        self._data = bytearray()

    def save(self, path: Path) -> None:
        """Write a GLB; an existing file is replaced once it is complete. Raises: DataError if it cannot be written."""
        self._data.extend(b"\0" * (-len(self._data) % 4))
        if self._data:
            self.file.buffers = [gltf.Buffer(byteLength=len(self._data))]
        text = self.file.gltf_to_json(separators=(",", ":"), indent=None).encode()
        chunks = _chunk(b"JSON", text + b" " * (-len(text) % 4))
        if self._data:  # an empty chunk is not allowed, and pygltflib would write one
            chunks += _chunk(b"BIN\0", bytes(self._data))
        with write_atomically(path) as part:
            part.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)

    def node(self, name: str, *, parent: int | None = None, **fields: object) -> int:
        """Append a node, below `parent` or at the top level of the scene; return its index."""
        self.file.nodes.append(gltf.Node(name=name, **fields))
        number = len(self.file.nodes) - 1
        siblings = self.file.scenes[0].nodes if parent is None else self.file.nodes[parent].children
        siblings.append(number)
        return number

    def use(self, extension: str) -> None:
        """Declare an optional extension."""
        if extension not in self.file.extensionsUsed:
            self.file.extensionsUsed.append(extension)

    def view(self, payload: bytes, target: int | None = None) -> int:
        """Append bytes; return the index of their buffer view."""
        self._data.extend(b"\0" * (-len(self._data) % 4))
        self.file.bufferViews.append(
            gltf.BufferView(buffer=0, byteOffset=len(self._data), byteLength=len(payload), target=target)
        )
        self._data.extend(payload)
        return len(self.file.bufferViews) - 1

    def accessor(self, values: np.ndarray, kind: str, *, target: int | None = None, bounds: bool = False) -> int:
        """Append an array (float32, uint16 or uint32) of one `kind` of element per row; return the accessor's index."""
        accessor = gltf.Accessor(
            bufferView=self.view(np.ascontiguousarray(values).tobytes(), target),
            componentType=_COMPONENTS[values.dtype.name],
            count=len(values),
            type=kind,
        )
        if bounds:
            rows = values.reshape(len(values), -1)
            accessor.min, accessor.max = rows.min(axis=0).tolist(), rows.max(axis=0).tolist()
        self.file.accessors.append(accessor)
        return len(self.file.accessors) - 1

    def material(self, name: str, picture: bytes | None, media: str = "image/png", *, unlit: bool = False) -> int:
        """Append a matt material, coloured by an encoded picture if one is given; return its index."""
        surface = gltf.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=0.6)
        if picture is not None:
            self.file.images.append(gltf.Image(name=name, bufferView=self.view(picture), mimeType=media))
            if not self.file.samplers:
                self.file.samplers = [gltf.Sampler(magFilter=gltf.LINEAR, minFilter=gltf.LINEAR_MIPMAP_LINEAR)]
            self.file.textures.append(gltf.Texture(source=len(self.file.images) - 1, sampler=0))
            surface.baseColorTexture = gltf.TextureInfo(index=len(self.file.textures) - 1)
        # MANO is open at the wrist: both sides must show.
        material = gltf.Material(name=name, pbrMetallicRoughness=surface, doubleSided=not unlit)
        if unlit:
            self.use("KHR_materials_unlit")
            material.extensions = {"KHR_materials_unlit": {}}
        self.file.materials.append(material)
        return len(self.file.materials) - 1

    def mesh(self, name: str, attributes: Mapping[str, int], faces: np.ndarray, material: int) -> int:
        """Append a triangle mesh whose attributes are accessors; return its index."""
        flat = faces.astype(np.uint32).reshape(-1)
        indices = self.accessor(flat, gltf.SCALAR, target=gltf.ELEMENT_ARRAY_BUFFER)
        primitive = gltf.Primitive(
            attributes=gltf.Attributes(**attributes), indices=indices, material=material, mode=gltf.TRIANGLES
        )
        self.file.meshes.append(gltf.Mesh(name=name, primitives=[primitive]))
        return len(self.file.meshes) - 1


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack("<I4s", len(payload), kind) + payload


def add_mesh(document: Document, mesh: TexturedMesh, name: str) -> int:
    """Append the mesh of a hand with its material; return its index. A mesh with a rig is stored in its bind pose."""
    split = split_at_seams(mesh) if mesh.uvs is not None else unsplit(mesh)
    picture = None if mesh.texture is None else encode_png(mesh.texture)
    material = document.material(f"{name}_skin", picture)
    return document.mesh(name, _attributes(document, mesh, split), split.faces, material)


def add_skeleton(document: Document, rig: Rig, names: Sequence[str], *, parent: int) -> list[int]:
    """Append one posed node per bone below the node `parent`; return the indices of the nodes."""
    nodes: list[int] = []
    placed = _local_gltf(rig.T_cam_bone, rig.parents)
    turns = Rotation.from_matrix(placed[:, :3, :3]).as_quat()  # glTF's order: x, y, z, w
    for bone, (local, turn) in enumerate(zip(placed, turns, strict=True)):
        above = parent if rig.parents[bone] < 0 else nodes[rig.parents[bone]]
        nodes.append(
            document.node(names[bone], parent=above, translation=local[:3, 3].tolist(), rotation=turn.tolist())
        )
    return nodes


def add_skin(document: Document, rig: Rig, nodes: Sequence[int], name: str) -> int:
    """Append the skin that binds a mesh to its bones; return its index."""
    inverse_bind = np.linalg.inv(rig.T_bind_bone).transpose(0, 2, 1)  # glTF stores matrices column by column
    document.file.skins.append(
        gltf.Skin(
            name=name,
            joints=list(nodes),
            skeleton=nodes[0],
            inverseBindMatrices=document.accessor(_f32(inverse_bind.reshape(len(nodes), 16)), gltf.MAT4),
        )
    )
    return len(document.file.skins) - 1


def add_clip(document: Document, clip: Clip, parents: tuple[int, ...], nodes: Sequence[int], name: str) -> None:
    """Append an animation of the bones at `nodes`; bones that do not move get no channel."""
    local = _local_gltf(clip.T_cam_bone, parents)
    animation, turns = gltf.Animation(name=name), quaternions(local[..., :3, :3])
    times = document.accessor(_f32(clip.times_s), gltf.SCALAR, bounds=True)
    for bone, node in enumerate(nodes):
        tracks = (
            ("rotation", gltf.VEC4, turns[:, bone]),
            ("translation", gltf.VEC3, local[:, bone, :3, 3]),
        )
        for path, kind, values in tracks:
            if np.ptp(values, axis=0).max() < _STILL:
                continue
            animation.samplers.append(
                gltf.AnimationSampler(input=times, output=document.accessor(_f32(values), kind), interpolation="LINEAR")
            )
            target = gltf.AnimationChannelTarget(node=node, path=path)
            animation.channels.append(gltf.AnimationChannel(sampler=len(animation.samplers) - 1, target=target))
    if animation.channels:  # glTF does not allow an animation without channels
        document.file.animations.append(animation)


def strongest_influences(
    weights: Float[np.ndarray, "V N"],
) -> tuple[np.ndarray, Float[np.ndarray, "V 4"]]:
    """Return the four strongest bones of every vertex (uint16) and their weights, which sum to one."""
    padded = np.pad(weights, ((0, 0), (0, max(0, _INFLUENCES - weights.shape[1]))))
    rows, left = np.arange(len(padded)), padded.copy()
    order = np.empty((len(padded), _INFLUENCES), dtype=np.intp)
    for k in range(_INFLUENCES):  # much faster than sorting all; the first of equal ones
        order[:, k] = left.argmax(axis=1)
        left[rows, order[:, k]] = -1.0
    strongest = np.take_along_axis(padded, order, axis=1)
    strongest = strongest / strongest.sum(axis=1, keepdims=True)
    return np.where(strongest > 0, order, 0).astype(np.uint16), strongest


def _attributes(document: Document, mesh: TexturedMesh, split: SplitMesh) -> dict[str, int]:
    # glTF ignores the node transform of a skinned mesh: its vertices stay in the bind frame and the bones carry it.
    vertices = mesh.vertices @ T_GLTF_CAM[:3, :3] if mesh.rig is None else mesh.rig.bind_vertices
    normals = surface_normals(vertices, mesh.faces)
    columns: dict[str, tuple[np.ndarray, str]] = {
        "POSITION": (_f32(vertices[split.source]), gltf.VEC3),
        "NORMAL": (_f32(normals[split.source]), gltf.VEC3),
    }
    if mesh.texture is not None:
        columns["TEXCOORD_0"] = _f32(np.stack((split.uvs[:, 0], 1.0 - split.uvs[:, 1]), axis=1)), gltf.VEC2
    if mesh.vertex_colors is not None:  # glTF keeps vertex colours in linear light
        columns["COLOR_0"] = _f32(srgb_to_linear(mesh.vertex_colors[split.source])), gltf.VEC3
    if mesh.rig is not None:
        bones, weights = strongest_influences(mesh.rig.weights[split.source])
        columns |= {"JOINTS_0": (bones, gltf.VEC4), "WEIGHTS_0": (_f32(weights), gltf.VEC4)}
    return {
        name: document.accessor(values, kind, target=gltf.ARRAY_BUFFER, bounds=name == "POSITION")
        for name, (values, kind) in columns.items()
    }


def _local_gltf(T_cam_bone: Float[np.ndarray, "*batch N 4 4"], parents: tuple[int, ...]) -> np.ndarray:
    return local_transforms(T_GLTF_CAM @ T_cam_bone, parents)


def srgb_to_linear(values: np.ndarray) -> np.ndarray:
    """Convert sRGB values to linear light, both in [0, 1]."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _f32(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)
