"""From worked-on states back to the photo as it was taken: un-mirrored, at full size, with mesh, texture and report."""

import operator
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from hifihr_core.exports.meshes import TexturedMesh, mirror_x, posed_mesh
from hifihr_core.exports.results import HandResult
from hifihr_core.geometry.cameras import project
from hifihr_core.geometry.crops import warp_image
from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.photos.detectors import Detection
from hifihr_core.photos.reading import Photo
from hifihr_core.placed_hands import LitHands, map_tensors
from hifihr_core.prediction.crops import Crops
from hifihr_core.prediction.refine import Quality, Refined
from hifihr_core.prediction.texture import complete_texture
from hifihr_core.records import Appearance, Light

_MIRROR = np.array([-1.0, 1.0, 1.0])


def assemble(
    hand: HandModel,
    state: LitHands,
    crops: Crops,
    photo: Photo,
    K: np.ndarray,
    detections: Sequence[Detection],
    *,
    metric: bool,
    origins: Sequence[str],
    confidence: Sequence[float],
    refined: Refined | None,
    texture_px: int,
    licences: Mapping[str, str],
) -> tuple[HandResult, ...]:
    """Return one result per hand; `K` is the camera of `photo.image`, results are in pixels of the full photo.

    `origins` and `confidence` are those of `Started`, one per hand.
    """
    posed = hand(state.parameters)
    enlarge = np.diag([photo.reduction, photo.reduction, 1.0])
    results = []
    for i, detection in enumerate(detections):
        one = map_tensors(operator.itemgetter(slice(i, i + 1)), state)
        axis = _MIRROR if crops.sides[i] == "left" else np.ones(3)
        joints_cam = _numpy(posed.joints[i] + state.root_cam[i]) * axis
        K_full = enlarge @ K
        mesh = posed_mesh(hand, one.parameters, one.root_cam)
        if refined is not None and mesh.texture is not None:
            mesh = _with_photo(hand, mesh, one, crops, photo, refined, i, texture_px)
        full = detection.resized(photo.reduction)
        joints_px = _project(joints_cam, K_full)
        results.append(
            HandResult(
                side=crops.sides[i],
                score=_score(detection, confidence[i]),
                box_px=full.box_px,
                K=K_full,
                metric=metric,
                hand=hand.name,
                joints_cam=joints_cam,
                joints_px=joints_px,
                mesh=mirror_x(mesh) if crops.sides[i] == "left" else mesh,
                parameters={**_arrays(one.parameters), "root_cam": _numpy(one.root_cam[0])},
                light={
                    name: value * (axis if name == "direction" else 1) for name, value in _arrays(one.light).items()
                },
                report=_report(origins[i], full, joints_px, refined, i),
                licences=licences,
            )
        )
    return tuple(results)


def _score(detection: Detection, confidence: float) -> float:
    """Return how sure the detector is of a hand, and where it found no keypoints, the network of its joints as well."""
    return detection.score if detection.keypoints_px is not None else detection.score * confidence


def _with_photo(
    hand: HandModel,
    mesh: TexturedMesh,
    one: LitHands,
    crops: Crops,
    photo: Photo,
    refined: Refined,
    i: int,
    texture_px: int,
) -> TexturedMesh:
    """Return the mesh with the photo's pixels on its chart, taken from a crop at the photo's own resolution."""
    crop_px = crops.image.shape[-1]
    T_crop_photo = _numpy(crops.T_crop_photo[i])
    scale = np.sqrt(abs(np.linalg.det(T_crop_photo[:2, :2])))
    side = int(np.clip(round(crop_px / scale), crop_px, 2 * texture_px))
    enlarge = np.diag([side / crop_px, side / crop_px, 1.0])
    picture = warp_image(photo.image, enlarge @ T_crop_photo, width=side, height=side)
    small = refined.mask[i].cpu().numpy().astype(np.uint8) * 255
    mask = warp_image(small, enlarge, width=side, height=side) > 127
    posed = hand(one.parameters)
    assert posed.appearance is not None
    completed = complete_texture(
        picture,
        (posed.vertices + one.root_cam[:, None])[0],
        hand.faces,
        torch.from_numpy(enlarge).to(crops.K) @ crops.K[i],
        Appearance(posed.appearance.albedo, posed.appearance.uvs, posed.appearance.faces_uvs),
        one.light,
        mask=mask,
        texture_px=texture_px,
    )
    return TexturedMesh(**{**vars(mesh), "texture": _picture(completed.albedo)})


def _report(
    origin: str, detection: Detection, joints_px: np.ndarray, refined: Refined | None, i: int
) -> dict[str, object]:
    report: dict[str, object] = {"start": origin}
    if detection.keypoints_px is not None:
        error = np.linalg.norm(joints_px - detection.keypoints_px, axis=1).mean()
        report["keypoint_error_px"] = round(float(error), 3)
    if refined is not None:
        report["refined"] = {"before": _quality(refined.before, i), "after": _quality(refined.after, i)}
    return report


def _quality(quality: Quality, i: int) -> dict[str, float | None]:
    values = {name: float(value[i]) for name, value in vars(quality).items()}
    return {name: None if np.isnan(value) else round(value, 3) for name, value in values.items()}


def _project(joints_cam: np.ndarray, K: np.ndarray) -> np.ndarray:
    return project(torch.from_numpy(joints_cam), torch.from_numpy(K)).numpy()


def _arrays(record: HandParameters | Light) -> dict[str, np.ndarray]:
    return {name: _numpy(value[0]) for name, value in vars(record).items() if value is not None}


def _numpy(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().double().numpy()


def _integers(values: torch.Tensor) -> np.ndarray:
    return values.cpu().long().numpy()


def _picture(albedo: torch.Tensor) -> np.ndarray:
    return (albedo.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
