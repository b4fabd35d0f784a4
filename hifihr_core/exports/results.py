"""Results of a prediction: numbers for programs, a mesh for people.

Everything is in the frame of the original photo: left hands are not mirrored, pixels are those of the upright full-size
photo, and K projects `joints_cam` onto `joints_px`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from hifihr_core.errors import DataError
from hifihr_core.exports.textured_meshes import TexturedMesh
from hifihr_core.photos.reading import Photo, read_photo
from hifihr_core.records import Side

#: Written into every file, so that nobody has to guess.
CONVENTIONS: Mapping[str, str] = {
    "camera_frame": "OpenCV: +x right, +y down, +z forward",
    "units": "metres, radians, pixels; pixel (row i, column j) is centred on (j + 0.5, i + 0.5)",
    "joint_order": "FreiHAND (OpenPose hand): wrist; thumb, index, middle, ring, pinky, base to tip",
    "side": "anatomical, in an un-mirrored photo",
    "parameters": "of a right hand; for side=left, of the mirrored hand (negate x of its vertices to get this mesh)",
    "root_cam": "joint 9 (middle MCP); vertices_cam = hand(parameters).vertices + root_cam, x negated for side=left",
}


@dataclass(frozen=True, repr=False)
class HandResult:
    """One hand of one photo.

    `box_px` is (x0, y0, x1, y1); files write [x, y, width, height]. `parameters` holds the arrays `global_orient`,
    `pose`, `shape`, `texture` of the model `hand`, and `root_cam`, all of the (mirrored) right hand. `score` is the
    detection's (1 for a given box or the whole photo), times the mean confidence of the network's own joints if the
    detection has no keypoints. `light` holds `ambient`, `color`, `direction` in the camera frame of the photo. `metric`
    is True if the focal length was known; distance and size still assume a hand of average size. `report` describes
    how the result was made (start, reprojection error, refinement). `licences` are those of all files it was made from.
    `doubtful` marks a hand that may be a false positive or misread. `joint_confidence` is the probability that a
    keypoint is less than a twentieth of the hand's size from the truth, and `side_confidence` that the side is right;
    both are None unless the eyes found the hand. `keypoints_px` are the keypoints that the hand was fitted to, NaN if a
    joint was not seen; `before` holds the parameters before refinement, as `parameters` but without a texture. Both may
    be None. `mano` holds MANO's parameters in smplx's conventions, if the hand was converted.
    """

    side: Side
    score: float
    box_px: Float[np.ndarray, "4"]
    K: Float[np.ndarray, "3 3"]
    metric: bool
    hand: str
    joints_cam: Float[np.ndarray, "21 3"]
    joints_px: Float[np.ndarray, "21 2"]
    mesh: TexturedMesh
    parameters: Mapping[str, np.ndarray]
    light: Mapping[str, np.ndarray]
    report: Mapping[str, object] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    mano: Mapping[str, object] | None = None
    doubtful: bool = False
    joint_confidence: Float[np.ndarray, "21"] | None = None
    side_confidence: float | None = None
    keypoints_px: Float[np.ndarray, "21 2"] | None = None
    before: Mapping[str, np.ndarray] | None = None

    @property
    def vertices(self) -> Float[np.ndarray, "V 3"]:
        """The posed mesh, metres in the camera frame."""
        return self.mesh.vertices

    @property
    def texture(self) -> UInt8[np.ndarray, "T T 3"] | None:
        """The texture map, RGB, row 0 at the top; None for a hand model without a UV chart."""
        return self.mesh.texture

    def __repr__(self) -> str:
        """Return one line: side, model, score, position, number of vertices, and whether the focal length was known."""
        x, y = self.joints_px.mean(axis=0)
        return (
            f"HandResult({self.side} {self.hand}, score {self.score:.2f}, middle ({x:.0f}, {y:.0f}) px, "
            f"{len(self.mesh.vertices)} vertices, metric {self.metric})"
        )

    @property
    def box_xywh(self) -> Float[np.ndarray, "4"]:
        """The box in the form used in files: [x, y, width, height]."""
        return np.concatenate((self.box_px[:2], self.box_px[2:] - self.box_px[:2]))

    def summary(self) -> dict[str, object]:
        """Return the fields that `--json` prints."""
        return {
            "side": self.side,
            **({} if self.side_confidence is None else {"side_confidence": round(self.side_confidence, 4)}),
            "score": round(float(self.score), 4),
            **({"doubtful": True} if self.doubtful else {}),
            "box": _listed(self.box_xywh, 2),
            "K": _listed(self.K, 4),
            "metric": self.metric,
            "joints_px": _listed(self.joints_px, 3),
            "joints_cam": _listed(self.joints_cam, 6),
            **({} if self.joint_confidence is None else {"joint_confidence": _listed(self.joint_confidence, 3)}),
            "report": dict(self.report),
        }

    def document(self) -> dict[str, object]:
        """Return everything except the mesh as plain JSON values."""
        return {
            **self.summary(),
            "hand": self.hand,
            "parameters": {name: _listed(value, 6) for name, value in self.parameters.items()},
            **({} if self.before is None else {"before": {name: _listed(v, 5) for name, v in self.before.items()}}),
            **({} if self.keypoints_px is None else {"keypoints_px": _points_or_null(self.keypoints_px)}),
            "light": {name: _listed(value, 5) for name, value in self.light.items()},
            "conventions": dict(CONVENTIONS),
            "licences": dict(self.licences),
            **({} if self.mano is None else {"mano": dict(self.mano)}),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the hand as arrays, for `.npz`: numbers, vertices and faces."""
        return {
            "side": np.array(self.side),
            "score": np.array(self.score),
            "box": self.box_xywh,
            "K": self.K,
            "metric": np.array(self.metric),
            "hand": np.array(self.hand),
            "joints_cam": self.joints_cam,
            "joints_px": self.joints_px,
            "vertices_cam": self.mesh.vertices,
            "faces": self.mesh.faces,
            **self.parameters,
            **{f"light_{name}": value for name, value in self.light.items()},
        }


