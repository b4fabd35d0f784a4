"""Build the results of a photo from the hands in its crops: un-mirrored, in the camera of the full-size photo, with
mesh, texture and report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hifihr_core.drawing import to_bytes
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.textured_meshes import TexturedMesh, hand_mesh, mirror_x
from hifihr_core.geometry.crops import image_scale, warp_image
from hifihr_core.geometry.projection import project_points
from hifihr_core.geometry.sides import mirror_axis
from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.lifting.hand_crops import Crops
from hifihr_core.lifting.seen_definition import as_seen
from hifihr_core.machine.device import side_by_side
from hifihr_core.photos.camera_choice import PhotoCamera
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.reading import Photo
from hifihr_core.placed_hands import LitHands, PosedHands, appearance_of, map_tensors, pose_hands
from hifihr_core.prediction.hand_length import relative_spread
from hifihr_core.prediction.look.texture import View, complete_texture
from hifihr_core.prediction.refine import Quality, Refined
from hifihr_core.records import Appearance, Light, Side
from hifihr_core.rendering.skylight import turn_light

#: A detection with a lower score is marked as doubtful: it may not be a hand. So is one whose joints the eyes are less
#: sure of on average: it may be misread, for example if part of a hand was taken for a whole one.
DOUBTFUL_SCORE, DOUBTFUL_CONFIDENCE = 0.85, 0.3
#: Relative standard deviations of a measured length, of an assumed focal length, and of the apparent size
#: of a hand whose keypoints do not come from the eyes.
SAID_LENGTH_SPREAD, ASSUMED_FOCAL_SPREAD, UNSEEN_SIZE_SPREAD = 0.02, 0.3, 0.1


@dataclass(frozen=True)
class Reconstruction:
    """Everything known about the hands of one photo once they are reconstructed, in the order of `detections`.

    `hands` are right hands (left ones mirrored), in the cameras of `crops`; `origins` and `confidence` are those of
    `Started`. `sized` is True if the user gave the length of the hands. `start` contains the hands before refinement,
    None if they were not refined.
    """

    photo: Photo
    camera: PhotoCamera
    detections: Sequence[Detection]
    crops: Crops
    hands: LitHands
    origins: Sequence[str]
    confidence: Sequence[float]
    refined: Refined | None = None
    start: LitHands | None = None
    sized: bool = False


def assemble(
    model: HandModel,
    done: Reconstruction,
    *,
    texture_px: int,
    licences: Mapping[str, str],
    views: Sequence[Sequence[View]] | None = None,
) -> tuple[HandResult, ...]:
    """Return one result per hand; the textures of refined hands are completed from photos, `texture_px` wide and high.

    `views` contains, for each hand, the crops that show its skin; by default only its own crop.
    """
    posed = pose_hands(model, done.hands, done.crops.K)
    if views is None:
        views = [[view] for view in views_of(model, done, texture_px=texture_px)]
    spread = relative_spread(model, done.hands.parameters)
    hands = [map_tensors(lambda values, row=i: values[row : row + 1], done.hands) for i in range(len(done.detections))]
    meshes = side_by_side(
        lambda i: _mesh(model, posed, hands[i], i, views[i] if views else (), texture_px), range(len(hands))
    )
    results = []
    for i, detection in enumerate(done.detections):
        side = done.crops.sides[i]
        axis = mirror_axis(side)
        joints_cam = _numpy(posed.joints_cam[i]) * axis
        joints_px = project_points(joints_cam, done.camera.K)
        hand, (mesh, seen) = hands[i], meshes[i]
        results.append(
            HandResult(
                side=side,
                score=_score(detection, done.confidence[i]),
                box_px=detection.box_px,
                K=done.camera.K,
                metric=done.camera.metric,
                hand=model.name,
                joints_cam=joints_cam,
                joints_px=joints_px,
                mesh=mirror_x(mesh) if side == "left" else mesh,
                parameters={**_arrays(hand.parameters), "root_cam": _numpy(hand.root_cam[0])},
                light=_arrays(_unmirrored(hand.light) if side == "left" else hand.light),
                report=_report(done, joints_px, model.joint_definition, i)
                | {"depth_sigma_m": round(_depth_sigma_m(done, i, float(spread[i])), 4)}
                | ({} if seen is None else {"texture_seen": round(seen, 3)}),
                licences=licences,
                doubtful=is_doubtful(detection),
                joint_confidence=detection.keypoints_confidence,
                side_confidence=_side_confidence(detection, side),
                keypoints_px=_found_keypoints(detection),
                before=_before(done.start, i),
            )
        )
    return tuple(results)


def _found_keypoints(detection: Detection) -> Float[np.ndarray, "21 2"] | None:
    if detection.keypoints_px is None:
        return None
    return np.where(detection.found[:, None], detection.keypoints_px, np.nan)


def _before(start: LitHands | None, i: int) -> dict[str, np.ndarray] | None:
    """Return the parameters of hand i before its refinement, without skin and light, which were only rough guesses."""
    if start is None:
        return None
    hand = start.parameters
    named = {"global_orient": hand.global_orient, "pose": hand.pose, "shape": hand.shape, "root_cam": start.root_cam}
    return {name: _numpy(values[i]) for name, values in named.items()}


def _score(detection: Detection, confidence: float) -> float:
    """Return the score of the detection, times the network's confidence if the detector gave no keypoints."""
    return detection.score if detection.keypoints_px is not None else detection.score * confidence


