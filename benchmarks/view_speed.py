"""How soon `hifihr view` is usable, and how much memory it needs, for a folder of 20 photos with 40 hands.

    python benchmarks/view_speed.py RESULTS

RESULTS is a folder that `hifihr predict` wrote, with at least one hand; its photo is shown twenty times. Prints the
time until the server answers, the time to show each photo, and the memory after the first and after the last.
"""

import argparse
import json
import resource
import shutil
import tempfile
import time
import urllib.request
from pathlib import Path

from hifihr_core.exports.run_index import read_index
from hifihr_core.viewing.app import HandViewer
from hifihr_core.viewing.stored_photos import StoredPhotos

PHOTOS, HANDS = 20, 2


def main() -> None:
    """Serve, show every photo, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "results"
        shutil.copytree(arguments.results, copy)
        entry = next(one for one in read_index(copy) if one["hands"])
        entry["path"] = str(Path(entry["path"]).resolve())
        photos = [{**entry, "hands": [entry["hands"][0]] * HANDS}] * PHOTOS
        (copy / "hands.json").write_text(json.dumps({"format": 1, "photos": photos}))
        began = time.perf_counter()
        viewer = HandViewer(StoredPhotos(copy), port=18090)
        with urllib.request.urlopen(f"http://127.0.0.1:{viewer.port}") as answer:
            answer.read()
        print(f"ready after {time.perf_counter() - began:.1f} s (torch loaded before), {_memory_mib():.0f} MiB")
        seconds = []
        for number in range(PHOTOS):
            began = time.perf_counter()
            viewer.show(number)
            seconds.append(time.perf_counter() - began)
        print(f"a photo: median {sorted(seconds)[PHOTOS // 2]:.2f} s, slowest {max(seconds):.2f} s")
        print(f"after all {PHOTOS}: {_memory_mib():.0f} MiB at most")
        viewer.stop()


def _memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
