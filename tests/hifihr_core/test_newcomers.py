"""What is new is its own file and one row of a table, and everything else finds it there."""

import json
import sys
from types import MappingProxyType

import pytest

from hifihr_core.sources import table as sources_table

#: A dataset as a newcomer writes it: one module with a `Split`, two functions and a `Source`.
TOY_DATASET = '''
"""Toy hands: rendered pictures beside their labels, one `.npz` per hand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hifihr_core.errors import DataError
from hifihr_core.samples import Sample
from hifihr_core.shards.schema import DatasetFacts, Problem
from hifihr_core.shards.split import Split
from hifihr_core.sources.contract import FileState, Request, Source


@dataclass
class ToySplit(Split):
    paths: tuple[Path, ...]
    facts: DatasetFacts
    count: int
    bytes_each: int = 20_000
    plan: dict[str, Any] = field(default_factory=dict)

    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        for path in self.paths[start:stop]:
            with np.load(path) as arrays:
                labels = {name: arrays[name] for name in arrays.files if name not in ("image", "mask", "K")}
                image, mask = arrays["image"].tobytes(), arrays["mask"].tobytes()
                yield Sample(path.stem, path.stem, image, arrays["K"], labels, mask)


def open_toy(request: Request) -> Sequence[Split]:
    splits = []
    for name in ("train", "evaluation"):
        paths = tuple(sorted((request.root / name).glob("*.npz")))
        facts = DatasetFacts(
            dataset="toy", split=name, version="1", licence="free", joint_definition="freihand", crop_scale=None
        )
        if paths:
            splits.append(ToySplit(paths, facts, len(paths), plan={"count": len(paths)}))
    if not splits:
        raise DataError(f"{request.root}: no toy hands")
    return splits


def inspect_toy(request: Request) -> Sequence[FileState]:
    return ()


TOY = Source(
    name="toy",
    summary="toy hands",
    licence="free",
    download="draw them",
    layout="ROOT/{train,evaluation}/*.npz",
    open=open_toy,
    inspect=inspect_toy,
)
'''


@pytest.fixture
def toy_dataset(tmp_path, monkeypatch):
    """Put the toy dataset into its own file and one row; return the folder of its raw files."""
    import numpy as np

    from hifihr_core.hands import load_hand
    from hifihr_core.synthesis import Synthesizer, SynthOptions
    from hifihr_core.synthesis.as_samples import as_sample

    (tmp_path / "toy_hands.py").write_text(TOY_DATASET)
    monkeypatch.syspath_prepend(tmp_path)
    rows = {**sources_table.SOURCES, "toy": "toy_hands:TOY"}
    monkeypatch.setattr(sources_table, "SOURCES", MappingProxyType(rows))
    synthesizer = Synthesizer(load_hand("anny", texture_px=64), options=SynthOptions(image_px=64, backgrounds=4))
    for number, split in enumerate(("train", "evaluation")):
        (tmp_path / "raw" / split).mkdir(parents=True)
        batch = synthesizer.make(number, 4)
        for row in range(4):
            sample = as_sample(batch, row, f"{split}-{row}", synthesizer)
            names = ("joints_cam", "joints_px", "keypoints_px", "keypoints_confidence", "bone_m", "root_cam")
            pixels = {name: np.frombuffer(getattr(sample, name), np.uint8) for name in ("image", "mask")}
            labels = {name: sample.labels[name] for name in names}
            np.savez(tmp_path / "raw" / split / f"{row}.npz", K=sample.K, **pixels, **labels)
    yield tmp_path / "raw"
    sys.modules.pop("toy_hands", None)


@pytest.mark.slow
def test_a_dataset_goes_from_prepare_to_eval(toy_dataset, run_cli, tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIHR_DATA", str(tmp_path / "data"))
    assert run_cli("prepare", "toy", "--root", toy_dataset, "--workers", 0).code == 0
    assert run_cli("shards", "verify", tmp_path / "data/shards/toy").code == 0
    small = ("model.hand=anny", "model.backbone=mobilenetv3_small_050", "model.weights=none", "data.image_px=64")
    small += (
        "data.workers=0",
        'data.train=["toy"]',
        'data.validation=["toy"]',
        "train.batch_size=2",
        "train.max_steps=2",
    )
    words = [word for setting in small for word in ("--set", setting)]
    trained = run_cli("train", "--device", "cpu", "--out", tmp_path / "run", *words)
    assert trained.code == 0, trained.err
    words = ("eval", "--dataset", "toy", "--checkpoint", tmp_path / "run", "--device", "cpu", "--json")
    scored = run_cli(*words, "--out", tmp_path / "scores")
    assert scored.code == 0, scored.err
    report = json.loads(scored.out)
    assert report["protocol"]["name"] == "toy"
    assert report["protocol"]["samples"] == 4
    assert report["licences"]["dataset"] == "free"


def test_the_help_of_prepare_names_every_row(run_fresh):
    code = """
from types import MappingProxyType
from hifihr_core.sources import table
table.SOURCES = MappingProxyType({**table.SOURCES, "toyset": "nowhere:TOY"})
from hifihr_cli.main import main
main(["prepare", "--help"])
"""
    assert "toyset" in run_fresh("-c", code).out