@dataclass(frozen=True, repr=False)
class PhotoResult:
    """All hands of one photo, seen by one camera, with the time of each stage and the assumptions made.

    `seconds` maps stages to times; `notes` are the assumptions. `photo` is kept only for a photo given as an array; one
    with a `path` is read again when needed.
    """

    path: Path | None
    hands: tuple[HandResult, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    photo: Photo | None = None

    def save(self, folder: str | Path, *, formats: Iterable[str] | None = None) -> list[Path]:
        """Write every hand into `folder`, under the photo's name; return the files.

        `formats` are names in `hifihr_core.exports.formats.FORMATS`; the default is that of `hifihr predict`.
        Raises: ConfigError for an unknown format, DataError if a file cannot be written.
        """
        from hifihr_core.exports.formats import DEFAULT_FORMATS, ExportContext, write_hand, write_photo

        chosen = tuple(DEFAULT_FORMATS if formats is None else formats)
        stem = "photo" if self.path is None else self.path.stem
        context = ExportContext(photo=None if self.path is None else self.path.name)
        files = write_photo(Path(folder), stem, self.hands, chosen, context)
        for number, hand in enumerate(self.hands):
            files += write_hand(Path(folder), f"{stem}_{number}", hand, chosen, context)
        return files

    def show(self, page: str | Path | None = None, *, browser: bool | None = None) -> Path:
        """Show the hands in the browser, over their photo and from all sides; return the page, a single HTML file.

        `page` is the file to write, by default one in a temporary folder. Without a screen, or with ``browser=False``,
        the page is only written. The call does not wait for the browser.
        Raises: DataError if the photo no longer exists or the page cannot be written.
        """
        from hifihr_core.exports.page import show_result

        photo = self.photo if self.path is None else read_photo(self.path)
        if photo is None:
            raise DataError("this result has neither a photo nor the path of one; predict the photo again")
        return show_result(self, photo, None if page is None else Path(page), browser=browser)

    def __repr__(self) -> str:
        """Return the photo's name and one line for each of the first eight hands."""
        name = "photo" if self.path is None else self.path.name
        lines = [f"{name}: {len(self.hands)} hand{'s' * (len(self.hands) != 1)}", *map(repr, self.hands[:8])]
        return "\n  ".join([*lines, *(["..."] if len(self.hands) > 8 else [])])


def _points_or_null(points_px: Float[np.ndarray, "N 2"]) -> list:
    return [None if np.isnan(point).any() else _listed(point, 2) for point in points_px]


def _listed(values: np.ndarray, digits: int) -> list:
    return np.round(np.asarray(values, dtype=np.float64), digits).tolist()
