"""External data is read only through `hifihr_core/outside`: nothing else in the package opens a user's file."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOOR = "hifihr_core/outside/"

#: Files outside the door that read files, and why they may.
ALLOWED = {
    "hifihr_core/photos/reading.py": "the door for pictures: regular files in Pillow's formats, bounded in pixels",
    "hifihr_core/video/reading/containers.py": "the door for clips: FFmpeg's demuxers, no network",
    "hifihr_core/video/reading/webcam.py": "a camera, by number",
    "hifihr_core/shards/layout.py": "the door for shards: compared with the schema before anything is read",
    "hifihr_core/shards/pictures.py": "bytes of a shard that the layout has bounded",
    "hifihr_core/weight_files.py": "the door for safetensors, which hold nothing that runs",
    "hifihr_core/eyes/networks.py": "networks that ship with the package",
    "hifihr_core/eyes/engine.py": "networks that ship with the package, as bytes",
    "hifihr_core/models/onnx_export.py": "what was exported a moment ago, as bytes",
    "hifihr_core/hands/nimble/convert.py": "bytes inside a pickle that the door reads, by torch's restricted reader",
    "hifihr_core/exports/page.py": "a template that ships with the package",
    "hifihr_core/exports/usd.py": "what was written a moment ago",
    "hifihr_core/sources/raw/rows.py": "what the run staged itself",
    "hifihr_core/sources/ho3d.py": "what the run staged itself",
    "hifihr_core/video/writing/clip_writer.py": "clips that the run wrote, and the sound of one that the door opened",
}
#: Calls that read a file, by their last names, and by first names where the last alone says too little.
READERS = {
    "read_text",
    "read_bytes",
    "imread",
    "VideoCapture",
    "fromfile",
    "memmap",
    "loadtxt",
    "genfromtxt",
    "safe_open",
    "load_file",
    "InferenceSession",
    "ZipFile",
    "TarFile",
    "is_zipfile",
}
MODULES_THAT_LOAD = {"np", "numpy", "json", "pickle", "torch", "trimesh", "onnx", "scipy", "joblib"}
#: Objects whose `open` method goes through the door or opens no file.
OPENERS = {"os", "source", "find_source(source)", "file", "packed", "RawFile(path)", "_find_predictions(path)"}


def calls(path):
    """Yield (line, name) of every call in a file that reads a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ours = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hifihr_core.outside")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := _reads(node, ours)):
            yield node.lineno, name


def _reads(call, ours):
    function = call.func
    if isinstance(function, ast.Name):
        name, owner = function.id, ""
        if name in ours:
            return ""
    elif isinstance(function, ast.Attribute):
        name, owner = function.attr, ast.unparse(function.value)
    else:
        return ""
    if name in ("open", "File", "ZipFile") and _is_harmless(call, name, owner):
        return ""
    if name in ("open", "File"):
        return f"{owner}.{name}".lstrip(".")
    if name in READERS:
        return f"{owner}.{name}".lstrip(".")
    if name in ("load", "loads") and owner.split(".")[0] in MODULES_THAT_LOAD:
        return "" if _round_trip(call) else f"{owner}.{name}"
    return ""


def _is_harmless(call, name, owner):
    """Return whether a call of this name writes, or opens something other than a file on disk."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    texts = [one.value for argument in arguments for one in ast.walk(argument) if isinstance(one, ast.Constant)]
    modes = [text for text in texts if isinstance(text, str) and re.fullmatch(r"[rwax][bt]?\+?", text)]
    if modes:
        return all(mode[0] in "wax" or "+" in mode for mode in modes)
    return (name == "open" and owner in OPENERS) or (name == "File" and owner != "h5py")


def _round_trip(call):
    """Return whether this is `json.loads(json.dumps(...))`, which reads nothing."""
    return bool(call.args) and isinstance(call.args[0], ast.Call) and ast.unparse(call.args[0].func) == "json.dumps"


FILES = sorted(
    path
    for package in ("hifihr_core", "hifihr_cli")
    for path in (ROOT / package).rglob("*.py")
    if DOOR not in path.as_posix()
)


def test_nothing_outside_the_door_opens_a_file():
    found = {path.relative_to(ROOT).as_posix(): list(calls(path)) for path in FILES}
    strangers = {name: lines for name, lines in found.items() if lines and name not in ALLOWED}
    assert not strangers, "read them through hifihr_core/outside or hifihr_core/photos"
    assert {name for name in ALLOWED if not found.get(name)} == set(), "no longer needed in ALLOWED"


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("np.load(path)", True),
        ("json.load(file)", True),
        ("json.loads(text)", True),
        ("json.loads(json.dumps(value))", False),
        ("zipfile.ZipFile(path)", True),
        ("zipfile.ZipFile(path, 'w')", False),
        ("h5py.File(path, 'r')", True),
        ("h5py.File(path, 'w')", False),
        ("cv2.imread(name)", True),
        ("pickle.load(file)", True),
        ("torch.load(path, weights_only=True)", True),
        ("open(path)", True),
        ("path.open('rb')", True),
        ("path.open('a', encoding='utf-8')", False),
        ("path.read_text()", True),
        ("read_text(path)", True),
        ("from hifihr_core.outside.whole_files import read_text\nread_text(path)", False),
        ("Image.open(path)", True),
    ],
)
def test_the_test_recognises_a_reader(tmp_path, line, is_found):
    (tmp_path / "a.py").write_text(line)
    assert bool(list(calls(tmp_path / "a.py"))) == is_found
