"""Check this machine: what works, what is missing, and the command that fixes it."""

import os
import platform
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from hifihr_core.assets import REGISTRY, cache_home
from hifihr_core.assets.store import check, remedy
from hifihr_core.config.data_folders import data_home
from hifihr_core.errors import HifihrError

State = Literal["ok", "note", "problem"]

PYTHON = (3, 10)
PACKAGES = ("torch", "torchvision", "timm", "numpy", "numba", "opencv-python-headless", "h5py", "lpips")
#: Optional package -> module, what it provides, and how to get it.
EXTRAS = {
    "av": ("av", "clips for predict and live", "pip install 'hifihr[video]'"),
    "pytorch3d": (
        "pytorch3d",
        "alternative rendering back end, optional",
        "see https://github.com/facebookresearch/pytorch3d/blob/main/INSTALL.md",
    ),
}
#: Free disk space below which a note is shown: the largest dataset's shards take about as much.
FREE_DISK_GB = 20.0
REINSTALL = "pip install --force-reinstall hifihr"
#: Remedies for checks that raise an error, where it is not `REINSTALL`.
REMEDIES = dict.fromkeys(
    ("assets", "data", "folders"),
    "change the permissions, or set HIFIHR_HOME (assets) or HIFIHR_DATA (data) to another folder",
)


@dataclass(frozen=True)
class Finding:
    """One line of the report; `remedy` is empty if nothing needs to be done."""

    group: str
    name: str
    state: State
    found: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Yield the findings of all `CHECKS`, in order; a check that raises an error becomes a problem of its group."""
    for group, look in CHECKS.items():
        try:
            for name, state, found, line in look():
                yield Finding(group, name, state, found, line)
        except (HifihrError, ImportError, OSError, RuntimeError) as error:
            yield Finding(group, group, "problem", one_line(error), REMEDIES.get(group, REINSTALL))


def one_line(error: object) -> str:
    """Return the class and the text of an error or warning in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


Row = tuple[str, State, str, str]


def look_at_python() -> Iterator[Row]:
    """Check the interpreter and the packages that hifihr needs."""
    enough = sys.version_info >= PYTHON
    wanted = ".".join(map(str, PYTHON))
    line = "" if enough else f"install Python {wanted} or later"
    yield "python", "ok" if enough else "problem", f"{platform.python_version()} on {platform.platform()}", line
    for name in ("hifihr", *PACKAGES):
        try:
            yield name, "ok", version(name), ""
        except PackageNotFoundError:
            yield name, "problem", "not installed", f"pip install {name}"


def look_at_devices() -> Iterator[Row]:
    """Report the CPU and the GPUs that torch can use."""
    import torch

    yield "cpu", "ok", f"cores: {os.cpu_count() or 'unknown'}, threads of torch: {torch.get_num_threads()}", ""
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield (
            f"cuda:{index}",
            "ok",
            f"{device.name}, {device.total_memory / 2**30:.0f} GiB, {device.major}.{device.minor}",
            "",
        )
    if not torch.cuda.is_available():
        built = f"torch {torch.__version__} sees no CUDA device"
        yield "cuda", "note", built, "predict works without one; for training see https://pytorch.org/get-started"
    if torch.backends.mps.is_available():
        yield "mps", "ok", "Apple GPU", ""


def look_at_renderer() -> Iterator[Row]:
    """Check that each rendering back end renders a triangle like the plain-torch reference."""
    import torch

    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    for device in devices:
        for backend in ("native", "pytorch3d") if find_spec("pytorch3d") else ("native",):
            name = f"{backend} on {device}"
            started = time.perf_counter()
            try:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    same = bool((_draw(backend, device) == _draw("reference", device)).all())
            except (HifihrError, ImportError, OSError, RuntimeError) as error:
                line = REINSTALL if backend == "native" else EXTRAS[backend][2]
                yield name, "problem" if backend == "native" else "note", one_line(error), line
                continue
            if caught:
                yield name, "note", one_line(caught[0].message), "rendering works, but slowly"
            elif same:
                yield (
                    name,
                    "ok",
                    f"renders like the reference; first use took {time.perf_counter() - started:.1f} s",
                    "",
                )
            else:
                yield (
                    name,
                    "problem",
                    "renders different faces than the reference",
                    "report this with the output of `hifihr doctor --json`",
                )


