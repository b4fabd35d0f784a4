from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from hifihr_core.errors import AssetError, ConfigError, DataError
from hifihr_core.exports.textured_meshes import skinned_vertices
from hifihr_core.geometry.cameras import measure_root, project
from hifihr_core.hands import HandModel, HandParameters
from hifihr_core.lifting.lifter import Lifter
from hifihr_core.models.contract import PARTS, Estimate, ImageNetwork
from hifihr_core.models.joint_maps import KeypointEstimate
from hifihr_core.photos.detections import Detection
from hifihr_core.photos.detectors import whole_image
from hifihr_core.photos.reading import Photo, as_photo
from hifihr_core.prediction import Predictor, PredictSettings
from hifihr_core.prediction.refine import RefineSettings
from hifihr_core.records import Light

SETTINGS = PredictSettings(crop_px=64, texture_px=64)


@pytest.fixture
def predictor(hand: HandModel, lifter: Lifter) -> Predictor:
    return Predictor(hand, network=None, lifter=lifter, settings=SETTINGS)


def _project(points_cam: np.ndarray, K: np.ndarray) -> np.ndarray:
    homogeneous = points_cam @ K.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


@pytest.mark.parametrize("seed", [1, 2])
def test_keypoints_bring_the_hand_back(predictor: Predictor, shoot: Callable, seed: int) -> None:
    shot = shoot(seed)
    [hand] = predictor.predict(shot.image, K=shot.K, detections=[shot.detection]).hands
    size_px = np.ptp(shot.detection.keypoints_px, axis=0).max()
    error_px = np.linalg.norm(hand.joints_px - shot.detection.keypoints_px, axis=1).mean()
    assert error_px < 0.03 * size_px
    relative = (hand.joints_cam - hand.joints_cam[9]) - (shot.joints_cam - shot.joints_cam[9])
    assert np.linalg.norm(relative, axis=1).mean() < 0.015
    assert hand.joints_cam[9, 2] == pytest.approx(0.5, rel=0.15)
    assert hand.report["start"] == "keypoints"
    assert hand.report["keypoint_error_px"] == pytest.approx(error_px, abs=1e-3)
    assert hand.metric


@pytest.mark.parametrize("reduction", [1.0, 4.0])
@pytest.mark.parametrize("left", [False, True])
def test_results_project_onto_their_own_joints(
    predictor: Predictor, shoot: Callable, reduction: float, left: bool
) -> None:
    shot = shoot(3).mirrored() if left else shoot(3)
    detection = shot.detection.resized(reduction)
    K = np.diag([reduction, reduction, 1.0]) @ shot.K
    height, width = shot.image.shape[:2]
    photo = Photo(None, shot.image, (int(width * reduction), int(height * reduction)))
    [hand] = predictor.predict(photo, K=K, detections=[detection]).hands
    np.testing.assert_allclose(hand.K, K)
    np.testing.assert_allclose(_project(hand.joints_cam, hand.K), hand.joints_px, atol=1e-6)
    np.testing.assert_allclose(hand.box_px, detection.box_px)
    skinned_error = np.linalg.norm(skinned_vertices(hand.mesh.rig) - hand.mesh.vertices, axis=1)
    assert skinned_error.mean() < 0.7e-3  # the armature's weights are a fit
    assert np.abs(hand.mesh.vertices.mean(axis=0) - hand.joints_cam.mean(axis=0)).max() < 0.03
    error_px = np.linalg.norm(hand.joints_px - detection.keypoints_px, axis=1).mean()
    assert error_px < 0.04 * np.ptp(detection.keypoints_px, axis=0).max()


def test_the_parameters_pose_the_mesh(predictor: Predictor, shoot: Callable, hand: HandModel) -> None:
    for shot in (shoot(4), shoot(4).mirrored()):
        [result] = predictor.predict(shot.image, K=shot.K, detections=[shot.detection]).hands
        named = {name: torch.from_numpy(value).float()[None] for name, value in result.parameters.items()}
        root = named.pop("root_cam")
        vertices = (hand(HandParameters(**named)).vertices + root[:, None])[0].numpy()
        np.testing.assert_allclose(
            vertices * [-1 if result.side == "left" else 1, 1, 1], result.mesh.vertices, atol=1e-6
        )


