import numpy as np

from hifihr_core.video.fitting.sighted_tracks import mirrored_K, sighted_tracks
from hifihr_core.video.tracking.journal import SeenFrame


def test_tracks_have_a_side_and_gaps(seen_hand, clip_K) -> None:
    frames = []
    for n in range(10):
        hands = {0: seen_hand(200.0 + n, side="left" if n != 4 else "right")} if n not in (5, 6) else {}
        if n == 3:
            hands[1] = seen_hand(500.0)  # seen once: a mistake
        frames.append(SeenFrame(n * 2, n / 15, False, hands))
    [track] = sighted_tracks(frames, clip_K, 640)
    assert (track.id, track.side) == (0, "left")
    np.testing.assert_array_equal(track.frames, np.arange(0, 20, 2))
    np.testing.assert_array_equal(track.score == 0, [n in (5, 6) for n in range(10)])
    np.testing.assert_array_equal(track.seen.seen(), track.score > 0)
    np.testing.assert_allclose(track.seen.joints_px[0, :, 0], 640 - seen_hand(200.0, side="left").joints_px[:, 0])
    [right] = sighted_tracks(frames, clip_K, 640, side="right")
    np.testing.assert_array_equal(right.seen.K, clip_K)


def test_one_picture_is_enough_for_a_track(seen_hand, clip_K) -> None:
    assert len(sighted_tracks([SeenFrame(0, 0.0, True, {7: seen_hand(300.0)})], clip_K, 640)) == 1
    assert sighted_tracks([SeenFrame(0, 0.0, True, {})], clip_K, 640) == []
    assert sighted_tracks([], clip_K, 640) == []


def test_mirrored_camera_sees_the_mirrored_point(clip_K) -> None:
    point = np.array([0.1, -0.05, 0.7])
    K = clip_K + np.array([[0, 3.0, 17.0], [0, 0, 0], [0, 0, 0]])
    pixel, mirrored = (camera @ (point * axis) for camera, axis in ((K, 1), (mirrored_K(K, 640), [-1, 1, 1])))
    assert np.isclose(640 - pixel[0] / pixel[2], mirrored[0] / mirrored[2])
    np.testing.assert_allclose(mirrored_K(mirrored_K(K, 640), 640), K)


def test_a_doubtful_hand_beside_a_certain_one_is_the_other(seen_hand, clip_K) -> None:
    """Its sightings suggest right slightly more often; the other hand is clearly a right one."""
    doubtful = ["right", "left", "right", "left", "right"] * 4
    frames = [
        SeenFrame(n, n / 30, False, {0: seen_hand(200.0, side=side), 1: seen_hand(500.0)})
        for n, side in enumerate(doubtful)
    ]
    assert [track.side for track in sighted_tracks(frames, clip_K, 640)] == ["left", "right"]
    alone = [SeenFrame(n, n / 30, False, {0: frame.hands[0]}) for n, frame in enumerate(frames)]
    assert [track.side for track in sighted_tracks(alone, clip_K, 640)] == ["right"]
    two_people = [SeenFrame(n, n / 30, False, {0: seen_hand(200.0), 1: seen_hand(500.0)}) for n in range(20)]
    assert [track.side for track in sighted_tracks(two_people, clip_K, 640)] == ["right", "right"]
