"""Examples at the end of every command's `--help`; tests/test_docs.py checks that each line parses."""

from collections.abc import Mapping, Sequence

#: Command -> lines of (what to type after `hifihr`, what it does).
EXAMPLES: Mapping[str, Sequence[tuple[str, str]]] = {
    "prepare": (
        ("prepare freihand --check", "what is present, missing or broken"),
        ("prepare freihand", "pack $HIFIHR_DATA/raw/freihand into shards"),
        ("prepare images --root my_photos", "your photos, with the joints that the eyes see"),
        ("prepare synth --as freihand --count 64", "a small FreiHAND tree of synthetic hands"),
    ),
    "pretrain": (
        ("pretrain --data synth", "hands drawn on the fly"),
        ("pretrain --config pretrain_rhd", "a preset by its name"),
        ("pretrain --data synth --set train.max_minutes=30", "stop after half an hour"),
    ),
    "train": (
        ("train --supervision self", "from the joints that a detector sees, and from the picture"),
        ("train --config freihand_weak --out runs/weak", "a row of the paper"),
        ("train --resume --out runs/weak", "continue an interrupted run"),
    ),
    "eval": (
        ("eval --dataset ho3d", "the shipped network, official scores"),
        ("eval --dataset freihand --checkpoint runs/weak", "the best checkpoint of a run"),
        ("eval --dataset freihand --predictions pred.zip --gt FreiHAND", "predictions of any program"),
    ),
    "predict": (
        ("predict photo.jpg", "every hand of a photo: mesh, rig, texture, joints"),
        ("predict photo.jpg --refine", "fit each hand to its photo, and take its texture from there"),
        ("predict holiday/ --json", "a whole folder; one JSON document on stdout"),
        ("predict photo.jpg --page", "also one index.html to look at, or to send"),
        ("predict photo.jpg --box 120,80,240,260", "one hand, where you say"),
        ("predict clip.mp4 --from 2 --to 8", "tracked, smooth, moving hands of a part of a clip"),
    ),
    "live": (
        ("live", "the first camera: one JSON line per picture"),
        ("live --osc 9000", "and Open Sound Control to a program on this machine"),
        ("live clip.mp4", "a clip, played at its own speed"),
    ),
    "convert": (
        ("convert predictions", "MANO's parameters for every hand of a folder"),
        ("convert predictions/img_0.json --format json,obj,npz", "one hand, with its mesh"),
    ),
    "view": (
        ("view predictions", "then open http://127.0.0.1:8080"),
        ("view predictions --port 9000", "at another port"),
    ),
    "export": (
        ("export landmarks --to onnx", "a shipped network"),
        ("export runs/weak --to onnx --out mine.onnx", "the best checkpoint of a run"),
    ),
    "doctor": (("doctor", "what works here, and how to fix what does not"), ("doctor --json", "for a program")),
}


def epilog_of(command: str) -> str | None:
    """Return the examples of a command as the last paragraph of its help; None without examples."""
    lines = EXAMPLES.get(command)
    if not lines:
        return None
    width = max(len(words) for words, _ in lines)
    return "\n".join(("\b", "Examples:", *(f"  hifihr {words:{width}}  # {meaning}" for words, meaning in lines)))