def test_a_left_hand_is_a_mirrored_right_hand(predictor: Predictor, shoot: Callable) -> None:
    right, left = shoot(5), shoot(5).mirrored()
    predictor.settings = replace(SETTINGS, refine=True, refinement=RefineSettings(steps=3))
    [a] = predictor.predict(right.image, K=right.K, detections=[right.detection]).hands
    [b] = predictor.predict(left.image, K=left.K, detections=[left.detection]).hands
    assert (a.side, b.side) == ("right", "left")
    width = right.image.shape[1]
    np.testing.assert_allclose(b.joints_px, a.joints_px * [-1, 1] + [width, 0], atol=1e-3)
    np.testing.assert_allclose(b.joints_cam, a.joints_cam * [-1, 1, 1], atol=1e-5)
    np.testing.assert_allclose(b.mesh.vertices, a.mesh.vertices * [-1, 1, 1], atol=1e-5)
    np.testing.assert_array_equal(b.mesh.faces, a.mesh.faces[:, ::-1])
    np.testing.assert_allclose(b.light["direction"], a.light["direction"] * [-1, 1, 1], atol=1e-4)
    assert np.abs(a.mesh.texture.astype(int) - b.mesh.texture).mean() < 1


def test_a_row_of_many_equals_a_batch_of_one(predictor: Predictor, shoot: Callable) -> None:
    one, two = shoot(6), shoot(7)
    alone = predictor.predict(one.image, K=one.K, detections=[one.detection]).hands[0]
    both = predictor.predict(one.image, K=one.K, detections=[two.detection, one.detection]).hands
    # The fit takes differences over 0.01, which makes a hundred times more of the rounding that the size of a batch
    # changes.
    np.testing.assert_allclose(both[1].joints_cam, alone.joints_cam, atol=1e-4)
    np.testing.assert_array_equal(both[0].K, both[1].K)


def test_refinement_and_texture_reach_the_result(predictor: Predictor, shoot: Callable) -> None:
    shot = shoot(8)
    predictor.settings = replace(SETTINGS, refine=True, refinement=RefineSettings(steps=12))
    heard: list[int] = []
    result = predictor.predict(shot.image, K=shot.K, detections=[shot.detection], on_step=heard.append)
    assert heard == list(range(1, 13))
    assert set(result.seconds) == {"detect", "start", "refine", "assemble"}
    report = result.hands[0].report["refined"]
    assert report["after"]["psnr_db"] > report["before"]["psnr_db"]
    assert result.hands[0].mesh.texture.shape == (64, 64, 3)
    before, after = result.hands[0].before, result.hands[0].parameters
    assert before.keys() == {"global_orient", "pose", "shape", "root_cam"}
    assert 1e-4 < np.abs(before["pose"] - after["pose"]).max() < 1
    np.testing.assert_allclose(result.hands[0].keypoints_px, shot.detection.keypoints_px, atol=1e-9)


def test_without_K_a_camera_is_assumed_and_reported(predictor: Predictor, shoot: Callable) -> None:
    shot = shoot(9)
    [hand] = predictor.predict(shot.image, detections=[shot.detection]).hands
    assert not hand.metric
    known = predictor.predict(replace(as_photo(shot.image), focal_px=300.0), detections=[shot.detection]).hands[0]
    assert known.metric
    assert known.K[0, 0] == 300.0


def test_no_hands_is_an_empty_result(predictor: Predictor, shoot: Callable) -> None:
    assert predictor.predict(shoot(1).image, detections=[]).hands == ()


def test_side_of_the_settings_rules(predictor: Predictor, shoot: Callable) -> None:
    shot = shoot(2)
    predictor.detector = lambda image: [shot.detection]
    assert predictor.predict(shot.image).hands[0].side == "right"
    predictor.settings = replace(SETTINGS, mirrored=True)
    assert predictor.predict(shot.image).hands[0].side == "left"
    predictor.settings = replace(SETTINGS, side="left")
    assert predictor.predict(shot.image).hands[0].side == "left"


