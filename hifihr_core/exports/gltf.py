"""GLB files: one skinned, textured hand that opens posed in Blender, three.js and game engines.

glTF 2.0 is right-handed, +y up, metres; our camera frame turned half a circle about x. The hand stands where the camera
of the photo (at the origin, looking along -z) sees it.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pygltflib as gltf
import trimesh
from jaxtyping import Float
from PIL import Image
from scipy.spatial.transform import Rotation

from hifihr_core import __version__
from hifihr_core.exports.meshes import Skin, SplitMesh, TexturedMesh, split_at_seams
from hifihr_core.files import write_atomically

#: Turns the OpenCV camera frame into glTF's: x stays, y and z change sign.
_T_GLTF_CAM = np.diag([1.0, -1.0, -1.0, 1.0])
_INFLUENCES = 4


class _Buffer:
    """The binary chunk of a GLB, filled one accessor at a time; every view starts on a multiple of four bytes."""

    def __init__(self, document: gltf.GLTF2) -> None:
        self.document = document
        self.data = bytearray()

    def view(self, payload: bytes, target: int | None = None) -> int:
        self.data.extend(b"\0" * (-len(self.data) % 4))
        self.document.bufferViews.append(
            gltf.BufferView(buffer=0, byteOffset=len(self.data), byteLength=len(payload), target=target)
        )
        self.data.extend(payload)
        return len(self.document.bufferViews) - 1

    def accessor(self, values: np.ndarray, kind: str, *, target: int | None = None, bounds: bool = False) -> int:
        component = {"float32": gltf.FLOAT, "uint16": gltf.UNSIGNED_SHORT, "uint32": gltf.UNSIGNED_INT}
        accessor = gltf.Accessor(
            bufferView=self.view(values.tobytes(), target),
            componentType=component[values.dtype.name],
            count=len(values),
            type=kind,
        )
        if bounds:
            accessor.min, accessor.max = values.min(axis=0).tolist(), values.max(axis=0).tolist()
        self.document.accessors.append(accessor)
        return len(self.document.accessors) - 1


def write_glb(path: Path, mesh: TexturedMesh, *, name: str = "hand", bone_names: Sequence[str] | None = None) -> None:
    """Write a mesh with its texture or vertex colours, and its skeleton where it has one.

    Raises DataError where the file cannot be written; an existing file stays whole until the new one is complete.
    """
    document = gltf.GLTF2(
        asset=gltf.Asset(version="2.0", generator=f"hifihr {__version__}"), scene=0, scenes=[gltf.Scene(nodes=[0])]
    )
    buffer = _Buffer(document)
    split = split_at_seams(mesh) if mesh.uvs is not None else _unsplit(mesh)
    document.materials = [_material(buffer, mesh)]
    document.meshes = [gltf.Mesh(name=name, primitives=[_primitive(buffer, mesh, split)])]
    document.nodes = [gltf.Node(name=name, mesh=0)]
    if mesh.skin is not None:
        _add_skin(buffer, mesh.skin, bone_names or [f"bone_{j:02d}" for j in range(len(mesh.skin.parents))])
    document.buffers = [gltf.Buffer(byteLength=len(buffer.data))]
    document.set_binary_blob(bytes(buffer.data))
    with write_atomically(path) as part:
        part.write_bytes(b"".join(document.save_to_bytes()))


def _unsplit(mesh: TexturedMesh) -> SplitMesh:
    count = len(mesh.vertices)
    return SplitMesh(source=np.arange(count), uvs=np.zeros((count, 2)), faces=mesh.faces)


def _material(buffer: _Buffer, mesh: TexturedMesh) -> gltf.Material:
    surface = gltf.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=0.6)
    if mesh.texture is not None:
        encoded = io.BytesIO()
        Image.fromarray(mesh.texture).save(encoded, "PNG")
        buffer.document.images = [gltf.Image(bufferView=buffer.view(encoded.getvalue()), mimeType="image/png")]
        buffer.document.samplers = [gltf.Sampler(magFilter=gltf.LINEAR, minFilter=gltf.LINEAR_MIPMAP_LINEAR)]
        buffer.document.textures = [gltf.Texture(source=0, sampler=0)]
        surface.baseColorTexture = gltf.TextureInfo(index=0)
    # The hand is open at the wrist: both sides must show.
    return gltf.Material(name="skin", pbrMetallicRoughness=surface, doubleSided=True)


def _primitive(buffer: _Buffer, mesh: TexturedMesh, split: SplitMesh) -> gltf.Primitive:
    skin = mesh.skin
    # glTF ignores the node transform of a skinned mesh: its vertices stay in the rest frame and the bones carry it.
    vertices = _to_gltf(mesh.vertices) if skin is None else skin.rest_vertices
    normals = trimesh.Trimesh(vertices, mesh.faces, process=False).vertex_normals
    attributes = gltf.Attributes(
        POSITION=buffer.accessor(_f32(vertices[split.source]), gltf.VEC3, target=gltf.ARRAY_BUFFER, bounds=True),
        NORMAL=buffer.accessor(_f32(normals[split.source]), gltf.VEC3, target=gltf.ARRAY_BUFFER),
    )
    if mesh.texture is not None:
        top_left = np.stack((split.uvs[:, 0], 1.0 - split.uvs[:, 1]), axis=1)
        attributes.TEXCOORD_0 = buffer.accessor(_f32(top_left), gltf.VEC2, target=gltf.ARRAY_BUFFER)
    if mesh.vertex_colors is not None:
        linear = _srgb_to_linear(mesh.vertex_colors[split.source])  # glTF keeps vertex colours in linear light
        attributes.COLOR_0 = buffer.accessor(_f32(linear), gltf.VEC3, target=gltf.ARRAY_BUFFER)
    if skin is not None:
        bones, weights = strongest_influences(skin.weights[split.source])
        attributes.JOINTS_0 = buffer.accessor(bones, gltf.VEC4, target=gltf.ARRAY_BUFFER)
        attributes.WEIGHTS_0 = buffer.accessor(_f32(weights), gltf.VEC4, target=gltf.ARRAY_BUFFER)
    indices = buffer.accessor(split.faces.astype(np.uint32).reshape(-1), gltf.SCALAR, target=gltf.ELEMENT_ARRAY_BUFFER)
    return gltf.Primitive(attributes=attributes, indices=indices, material=0, mode=gltf.TRIANGLES)


def _add_skin(buffer: _Buffer, skin: Skin, bone_names: Sequence[str]) -> None:
    """Append one node per bone, standing as the pose says, and the skin that binds the mesh to them."""
    document = buffer.document
    count = len(skin.parents)
    first = len(document.nodes)
    T_rest_bone = np.tile(np.eye(4), (count, 1, 1))
    T_rest_bone[:, :3, 3] = skin.rest_joints
    T_world_bone = _T_GLTF_CAM @ skin.T_cam_rest @ T_rest_bone
    for j, parent in enumerate(skin.parents):
        local = T_world_bone[j] if parent < 0 else np.linalg.inv(T_world_bone[parent]) @ T_world_bone[j]
        children = [first + k for k, of in enumerate(skin.parents) if of == j]
        turn = Rotation.from_matrix(local[:3, :3]).as_quat()  # x, y, z, w, as glTF wants it
        node = gltf.Node(
            name=bone_names[j], translation=local[:3, 3].tolist(), rotation=turn.tolist(), children=children
        )
        document.nodes.append(node)
    inverse_bind = np.linalg.inv(T_rest_bone).transpose(0, 2, 1)  # glTF stores matrices column by column
    roots = [first + j for j, parent in enumerate(skin.parents) if parent < 0]
    document.skins = [
        gltf.Skin(
            joints=list(range(first, first + count)),
            skeleton=roots[0],
            inverseBindMatrices=buffer.accessor(_f32(inverse_bind.reshape(count, 16)), gltf.MAT4),
        )
    ]
    document.nodes[0].skin = 0
    document.scenes[0].nodes = [0, *roots]


def strongest_influences(
    weights: Float[np.ndarray, "V N"],
) -> tuple[np.ndarray, Float[np.ndarray, "V 4"]]:
    """Return the four strongest bones of every vertex (uint16) and their weights, which sum to one."""
    padded = np.pad(weights, ((0, 0), (0, max(0, _INFLUENCES - weights.shape[1]))))
    order = np.argsort(-padded, axis=1, kind="stable")[:, :_INFLUENCES]
    strongest = np.take_along_axis(padded, order, axis=1)
    strongest = strongest / strongest.sum(axis=1, keepdims=True)
    return np.where(strongest > 0, order, 0).astype(np.uint16), strongest


def _to_gltf(points_cam: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    return points_cam @ _T_GLTF_CAM[:3, :3]


def _srgb_to_linear(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _f32(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)