def is_doubtful(detection: Detection) -> bool:
    """Return whether a detection may be a false positive or have misread joints."""
    misread = detection.seen is not None and float(detection.seen.confidence.mean()) < DOUBTFUL_CONFIDENCE
    return detection.score < DOUBTFUL_SCORE or misread


def _side_confidence(detection: Detection, side: Side) -> float | None:
    """Return the eyes' confidence in the side they chose; None if another side was given or the eyes were not used."""
    seen = detection.seen
    return None if seen is None or side != seen.side else seen.side_confidence


def _mesh(
    model: HandModel, posed: PosedHands, hand: LitHands, i: int, views: Sequence[View], texture_px: int
) -> tuple[TexturedMesh, float | None]:
    """Return the mesh of hand i as a right hand in the camera frame, and the fraction of its texture from photos.

    The fraction is None without `views`; then the texture is only the inferred skin.
    """
    mesh = hand_mesh(model, hand, posed.hand, i)
    if not views or mesh.texture is None:
        return mesh, None
    whole = appearance_of(posed)
    own = Appearance(whole.albedo[i : i + 1], whole.uvs, whole.faces_uvs)
    completed = complete_texture(views, model.faces, own, texture_px=texture_px)
    return replace(mesh, texture=to_bytes(completed.albedo)), completed.seen_share


def views_of(model: HandModel, done: Reconstruction, *, texture_px: int) -> list[View]:
    """Return one view per hand for texture completion; empty without refinement or without a UV chart."""
    if done.refined is None or model.uvs is None:
        return []
    verts_cam = pose_hands(model, done.hands, done.crops.K).verts_cam
    lights = [map_tensors(lambda values, row=i: values[row : row + 1], done.hands.light) for i in range(len(verts_cam))]
    return [_view(done, done.refined, verts_cam[i], light, i, texture_px) for i, light in enumerate(lights)]


def _view(
    done: Reconstruction, refined: Refined, verts_cam: Float[Tensor, "V 3"], light: Light, i: int, texture_px: int
) -> View:
    """Return the view of hand i: its crop at about the resolution of the photo, with mask, surface and light."""
    crops = done.crops
    crop_px = crops.image.shape[-1]
    T_crop_photo = _numpy(crops.T_crop_photo[i])
    side = int(np.clip(round(crop_px / image_scale(T_crop_photo)), crop_px, 2 * texture_px))
    enlarge = np.diag([side / crop_px, side / crop_px, 1.0])
    picture = done.photo.warp(enlarge @ T_crop_photo, width=side, height=side)
    mask = refined.mask[i].cpu().numpy().astype(np.uint8) * 255
    return View(
        image=picture,
        vertices_cam=verts_cam,
        K=torch.from_numpy(enlarge).to(crops.K) @ crops.K[i],
        light=light,
        mask=warp_image(mask, enlarge, width=side, height=side) > 127,
    )


def _unmirrored(light: Light) -> Light:
    """Return the light of a mirrored crop in the frame of the photo."""
    mirror = torch.diag(light.direction.new_tensor([-1.0, 1.0, 1.0]))
    return turn_light(light, mirror.expand(len(light.direction), 3, 3))


def _depth_sigma_m(done: Reconstruction, i: int, size_spread: float) -> float:
    """Return the standard deviation of hand i's distance, metres, from those of its size, focal length and joints."""
    seen, distance = done.detections[i].seen, float(done.hands.root_cam[i].norm())
    size = SAID_LENGTH_SPREAD if done.sized else size_spread
    focal = 0.0 if done.camera.metric else ASSUMED_FOCAL_SPREAD
    joints = UNSEEN_SIZE_SPREAD if seen is None else float(seen.sigma_px.mean()) / seen.size_px
    return distance * (size**2 + focal**2 + joints**2) ** 0.5


def _report(done: Reconstruction, joints_px: Float[np.ndarray, "21 2"], definition: str, i: int) -> dict[str, object]:
    """Return the report on hand i: where its start and keypoints come from, how well it fits, and remarks.

    The keypoint error compares the hand with the detected joints, in the detector's definition of joints.
    """
    detection = done.detections[i]
    report: dict[str, object] = {"start": done.origins[i]}
    if detection.keypoints_px is not None:
        report["keypoints_from"] = "given" if detection.seen is None else "eyes"
    if detection.keypoints_px is not None and detection.found.any():
        own = torch.from_numpy(joints_px)[None]
        compared = joints_px if detection.seen is None else as_seen(own, definition)[0].numpy()
        distance = np.linalg.norm(compared - detection.keypoints_px, axis=1)
        report["keypoint_error_px"] = round(float(distance[detection.found].mean()), 3)
    if detection.notes:
        report["notes"] = list(detection.notes)
    if done.refined is not None:
        report["refined"] = {"before": _quality(done.refined.before, i), "after": _quality(done.refined.after, i)}
    return report


def _quality(quality: Quality, i: int) -> dict[str, float | None]:
    values = {name: float(value[i]) for name, value in vars(quality).items()}
    return {name: None if np.isnan(value) else round(value, 3) for name, value in values.items()}


def _arrays(record: HandParameters | Light) -> dict[str, np.ndarray]:
    return {name: _numpy(value[0]) for name, value in vars(record).items() if value is not None}


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().cpu().double().numpy()
