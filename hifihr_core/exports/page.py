"""A single HTML file with photos and their hands, to open or send: it needs no network and no other program.

The viewer in `data/page.html` is plain WebGL; this module inserts the photos. Hands are in their photo's camera frame.
"""

import base64
import json
import os
import sys
import tempfile
import webbrowser
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from hifihr_core.exports.clips import local_transforms
from hifihr_core.exports.encoding import encode_jpeg
from hifihr_core.exports.forearm import with_forearm
from hifihr_core.exports.gltf import strongest_influences
from hifihr_core.exports.results import HandResult, PhotoResult
from hifihr_core.exports.textured_meshes import TexturedMesh, split_at_seams, unsplit
from hifihr_core.files import write_text
from hifihr_core.photos.reading import Photo

PAGE_FILE = "index.html"
#: A page shows at most this many photos, the first ones: a browser loads the whole file.
MAX_PHOTOS = 30
_PHOTO_PX, _TEXTURE_PX = 1400, 1024
_MARK = "/*DATA*/"


def page_photo(name: str, photo: Photo, hands: Sequence[HandResult]) -> dict:
    """Return a page's data for one photo, as plain JSON values."""
    image = photo.image
    shrink = min(1.0, _PHOTO_PX / max(image.shape[:2]))
    width, height = (max(1, round(side * shrink)) for side in image.shape[1::-1])
    K = hands[0].K if hands else np.eye(3)
    scale = np.diag([width / photo.size_px[0], height / photo.size_px[1], 1.0])
    licences = sorted({licence for hand in hands for licence in hand.licences.values()})
    return {
        "name": name,
        "note": f"{len(hands)} hand{'s'[: len(hands) != 1]}; licences: {', '.join(licences) or 'none'}",
        "picture": _data_uri(encode_jpeg(image, longest_px=_PHOTO_PX, quality=85), "image/jpeg"),
        "width": width,
        "height": height,
        "K": (scale @ K).tolist(),
        "hands": [_hand(hand) for hand in hands],
    }


def write_page(path: Path, photos: Sequence[dict]) -> Path:
    """Write a page of the first `MAX_PHOTOS` photos (from `page_photo`). Raises: DataError if it cannot be written."""
    template = (files("hifihr_core.exports") / "data" / "page.html").read_text(encoding="utf-8")
    data = json.dumps({"photos": list(photos[:MAX_PHOTOS])}, separators=(",", ":"))
    # A script element ends at the first "</", wherever it is.
    write_text(path, template.replace(_MARK, data.replace("</", "<\\/")))
    return path


def show_result(result: PhotoResult, photo: Photo, page: Path | None, *, browser: bool | None) -> Path:
    """Write the page of one photo and open it; return its path.

    If `page` is None, the file is in a new temporary folder, which is kept since the browser reads it later. If
    `browser` is None, the page is opened only if there is a screen. Raises: DataError if the page cannot be written.
    """
    path = Path(tempfile.mkdtemp(prefix="hifihr-")) / PAGE_FILE if page is None else page
    name = "photo" if result.path is None else result.path.name
    write_page(path, [page_photo(name, photo, result.hands)])
    if has_screen(os.environ, sys.platform) if browser is None else browser:
        webbrowser.open(path.resolve().as_uri())
    return path


def has_screen(environment: Mapping[str, str], platform: str) -> bool:
    """Return whether a browser window can open (a text browser in the terminal would block the program)."""
    return platform in ("darwin", "win32") or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _hand(hand: HandResult) -> dict:
    mesh = with_forearm(hand.mesh)
    light = {name: np.asarray(hand.light[name]).round(4).tolist() for name in ("ambient", "color", "direction")}
    return {"side": hand.side, "score": round(float(hand.score), 4), "light": light, **_geometry(mesh)}


def _geometry(mesh: TexturedMesh) -> dict:
    split = split_at_seams(mesh) if mesh.uvs is not None else unsplit(mesh)
    rig = mesh.rig
    vertices = mesh.vertices if rig is None else rig.bind_vertices
    bones, weights = (
        strongest_influences(rig.weights[split.source]) if rig else (np.zeros((0, 4), np.uint16), np.zeros((0, 4)))
    )
    top_left = np.stack((split.uvs[:, 0], 1.0 - split.uvs[:, 1]), axis=1)
    texture = None
    if mesh.texture is not None:
        texture = _data_uri(encode_jpeg(mesh.texture, longest_px=_TEXTURE_PX, quality=88), "image/jpeg")
    colors = None if mesh.vertex_colors is None else _packed(mesh.vertex_colors[split.source], np.float32)
    return {
        "positions": _packed(vertices[split.source], np.float32),
        "uvs": _packed(top_left, np.float32),
        "faces": _packed(split.faces, np.uint32),
        "source": _packed(split.source, np.uint32),
        "bones": _packed(bones, np.uint16),
        "weights": _packed(weights, np.float32),
        "colors": colors,
        "texture": texture,
        "names": list(rig.names) if rig else [],
        "parents": list(rig.parents) if rig else [],
        "local": _matrices(local_transforms(rig.T_cam_bone, rig.parents)) if rig else [],
        "inverse_bind": _matrices(np.linalg.inv(rig.T_bind_bone)) if rig else [],
    }


def _packed(values: np.ndarray, kind: type) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=np.dtype(kind).newbyteorder("<")).tobytes()).decode()


def _matrices(transforms: np.ndarray) -> list:
    return [matrix.round(7).ravel().tolist() for matrix in transforms]


def _data_uri(payload: bytes, media: str) -> str:
    return f"data:{media};base64,{base64.b64encode(payload).decode()}"
