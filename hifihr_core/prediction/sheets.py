"""Pictures of a prediction: an overlay of the hands on the photo, and a sheet with several views of each hand."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from hifihr_core.drawing import blend, draw_skeleton
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.textured_meshes import TexturedMesh, appearance_of
from hifihr_core.geometry.crops import square_around, square_crop, transform_points
from hifihr_core.photos.reading import Photo
from hifihr_core.records import Light
from hifihr_core.rendering import Renderer

_OVERLAY_PX = 1600
_TILE_PX = 320
_BACKGROUND = 0.93


def overlay(photo: Photo, hands: Sequence[HandResult]) -> UInt8[np.ndarray, "H W 3"]:
    """Return the photo with every hand rendered in place, far ones first, at most 1,600 pixels wide or high."""
    image = photo.image
    scale = min(1.0, _OVERLAY_PX / max(image.shape[:2]))
    canvas = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image.copy()
    to_canvas = np.diag([scale, scale, 1.0]) @ photo.T_image_photo
    for hand in sorted(hands, key=lambda one: -one.joints_cam[:, 2].mean()):
        color, coverage = render_mesh(hand.mesh, to_canvas @ hand.K, canvas.shape[:2], _light(hand))
        canvas = blend(canvas, color, coverage)
    return canvas


def skeleton(image: UInt8[np.ndarray, "H W 3"], joints_px: Float[np.ndarray, "21 2"]) -> np.ndarray:
    """Return the picture with the 20 bones of a hand drawn on it, one colour per finger."""
    canvas = image.copy()
    draw_skeleton(canvas, joints_px, width=max(1, round(max(image.shape[:2]) / 250)))
    return canvas


def sheet(photo: Photo, hand: HandResult) -> UInt8[np.ndarray, "H W 3"]:
    """Return a row of pictures of one hand: photo, overlay, skeleton, mesh from both sides and behind, and texture."""
    center_px, side_px = square_around(hand.box_px, scale=1.6)
    to_tile = square_crop(center_px, side_px, image_px=_TILE_PX)
    tile = photo.warp(to_tile, width=_TILE_PX, height=_TILE_PX)
    K_tile = to_tile @ hand.K
    color, coverage = render_mesh(hand.mesh, K_tile, tile.shape[:2], _light(hand))
    over = blend(tile, color, coverage)
    bones = skeleton(tile, transform_points(hand.joints_px, to_tile))
    tiles = [tile, over, bones, *(_turned(hand, K_tile, angle) for angle in (-60.0, 60.0, 180.0))]
    if hand.mesh.texture is not None:
        tiles.append(cv2.resize(hand.mesh.texture, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_AREA))
    return np.concatenate(tiles, axis=1)


def render_mesh(
    mesh: TexturedMesh, K: Float[np.ndarray, "3 3"], size: tuple[int, int], light: Light
) -> tuple[Float[np.ndarray, "H W 3"], Float[np.ndarray, "H W"]]:
    """Return colour and coverage of a mesh rendered with camera K, both in [0, 1]; `size` is (height, width)."""
    renderer = Renderer(torch.from_numpy(mesh.faces), height=size[0], width=size[1])
    vertices = torch.from_numpy(mesh.vertices).float()[None]
    rendered = renderer(vertices, torch.from_numpy(K).float()[None], appearance_of(mesh), light)
    coverage = rendered.silhouette[0].numpy()
    color = rendered.image[0].permute(1, 2, 0).numpy() / np.maximum(coverage, 1e-3)[..., None]
    return color.clip(0, 1), coverage


def _turned(hand: HandResult, K: np.ndarray, angle_deg: float) -> np.ndarray:
    """Render the hand rotated about the vertical axis through its centre, in soft light on grey."""
    mesh = hand.mesh
    middle = mesh.vertices.mean(axis=0)
    turn = Rotation.from_euler("y", angle_deg, degrees=True).as_matrix()
    turned = TexturedMesh(**{**vars(mesh), "vertices": (mesh.vertices - middle) @ turn.T + middle})
    K = K.copy()
    K[:2, 2] += _TILE_PX / 2 - (K @ (middle / middle[2]))[:2]
    direction = torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, -1.0]]), dim=1)
    soft = Light(torch.full((1, 3), 0.6), torch.full((1, 3), 0.45), direction)
    color, coverage = render_mesh(turned, K, (_TILE_PX, _TILE_PX), soft)
    mixed = color * coverage[..., None] + _BACKGROUND * (1 - coverage[..., None])
    return (mixed * 255).round().astype(np.uint8)


def _light(hand: HandResult) -> Light:
    return Light(**{name: torch.from_numpy(np.array(value)).float()[None] for name, value in hand.light.items()})
