"""The examples at the end of each command's `--help`; tests/test_docs.py checks that they parse."""

from collections.abc import Mapping, Sequence

#: Command -> (arguments after `hifihr`, what they do) pairs.
EXAMPLES: Mapping[str, Sequence[tuple[str, str]]] = {
    "prepare": (
        ("prepare freihand --check", "see what is present, missing or broken"),
        ("prepare freihand", "pack the download in $HIFIHR_DATA/raw/freihand"),
        ("prepare images --root my_photos", "your own photos, labelled by the detector"),
        ("prepare synth --as freihand --count 64", "synthetic hands in FreiHAND's file layout"),
    ),
    "pretrain": (
        ("pretrain --data synth", "synthetic hands, rendered on the fly"),
        ("pretrain --config pretrain_rhd", "a preset, by name"),
        ("pretrain --data synth --set train.max_minutes=30", "stop after half an hour"),
    ),
    "train": (
        ("train --supervision self", "learn from detected joints and the pixels alone"),
        ("train --config freihand_weak --out runs/weak", "an experiment from the paper, by the name of its preset"),
        ("train --resume --out runs/weak", "continue an interrupted run"),
    ),
    "eval": (
        ("eval --dataset ho3d", "official scores for the shipped network"),
        ("eval --dataset freihand --checkpoint runs/weak", "the best checkpoint of a run"),
        ("eval --dataset freihand --predictions pred.zip --gt FreiHAND", "predictions from any program"),
    ),
    "predict": (
        ("predict photo.jpg", "every hand in a photo: mesh, rig, texture, joints"),
        ("predict photo.jpg --refine", "fit each hand to its photo and take its texture from it"),
        ("predict holiday/ --json", "a whole folder; one JSON document on stdout"),
        ("predict photo.jpg --page", "also write a single index.html to look at or share"),
        ("predict photo.jpg --box 120,80,240,260", "a single hand, in the box you give"),
        ("predict clip.mp4 --from 2 --to 8", "track and smooth the hands in part of a clip"),
    ),
    "live": (
        ("live", "the first camera: one JSON line per frame"),
        ("live --osc 9000", "also send Open Sound Control to a local program"),
        ("live clip.mp4", "a clip, processed in real time"),
    ),
    "convert": (
        ("convert predictions", "MANO parameters for every hand in a folder"),
        ("convert predictions/img_0.json --format json,obj,npz", "one hand, also as .npz"),
    ),
    "view": (
        ("view predictions", "open http://127.0.0.1:8080 in a browser"),
        ("view predictions --port 9000", "use another port"),
    ),
    "export": (
        ("export landmarks --to onnx", "a shipped network"),
        ("export runs/weak --to onnx --out mine.onnx", "the best checkpoint of a run"),
    ),
    "doctor": (
        ("doctor", "what works on this machine, and how to fix what does not"),
        ("doctor --json", "the same report for a program"),
    ),
}


def epilog_of(command: str) -> str | None:
    """Return a command's examples as the last paragraph of its help; None if it has none."""
    lines = EXAMPLES.get(command)
    if not lines:
        return None
    width = max(len(words) for words, _ in lines)
    return "\n".join(("\b", "Examples:", *(f"  hifihr {words:{width}}  # {meaning}" for words, meaning in lines)))