def test_photos_that_cannot_be_reconstructed_are_reported(
    predictor: Predictor, hand: HandModel, shoot: Callable
) -> None:
    shot = shoot(1)
    blind = replace(shot.detection, keypoints_px=None, keypoints_confidence=None)
    with pytest.raises(AssetError, match=r"detect.*--boxes.*--checkpoint"):
        predictor.predict(shot.image, detections=[blind])
    predictor.settings = replace(SETTINGS, start="keypoints")
    with pytest.raises(ConfigError, match="hands without keypoints: 1 of 2"):
        predictor.predict(shot.image, detections=[shot.detection, blind])
    predictor.settings = replace(SETTINGS, start="image")
    with pytest.raises(AssetError, match="no image network"):
        predictor.predict(shot.image, detections=[shot.detection])
    with pytest.raises(AssetError, match="no lifter"):
        Predictor(hand, network=None, lifter=None, settings=replace(SETTINGS, start="keypoints")).predict(
            shot.image, detections=[shot.detection]
        )
    predictor.settings = SETTINGS
    with pytest.raises(DataError, match="outside the photo"):
        predictor.predict(shot.image, detections=[replace(shot.detection, box_px=np.array([900.0, 900, 950, 950]))])


class _Oracle(ImageNetwork):
    """An image network that always returns the truth, whatever the crop's camera."""

    def __init__(self, shot: object, image_px: int) -> None:
        super().__init__()
        self.shot, self.image_px = shot, image_px

    def parts(self) -> dict[str, tuple[torch.nn.Module, ...]]:
        return dict.fromkeys(PARTS, ())

    def forward(self, image: torch.Tensor, K: torch.Tensor) -> Estimate:
        assert image.shape[-2:] == (self.image_px, self.image_px)
        state = self.shot.state
        root_px, scale = measure_root(state.root_cam.expand(len(K), 3), K)
        rows = [value.expand(len(K), -1) for value in vars(state.parameters).values()]
        light = Light(
            *(value.expand(len(K), -1) for value in (state.light.ambient, state.light.color, state.light.direction))
        )
        return Estimate(HandParameters(*rows), root_px, scale, light)


@pytest.mark.parametrize("network_px", [64, 48])
def test_the_image_network_sees_its_own_size(hand: HandModel, shoot: Callable, network_px: int) -> None:
    shot = shoot(3)
    predictor = Predictor(
        hand,
        network=_Oracle(shot, network_px),
        lifter=None,
        detector=whole_image,
        settings=SETTINGS,
        network_px=network_px,
    )
    [result] = predictor.predict(shot.image, K=shot.K).hands
    np.testing.assert_allclose(result.joints_cam, shot.joints_cam, atol=1e-5)
    np.testing.assert_allclose(result.joints_px, shot.detection.keypoints_px, atol=1e-3)
    assert result.report["start"] == "image"
    assert "keypoint_error_px" not in result.report
    assert result.side == "right"


def test_geometry_is_from_keypoints_where_there_are_some(hand: HandModel, lifter: Lifter, shoot: Callable) -> None:
    shot = shoot(3)
    predictor = Predictor(hand, network=_Oracle(shot, 64), lifter=lifter, settings=SETTINGS, network_px=64)
    blind = replace(shot.detection, keypoints_px=None, keypoints_confidence=None)
    lifted, seen = predictor.predict(shot.image, K=shot.K, detections=[shot.detection, blind]).hands
    assert (lifted.report["start"], seen.report["start"]) == ("keypoints", "image")
    assert np.abs(lifted.parameters["pose"] - seen.parameters["pose"]).max() > 1e-4


class _Finder(_Oracle):
    """Also finds the joints, with given confidence, and remembers their positions in every crop."""

    def __init__(self, shot: object, image_px: int, confidence: float = 1.0) -> None:
        super().__init__(shot, image_px)
        self.confidence, self.seen = confidence, []

    def forward(self, image: torch.Tensor, K: torch.Tensor) -> Estimate:
        joints = torch.from_numpy(self.shot.joints_cam).float().expand(len(K), 21, 3)
        points = project(joints, K) / self.image_px
        self.seen.append(points[0].numpy())
        found = KeypointEstimate(
            points=points,
            confidence=torch.full((len(K), 21), self.confidence),
            logits=torch.zeros(len(K), 21, 4, 4),
            features=torch.zeros(len(K), 21, 2),
        )
        return replace(super().forward(image, K), keypoints=found)


