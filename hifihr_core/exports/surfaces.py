"""OBJ and PLY: one posed hand without its armature, in the frame of the GLB files (+y up, metres).

Written without a library: the formats are simple, and Ctrl-C can then stop a run at any time.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from hifihr_core.exports.encoding import encode_png
from hifihr_core.exports.textured_meshes import TexturedMesh, surface_normals
from hifihr_core.files import plain_name, write_atomically, write_text
from hifihr_core.lookup import needed

#: Maps our camera frame to the frame of the files.
_UP = np.array([1.0, -1.0, -1.0])


def write_obj(path: Path, mesh: TexturedMesh, *, name: str = "hand") -> list[Path]:
    """Write an OBJ, with the material and picture of a textured mesh beside it; return all files.

    Vertices keep their indices: corners at a UV seam share a vertex and differ in their UVs. Without a texture, the
    colour of a vertex follows its coordinates. Raises: DataError if a file cannot be written.
    """
    name = plain_name(name)  # readers end a name at a space, and a newline would start a new statement
    rows = [f"# hifihr: +y up, metres, the photo's camera at the origin\no {name}"]
    files = [path]
    if mesh.texture is not None:
        material, picture = path.with_name(f"{plain_name(path.stem)}.mtl"), path.with_name(f"{name}_texture.png")
        rows.insert(1, f"mtllib {material.name}")
        write_text(material, f"newmtl skin\nKa 0 0 0\nKd 1 1 1\nKs 0.04 0.04 0.04\nNs 10\nmap_Kd {picture.name}\n")
        _write_png(picture, mesh)
        files += [material, picture]
    coordinates = mesh.vertices * _UP
    if mesh.vertex_colors is not None:
        coordinates = np.concatenate((coordinates, mesh.vertex_colors), axis=1)
    rows += [_lines("v", coordinates), _lines("vn", _normals(mesh))]
    corners = [mesh.faces, mesh.faces]
    if mesh.uvs is not None and mesh.faces_uvs is not None:
        rows.append(_lines("vt", mesh.uvs))
        corners.insert(1, mesh.faces_uvs)
    rows += ["usemtl skin"] if mesh.texture is not None else []
    rows.append(_faces(np.stack(corners, axis=-1) + 1, "/" if len(corners) == 3 else "//"))
    write_text(path, "\n".join(rows) + "\n")
    return files


def write_ply(path: Path, mesh: TexturedMesh) -> list[Path]:
    """Write a binary PLY with normals and one colour per vertex (see `vertex_colors`); return the file, in a list."""
    colors = (vertex_colors(mesh) * 255).round().astype(np.uint8)
    kinds = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    kinds += [(name, "u1") for name in ("red", "green", "blue")]
    vertices = np.zeros(len(mesh.vertices), dtype=kinds)
    columns = np.concatenate((mesh.vertices * _UP, _normals(mesh), colors), axis=1)
    for k, (name, _) in enumerate(kinds):
        vertices[name] = columns[:, k]
    faces = np.zeros(len(mesh.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    words = {"<f4": "float", "u1": "uchar"}
    header = [
        "ply\nformat binary_little_endian 1.0\ncomment hifihr: +y up, metres, the photo's camera at the origin",
        f"element vertex {len(vertices)}",
        *(f"property {words[kind]} {name}" for name, kind in kinds),
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n",
    ]
    with write_atomically(path) as part:
        part.write_bytes("\n".join(header).encode() + vertices.tobytes() + faces.tobytes())
    return [path]


def vertex_colors(mesh: TexturedMesh) -> Float[np.ndarray, "V 3"]:
    """Return a colour per vertex, sRGB in [0, 1]: the mesh's own, or its texture averaged over the UVs of the vertex.

    Grey if it has neither.
    """
    if mesh.vertex_colors is not None:
        return mesh.vertex_colors.clip(0, 1)
    if mesh.texture is None or mesh.uvs is None or mesh.faces_uvs is None:
        return np.full_like(mesh.vertices, 0.8)
    size = len(mesh.texture)
    columns, rows = ((places * size).astype(int).clip(0, size - 1) for places in (mesh.uvs[:, 0], 1 - mesh.uvs[:, 1]))
    found = mesh.texture[rows, columns].astype(np.float64) / 255
    corners, places = mesh.faces.ravel(), mesh.faces_uvs.ravel()
    total = np.zeros_like(mesh.vertices)
    np.add.at(total, corners, found[places])
    return total / np.maximum(np.bincount(corners, minlength=len(total)), 1)[:, None]


def _write_png(path: Path, mesh: TexturedMesh) -> None:
    texture = needed(mesh.texture, "the texture of the mesh")
    with write_atomically(path) as part:
        part.write_bytes(encode_png(texture))


def _normals(mesh: TexturedMesh) -> Float[np.ndarray, "V 3"]:
    return surface_normals(mesh.vertices * _UP, mesh.faces)


def _lines(word: str, values: np.ndarray) -> str:
    form = f"{word} " + " ".join(["%.7g"] * values.shape[1])
    return "\n".join(form % tuple(row) for row in values.tolist())


def _faces(corners: np.ndarray, joiner: str) -> str:
    """Return the lines of faces (F, 3, 2 or 3): vertex, UV (if any) and normal of every corner, counted from 1."""
    return "\n".join("f " + " ".join(joiner.join(map(str, corner)) for corner in face) for face in corners.tolist())
