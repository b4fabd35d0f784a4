"""Writing hands to disk: GLB, OBJ, JSON, NPZ and pictures, each one row of a table."""

import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import trimesh
from PIL import Image

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.exports.meshes import TexturedMesh, split_at_seams
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.scenes import write_glb
from hifihr_core.files import write_atomically, write_text


def write_obj(path: Path, mesh: TexturedMesh, *, name: str = "hand") -> list[Path]:
    """Write `path` with its material and texture beside it; return every file.

    The mesh keeps the camera frame turned half a circle about x (+y up, as viewers expect). Vertex colours go behind
    the coordinates of a mesh without a chart.
    """
    up = np.array([1.0, -1.0, -1.0])
    if mesh.texture is not None:
        split = split_at_seams(mesh)
        image = Image.fromarray(mesh.texture)
        material = trimesh.visual.material.SimpleMaterial(image=image, diffuse=(255, 255, 255, 255), glossiness=10.0)
        material.name = f"{name}_texture"  # which also names the picture's file
        visual = trimesh.visual.TextureVisuals(uv=split.uvs, material=material)
        solid = trimesh.Trimesh(mesh.vertices[split.source] * up, split.faces, visual=visual, process=False)
    else:
        colors = None if mesh.vertex_colors is None else np.rint(mesh.vertex_colors * 255).astype(np.uint8)
        solid = trimesh.Trimesh(mesh.vertices * up, mesh.faces, vertex_colors=colors, process=False)
    text, resources = trimesh.exchange.obj.export_obj(
        solid, return_texture=True, mtl_name=f"{path.stem}.mtl", include_normals=True, digits=7
    )
    written = [path]
    for file, data in (resources or {}).items():
        written.append(path.with_name(file))
        with write_atomically(written[-1]) as part:
            part.write_bytes(data)
    write_text(path, text)
    return written


def _glb(folder: Path, result: HandResult, stem: str) -> list[Path]:
    write_glb(folder / f"{stem}.glb", result.mesh, name=stem, side=result.side)
    return [folder / f"{stem}.glb"]


def _obj(folder: Path, result: HandResult, stem: str) -> list[Path]:
    return write_obj(folder / f"{stem}.obj", result.mesh, name=stem)


def _ply(folder: Path, result: HandResult, stem: str) -> list[Path]:
    solid = trimesh.Trimesh(result.mesh.vertices, result.mesh.faces, process=False)
    with write_atomically(folder / f"{stem}.ply") as part:
        part.write_bytes(trimesh.exchange.ply.export_ply(solid))
    return [folder / f"{stem}.ply"]


def _json(folder: Path, result: HandResult, stem: str) -> list[Path]:
    write_text(folder / f"{stem}.json", json.dumps(result.document(), indent=1) + "\n")
    return [folder / f"{stem}.json"]


def _npz(folder: Path, result: HandResult, stem: str) -> list[Path]:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **result.arrays())  # type: ignore[arg-type]  # its stub takes names for options
    with write_atomically(folder / f"{stem}.npz") as part:
        part.write_bytes(buffer.getvalue())
    return [folder / f"{stem}.npz"]


def _texture(folder: Path, result: HandResult, stem: str) -> list[Path]:
    if result.mesh.texture is None:
        return []
    write_picture(folder / f"{stem}_texture.png", result.mesh.texture)
    return [folder / f"{stem}_texture.png"]


#: Every format: how one hand is written under a stem; each returns the files it wrote.
FORMATS: Mapping[str, Callable[[Path, HandResult, str], list[Path]]] = MappingProxyType(
    {"glb": _glb, "obj": _obj, "ply": _ply, "json": _json, "npz": _npz, "texture": _texture}
)
DEFAULT_FORMATS = ("glb", "obj", "json", "npz")


def check_formats(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names, each once. Raises ConfigError for a format that is not known."""
    chosen = tuple(dict.fromkeys(names))
    for name in chosen:
        if name not in FORMATS:
            raise ConfigError(f"format {name!r} is not known; expected {', '.join(FORMATS)}")
    return chosen


def write_hand(folder: Path, result: HandResult, stem: str, formats: Iterable[str] = DEFAULT_FORMATS) -> list[Path]:
    """Write one hand in every format named; return the files. Raises DataError where the disk refuses."""
    return [file for name in check_formats(formats) for file in FORMATS[name](folder, result, stem)]


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write an RGB uint8 picture; the suffix names the format."""
    with write_atomically(path) as part:
        Image.fromarray(image).save(part, format=Image.registered_extensions()[path.suffix.lower()])


def refuse_existing(paths: Iterable[Path]) -> None:
    """Raise DataError for the first path that is there already, so that nothing is overwritten unasked."""
    for path in paths:
        if path.exists():
            raise DataError(f"{path}: exists already; give another --out, or --overwrite")
