"""`hifihr live`: track hands in front of a camera in real time."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from hifihr_cli.console import emit, say
from hifihr_cli.imports import quick_imports

Clip = Annotated[
    Path | None,
    typer.Argument(help="Clip to play in real time instead of a camera.", metavar="CLIP", show_default=False),
]
Camera = Annotated[int, typer.Option("--webcam", min=0, max=999, help="Index of the camera.", metavar="N")]
Osc = Annotated[
    str | None,
    typer.Option(
        "--osc",
        help="Also send the hands to HOST:PORT as Open Sound Control; PORT alone means this machine.",
        metavar="HOST:PORT",
    ),
]
Frames = Annotated[int | None, typer.Option("--frames", min=1, help="Stop after N frames.", metavar="N")]
MaxHands = Annotated[int, typer.Option("--max-hands", min=1, help="Maximum number of hands to track.", metavar="N")]
Focal = Annotated[
    float | None, typer.Option("--focal", min=1e-3, help="Focal length, pixels; default: from --fov.", metavar="PX")
]
Page = Annotated[
    bool, typer.Option("--page", help="Show the picture and the hands in a browser (extra `view`).", show_default=False)
]
Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the page.", metavar="N")]
Fov = Annotated[
    float | None,
    typer.Option(
        "--fov", min=6, max=140, help="Field of view across the diagonal, degrees; default: 60.", metavar="DEG"
    ),
]


def live(
    clip: Clip = None,
    webcam: Camera = 0,
    osc: Osc = None,
    frames: Frames = None,
    max_hands: MaxHands = 2,
    focal: Focal = None,
    fov: Fov = None,
    page: Page = False,
    port: Port = 8080,
) -> None:
    """Track the hands in front of a camera and print one JSON line per frame.

    Always processes the newest frame; frames that arrive while another is processed are dropped and counted. Stop with
    Ctrl-C. Exits with code 5 if there is no such camera.
    """
    if focal is not None and fov is not None:
        raise typer.BadParameter("--focal and --fov cannot be combined; give one")
    with quick_imports():
        from hifihr_core.machine.device import choose_device
        from hifihr_core.photos.camera_choice import CameraChoice
        from hifihr_core.prediction.load_models import load_models
        from hifihr_core.video.clip_job import clip_camera
        from hifihr_core.video.live.live_hands import LiveHands
        from hifihr_core.video.live.live_lines import live_lines
        from hifihr_core.video.live.live_page import LivePage
        from hifihr_core.video.live.newest_frame import at_own_speed
        from hifihr_core.video.live.open_sound_control import OscSender, parse_target
        from hifihr_core.video.reading.containers import VideoFile
        from hifihr_core.video.reading.webcam import Webcam
        from hifihr_core.video.tracking.tracker import LIVE_TRACKING, Tracker
        from hifihr_core.video.tracking.watching import QuickEyes

    sender = OscSender(*parse_target(osc)) if osc is not None else None
    source = Webcam(webcam) if clip is None else VideoFile(clip)
    models = load_models(None, device=choose_device("cpu"))
    assert models.lifter is not None  # it ships with the package
    tracker = Tracker(QuickEyes.load(), replace(LIVE_TRACKING, max_hands=max_hands))
    K = clip_camera(source, CameraChoice(focal, fov))
    hands = LiveHands(models.hand, models.lifter, tracker, K, source.facts.width)
    pictures = source.frames() if clip is None else at_own_speed(source.frames())
    say(f"tracking hands in {source.facts.name}; stop with Ctrl-C", kind="note")
    send = (lambda found: None) if sender is None else sender.send
    shown = LivePage(models.hand.faces.numpy(), K, source.facts.height, port=port) if page else None
    if shown is not None:
        say(f"open http://localhost:{shown.port} in a browser", kind="note")
    on_picture = (lambda frame, found: None) if shown is None else shown.show
    try:
        for line in live_lines(pictures, hands, most=frames, on_hands=send, on_picture=on_picture):
            emit(line)
            sys.stdout.flush()  # readers need each line immediately
    except KeyboardInterrupt:
        say("stopped", kind="note")
    finally:
        if shown is not None:
            shown.stop()
