"""Write the hands that MediaPipe's own pipeline finds, for comparison with the eyes.

Runs in a separate environment with `pip install mediapipe==0.10.21` and without hifihr.

Usage: python benchmarks/official_hands.py FOLDER OUT.json [--step 6]
"""

import argparse
import json
from pathlib import Path

import cv2
import mediapipe

#: MediaPipe names sides as if the picture were mirrored.
SIDES = {"Left": "right", "Right": "left"}


def main() -> None:
    """Process every photo of a folder as a static picture with up to 20 hands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--step", type=int, default=1, help="use every N-th photo")
    options = parser.parse_args()
    hands = mediapipe.solutions.hands.Hands(
        static_image_mode=True, max_num_hands=20, min_detection_confidence=0.5, model_complexity=1
    )
    suffixes = (".jpg", ".jpeg", ".png")
    photos = sorted(path for path in options.folder.iterdir() if path.suffix.lower() in suffixes)[:: options.step]
    options.out.write_text(json.dumps({photo.name: found_in(photo, hands) for photo in photos}))


def found_in(photo: Path, hands) -> list[dict]:
    """Return joints in pixels and sides of the hands in a photo."""
    image = cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)
    height, width = image.shape[:2]
    result = hands.process(image)
    return [
        {
            "joints": [[mark.x * width, mark.y * height] for mark in marks.landmark],
            "side": SIDES[side.classification[0].label],
        }
        for marks, side in zip(result.multi_hand_landmarks or (), result.multi_handedness or (), strict=True)
    ]


if __name__ == "__main__":
    main()