def test_a_network_that_finds_joints_looks_again_from_nearer(hand: HandModel, shoot: Callable) -> None:
    shot = shoot(3)
    network = _Finder(shot, 64)
    predictor = Predictor(hand, network=network, lifter=None, settings=SETTINGS, network_px=64)
    [result] = predictor.predict(shot.image, K=shot.K).hands
    first, second = network.seen
    assert np.ptp(second, axis=0).max() == pytest.approx(1 / 1.5, abs=0.02)
    assert np.ptp(first, axis=0).max() < 0.6
    np.testing.assert_allclose((second.min(axis=0) + second.max(axis=0)) / 2, 0.5, atol=0.02)
    np.testing.assert_allclose(result.joints_px, shot.detection.keypoints_px, atol=1e-3)
    np.testing.assert_allclose(result.box_px, [0, 0, *shot.image.shape[1::-1]])


def test_a_second_look_far_smaller_than_a_given_box_is_ignored(hand: HandModel, shoot: Callable) -> None:
    shot = shoot(3)
    network = _Finder(shot, 64)
    predictor = Predictor(hand, network=network, lifter=None, settings=SETTINGS, network_px=64)
    x0, y0, x1, y1 = shot.detection.box_px
    side = max(x1 - x0, y1 - y0)
    around = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    for factor, believed in ((3.0, False), (1.5, True)):
        network.seen.clear()
        box = np.concatenate((around - factor * side / 2, around + factor * side / 2))
        predictor.predict(shot.image, K=shot.K, detections=[Detection(box)])
        first, second = (np.ptp(points, axis=0).max() for points in network.seen)
        assert (second > first * 1.02) == believed


def test_with_too_few_keypoints_the_hand_starts_from_the_image(
    hand: HandModel, lifter: Lifter, shoot: Callable
) -> None:
    shot = shoot(3)
    predictor = Predictor(hand, network=_Oracle(shot, 64), lifter=lifter, settings=SETTINGS, network_px=64)
    three = Detection(shot.detection.box_px, 1.0, "right", shot.detection.keypoints_px, np.arange(21) < 3)
    [result] = predictor.predict(shot.image, K=shot.K, detections=[three]).hands
    assert result.report["start"] == "image"
    assert "too few keypoints were found (3 of 21)" in result.report["notes"][0]
    assert "keypoint_error_px" not in result.report


def test_the_keypoint_error_counts_what_was_found(predictor: Predictor, shoot: Callable) -> None:
    shot = shoot(1)
    found = np.arange(21) >= 4
    points = np.where(found[:, None], shot.detection.keypoints_px, 0.0)
    hand = Detection(shot.detection.box_px, 1.0, "right", points, found)
    [result] = predictor.predict(shot.image, K=shot.K, detections=[hand]).hands
    expected = np.linalg.norm(result.joints_px - points, axis=1)[found].mean()
    assert result.report["keypoint_error_px"] == pytest.approx(expected, abs=1e-3)
    assert expected < 10


def test_an_uncertain_network_keeps_the_box(hand: HandModel, shoot: Callable) -> None:
    shot = shoot(3)
    network = _Finder(shot, 64, confidence=0.3)
    predictor = Predictor(hand, network=network, lifter=None, settings=SETTINGS, network_px=64)
    predictor.predict(shot.image, K=shot.K, detections=whole_image(shot.image))
    np.testing.assert_allclose(network.seen[0], network.seen[-1])


def test_a_hand_without_detection_is_as_certain_as_its_joints_which_do_not_constrain_refinement(
    hand: HandModel, shoot: Callable
) -> None:
    shot = shoot(3)
    settings = replace(SETTINGS, refine=True, refinement=RefineSettings(steps=2))
    network = _Finder(shot, 64, confidence=0.9)
    predictor = Predictor(hand, network=network, lifter=None, settings=settings, network_px=64)
    [result] = predictor.predict(shot.image, K=shot.K, detections=whole_image(shot.image)).hands
    assert result.score == pytest.approx(0.9)
    assert result.report["refined"]["before"]["keypoint_px"] is None
    [found] = predictor.predict(shot.image, K=shot.K, detections=[replace(shot.detection, score=0.7)]).hands
    assert found.score == 0.7
    assert found.report["refined"]["before"]["keypoint_px"] is not None
