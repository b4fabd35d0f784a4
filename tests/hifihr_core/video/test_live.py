import json
import socket
import struct

import numpy as np
import pytest

from hifihr_core.errors import ConfigError
from hifihr_core.video.live.live_hands import LiveHands
from hifihr_core.video.live.live_lines import live_lines
from hifihr_core.video.live.newest_frame import NewestFrame, at_own_speed, newest_frames
from hifihr_core.video.live.one_euro import EuroSettings, OneEuro, OneEuroTurn
from hifihr_core.video.live.open_sound_control import OscSender, osc_message, parse_target
from hifihr_core.video.reading.containers import VideoFile
from hifihr_core.video.reading.frames import Frame
from hifihr_core.video.tracking.tracker import Tracker


def _frame(number: int) -> Frame:
    return Frame(number, number / 30, np.zeros((2, 2, 3), dtype=np.uint8))


def test_the_newest_frame_replaces_the_one_that_waits() -> None:
    place = NewestFrame()
    for number in range(3):
        place.put(_frame(number), float(number))
    taken = place.take()
    assert (taken.frame.number, taken.arrived_s, taken.dropped) == (2, 2.0, 2)
    place.put(_frame(3), 3.0)
    place.end()
    assert place.take().frame.number == 3
    assert place.take() is None


def test_every_frame_is_given_or_dropped() -> None:
    given = list(newest_frames(map(_frame, range(200))))
    numbers = [one.frame.number for one in given]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 199
    assert len(given) + given[-1].dropped == 200


def test_an_error_of_the_reader_is_not_lost() -> None:
    def broken():
        yield _frame(0)
        raise OSError("the camera was unplugged")

    with pytest.raises(OSError, match="unplugged"):
        list(newest_frames(broken()))


def test_a_file_is_played_at_its_own_speed() -> None:
    waits: list[float] = []
    frames = list(at_own_speed(map(_frame, range(4)), sleep=waits.append))
    assert [frame.number for frame in frames] == [0, 1, 2, 3]
    assert len(waits) == 3
    assert all(0 < wait <= (n + 1) / 30 for n, wait in enumerate(waits))


def test_filter_worked_by_hand() -> None:
    smooth = OneEuro(EuroSettings(rest_hz=1.0, rise=0.0))
    assert smooth(np.array([2.0]), 0.0)[0] == 2.0
    share = 1 / (1 + 1 / (2 * np.pi * 0.1))
    assert smooth(np.array([3.0]), 0.1)[0] == pytest.approx(2 + share)


def test_filter_is_smooth_at_rest_and_quick_in_motion() -> None:
    dice, times = np.random.default_rng(0), np.arange(120) / 30
    noise = dice.normal(scale=0.02, size=120)
    settings = EuroSettings(1.5, 2.0)
    rest, motion, slow = OneEuro(settings), OneEuro(settings), OneEuro(EuroSettings(1.5, 0.0))
    still = np.array([rest(np.array([n]), t)[0] for n, t in zip(noise, times, strict=True)])
    assert np.diff(still).std() < 0.5 * np.diff(noise).std()
    ramp = times * 2.0
    lags = [
        np.mean(ramp[30:] - [f(np.array([r]), t)[0] for r, t in zip(ramp, times, strict=True)][30:])
        for f in (motion, slow)
    ]
    assert lags[0] < 0.5 * lags[1]


def test_turns_are_filtered_on_the_shortest_way() -> None:
    smooth = OneEuroTurn(EuroSettings(2.0, 0.0))
    smooth(np.array([0.0, 0.0, 3.1]), 0.0)
    found = smooth(np.array([0.0, 0.0, -3.1]), 1 / 30)  # 0.083 rad away, through pi
    angle = np.linalg.norm(found)
    assert angle > 3.09


def test_a_message_as_the_standard_writes_it() -> None:
    message = osc_message("/a", [7, "left", 0.5])
    assert message == b"/a\0\0,isf\0\0\0\0" + struct.pack(">i", 7) + b"left\0\0\0\0" + struct.pack(">f", 0.5)
    assert parse_target("9000") == ("127.0.0.1", 9000)
    assert parse_target("localhost:80") == ("localhost", 80)
    for wrong in ("", "host:", "host:port", "1:70000"):
        with pytest.raises(ConfigError):
            parse_target(wrong)


@pytest.mark.parametrize("side", ["right", "left"])
def test_live_hands_are_where_they_are_seen(
    anny, lifter, true_hand, scripted_eyes, numbered, clip_K, side: str
) -> None:
    truth = true_hand(side, 30)
    live = LiveHands(anny, lifter, Tracker(scripted_eyes([[one] for one in truth.seen])), clip_K, 640)
    found = [live.step(numbered(n), n / 30) for n in range(30)]
    assert [hand.side for hands in found for hand in hands] == [side] * 30
    assert {hand.id for hands in found for hand in hands} == {0}
    error = [
        np.linalg.norm(hands[0].joints_px - seen.joints_px, axis=1).mean()
        for hands, seen in zip(found, truth.seen, strict=True)
    ]
    assert np.mean(error[5:]) < 8  # of a hand some 200 pixels high; a filter lags
    assert found[-1][0].vertices_cam.shape == (anny.num_vertices, 3)
    shapes = {tuple(hands[0].parameters["shape"]) for hands in found[21:]}
    assert len(shapes) == 1


def test_a_clip_played_to_lines_and_to_a_listener(
    tmp_path, anny, lifter, true_hand, scripted_eyes, numbered, clip_K, write_clip
) -> None:
    truth = true_hand("left", 8)
    clip = VideoFile(write_clip(tmp_path / "a.mp4", [numbered(n) for n in range(8)]))
    live = LiveHands(anny, lifter, Tracker(scripted_eyes([[one] for one in truth.seen])), clip_K, 640)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(20)
        sender = OscSender(*parse_target(str(listener.getsockname()[1])))
        lines = [json.loads(line) for line in live_lines(at_own_speed(clip.frames()), live, on_hands=sender.send)]
        heard = listener.recv(4096)
        sender.close()
    assert len(lines) + lines[-1]["dropped"] == 8
    assert all(line["latency_ms"] >= 0 for line in lines)
    assert lines[0]["hands"][0]["side"] == "left"
    assert np.array(lines[0]["hands"][0]["joints_cam"]).shape == (21, 3)
    assert heard.startswith(b"/hifihr/hand\0")
    assert b"left" in heard