def _draw(backend: Any, device: str) -> Any:
    """Render one triangle; return the index of the face in every pixel of a 16 x 16 picture, -1 for none."""
    import torch

    from hifihr_core.rendering import rasterize

    corners = torch.tensor([[[-0.3, -0.2, 1.0], [0.4, -0.3, 1.2], [0.1, 0.35, 0.9]]], device=device)
    K = torch.tensor([[[16.0, 0.0, 8.0], [0.0, 16.0, 8.0], [0.0, 0.0, 1.0]]], device=device)
    faces = torch.tensor([[0, 1, 2]], device=device)
    return rasterize(corners, faces, K, height=16, width=16, backend=backend).face


def look_at_models() -> Iterator[Row]:
    """Check that the shipped models can be loaded."""
    from hifihr_core.hands import load_hand
    from hifihr_core.lifting.hand_network import load_hand_network
    from hifihr_core.lifting.lifter import load_lifter
    from hifihr_core.models.checkpoint import load_checkpoint
    from hifihr_core.models.shipped import HAND_NETWORK, IMAGE_NETWORK, LIFTER, shipped_model

    loaders: dict[str, Callable[[Path], object]] = {
        IMAGE_NETWORK: load_checkpoint,
        LIFTER: lambda path: load_lifter(path, load_hand("anny")),
        HAND_NETWORK: lambda path: load_hand_network(path, load_hand("anny")),
    }
    for name, load in loaders.items():
        path = shipped_model(name)
        if path is None:
            yield name, "problem", "missing from this installation", REINSTALL
            continue
        try:
            load(path)
        except HifihrError as error:
            yield name, "problem", str(error), REINSTALL
        else:
            yield name, "ok", f"can be loaded, {path.stat().st_size / 1e6:.1f} MB, licence: free", ""


def look_at_eyes() -> Iterator[Row]:
    """Check that the networks that find hands run, and find none in a black picture."""
    from importlib.metadata import version

    import numpy as np

    from hifihr_core.eyes import Eyes

    hands = Eyes.load().find(np.zeros((64, 64, 3), np.uint8), "fast")
    state: State = "problem" if hands else "ok"
    found = f"found hands in a black picture: {len(hands)}, expected none" if hands else "the networks run"
    yield "palms and joints", state, f"{found}; onnxruntime {version('onnxruntime')}", REINSTALL if hands else ""


def look_at_assets() -> Iterator[Row]:
    """Check every asset in the registry; the installed ones are read completely."""
    for asset in REGISTRY.values():
        state = check(asset)
        ok: State = {"present": "ok", "missing": "note"}.get(state, "problem")  # type: ignore[assignment]
        line = "" if state == "present" else remedy(asset)
        yield asset.id, ok, f"{state}, licence: {asset.licence}", line


def look_at_extras() -> Iterator[Row]:
    """Check which optional packages are installed."""
    for name, (module, gives, line) in EXTRAS.items():
        there = find_spec(module) is not None
        found = f"{_version(name)}, {gives}" if there else f"not installed: {gives}"
        yield name, "ok" if there else "note", found, "" if there else line


def look_at_data() -> Iterator[Row]:
    """Check the datasets in the data folder: raw downloads and shards."""
    home = data_home()
    for kind, line in (("raw", "put downloads into this folder"), ("shards", "run `hifihr prepare DATASET`")):
        folder = home / kind
        names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        yield kind, "ok" if names else "note", f"{folder}: {', '.join(names) or 'nothing yet'}", "" if names else line


def look_at_folders() -> Iterator[Row]:
    """Check that hifihr's folders are writable and have enough free disk space."""
    for name, folder in (("cache", cache_home()), ("data", data_home()), ("here", Path.cwd())):
        base = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        free_gb = shutil.disk_usage(base).free / 1e9
        found = f"{folder}, {free_gb:,.0f} GB free"
        try:
            with tempfile.TemporaryFile(dir=base):
                pass
        except OSError as error:
            other = {"cache": "HIFIHR_HOME", "data": "HIFIHR_DATA"}.get(name)
            line = f"choose another folder with {other}" if other else "run hifihr in another folder, or give --out"
            yield name, "problem", f"{found}, not writable: {(error.strerror or str(error)).lower()}", line
            continue
        enough = free_gb >= FREE_DISK_GB
        yield name, "ok" if enough else "note", found, "" if enough else "free some space before preparing datasets"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown version"


#: Group -> its check, in the order of the report.
CHECKS: dict[str, Callable[[], Iterator[Row]]] = {
    "python": look_at_python,
    "devices": look_at_devices,
    "rendering": look_at_renderer,
    "models": look_at_models,
    "eyes": look_at_eyes,
    "extras": look_at_extras,
    "assets": look_at_assets,
    "data": look_at_data,
    "folders": look_at_folders,
}
