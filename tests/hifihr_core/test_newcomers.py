"""An addition is one new file and one row in a table; everything else finds it there."""

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
    """Add the toy dataset as a file and a row; return the folder of its raw files."""
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


#: A hand model, a loss term and an image network as newcomers write them, each in its own file.
TOY_HAND = '''
"""The free hand under another name."""

from hifihr_core.hands.anny.model import AnnyHand, build_anny


def build_toy(path, *, pose_basis, joints, **options):
    hand = build_anny(path, pose_basis="anatomical", joints=joints, **options)
    hand.name, hand.pose_basis = "toy", pose_basis
    return hand
'''

TOY_TERM = '''
"""Hands near the middle of their crops."""

from hifihr_core.losses.terms import LossInputs, Ratio, mean_over_present, term


@term("toy_center", labels=("joints_px",), requires=("toy",))
def toy_center(inputs: LossInputs) -> Ratio:
    """Mean absolute distance of the joints from the middle of the crop, pixels."""
    return mean_over_present(inputs, (inputs.prediction.joints_px - inputs.image.shape[-1] / 2).abs(), "joints_px")
'''

TOY_NETWORK = '''
"""A network that sees the mean colour of a crop and answers from that."""

import torch
from torch import nn

from hifihr_core.hands.contract import HandParameters
from hifihr_core.models.contract import Estimate, ImageNetwork


class ToyNetwork(ImageNetwork):
    def __init__(self, hand, image_px):
        super().__init__()
        self.sizes, self.image_px = (3, hand.pose_dim, hand.shape_dim), image_px
        self.body, self.head = nn.Linear(3, 8), nn.Linear(8, sum(self.sizes))

    def parts(self):
        return {"backbone": (self.body,), "geometry": (self.head,), "shape": (), "texture": (), "light": ()}

    def forward(self, image, K):
        turn, pose, shape = self.head(self.body(image.mean(dim=(2, 3)))).split(self.sizes, dim=1)
        middle = torch.full_like(K[:, :2, 2], image.shape[-1] / 2)
        return Estimate(HandParameters(turn, pose, shape), middle, torch.full_like(middle[:, 0], 3.5 * self.image_px))


def build_toy_network(hand, settings, *, image_px, weights):
    return ToyNetwork(hand, image_px)
'''


@pytest.fixture
def toy_hand_term_and_network(tmp_path, monkeypatch):
    """Add a hand model, a loss term and an image network, each as a file and a row."""
    from hifihr_core.hands import table as hands_table
    from hifihr_core.losses import terms
    from hifihr_core.models import table as networks_table

    sources = {"toy_hand_model": TOY_HAND, "toy_loss_term": TOY_TERM, "toy_network": TOY_NETWORK}
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    hand = hands_table.HandRow("toy_hand_model:build_toy", ("toy_angles",), ("texture_px",))
    network = networks_table.NetworkRow("toy_network:build_toy_network", frozenset({"toy"}))
    monkeypatch.setattr(hands_table, "HANDS", MappingProxyType({**hands_table.HANDS, "toy": hand}))
    monkeypatch.setattr(networks_table, "NETWORKS", MappingProxyType({**networks_table.NETWORKS, "toy": network}))
    __import__("toy_loss_term")
    yield
    terms.TERMS.pop("toy_center", None)
    for name in sources:
        sys.modules.pop(name, None)


def test_a_hand_a_loss_and_a_network_train_and_come_back(toy_hand_term_and_network, run_cli, tmp_path):
    small = ("model.hand=toy", "model.geometry=toy", "render.enabled=false", "model.texture=false")
    small += ("data.image_px=64", "data.workers=0", "data.validation_limit=2", "train.batch_size=2")
    small += ("train.max_steps=2", "train.log_every_steps=1", "loss.weights.toy_center=1")
    words = [word for setting in small for word in ("--set", setting)]
    trained = run_cli("train", "--data", "synth", "--device", "cpu", "--out", tmp_path / "run", *words)
    assert trained.code == 0, trained.err
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(row["term/toy_center"] > 0 for row in rows if row["kind"] == "train")

    from hifihr_core.models.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(tmp_path / "run")
    assert (checkpoint.hand.name, checkpoint.hand.pose_basis) == ("toy", "toy_angles")
    assert type(checkpoint.network).__name__ == "ToyNetwork"
    assert not checkpoint.network.has_appearance


def test_a_term_that_a_network_does_not_support_is_omitted_and_reported(toy_hand_term_and_network, run_cli, tmp_path):
    small = ("model.backbone=mobilenetv3_small_050", "model.weights=none", "data.image_px=64", "data.workers=0")
    small += ("data.validation_limit=2", "train.batch_size=2", "train.max_steps=1", "loss.weights.toy_center=1")
    words = [word for setting in small for word in ("--set", setting)]
    trained = run_cli("pretrain", "--data", "synth", "--device", "cpu", "--out", tmp_path / "run", *words)
    assert trained.code == 0, trained.err
    assert "toy_center (it needs toy)" in trained.err


def test_names_that_no_table_has_are_answered_with_the_nearest(run_cli):
    for setting, answer in (("model.hand=any", "anny"), ("model.geometry=pooledd", "pooled")):
        ended = run_cli("train", "--data", "synth", "--set", setting, "--set", "model.weights=none")
        assert ended.code == 2
        assert f"did you mean {answer}?" in ended.message


#: A detector and an output format as newcomers write them.
TOY_DETECTOR = '''
"""A hand is what is not white."""

import numpy as np

from hifihr_core.photos.detections import Detection


def build_toy(*, max_hands=None, min_score=None):
    def find(image):
        rows, columns = np.nonzero((image < 250).any(axis=2))
        if not len(rows):
            return []
        return [Detection([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], 0.5, "left")]

    return find
'''

TOY_FORMAT = '''
"""The joints of a hand as lines of text."""

from hifihr_core.files import write_text


def write_toy(folder, stem, hand, context):
    path = folder / f"{stem}.toy"
    write_text(path, "\\n".join(" ".join(f"{value:.4f}" for value in row) for row in hand.joints_cam))
    return [path]
'''


@pytest.fixture
def toy_detector_and_format(tmp_path, monkeypatch):
    """Add a detector and an output format, each as a file and a row."""
    from hifihr_core.exports import formats
    from hifihr_core.photos import detectors

    for name, source in {"toy_detector": TOY_DETECTOR, "toy_format": TOY_FORMAT}.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    from toy_detector import build_toy
    from toy_format import write_toy

    row = detectors.DetectorRow("what is not white", build_toy, finds_keypoints=False)
    monkeypatch.setattr(detectors, "DETECTORS", MappingProxyType({**detectors.DETECTORS, "toy": row}))
    rows = {**formats.FORMATS, "toy": formats.Format((".toy",), write_hand=write_toy)}
    monkeypatch.setattr(formats, "FORMATS", MappingProxyType(rows))
    yield
    for name in ("toy_detector", "toy_format"):
        sys.modules.pop(name, None)


def test_a_detector_and_a_format_are_found_by_predict(toy_detector_and_format, run_cli, tmp_path, monkeypatch):
    import numpy as np
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    picture = np.full((120, 160, 3), 255, np.uint8)
    picture[30:90, 50:120] = (200, 150, 120)
    Image.fromarray(picture).save("hand.png")
    words = (
        "predict",
        "hand.png",
        "--detector",
        "toy",
        "--start",
        "image",
        "--format",
        "toy",
        "--no-overlay",
        "--json",
    )
    ended = run_cli(*words)
    assert ended.code == 0, ended.err
    [hand] = json.loads(ended.out)["images"][0]["hands"]
    assert (hand["box"], hand["side"]) == ([50, 30, 70, 60], "left")
    assert hand["files"] == [str(tmp_path.joinpath("predictions", "hand_0.toy").relative_to(tmp_path))]
    assert np.loadtxt("predictions/hand_0.toy").shape == (21, 3)
    again = run_cli(*words, "--overwrite")  # the format's endings say what may be replaced
    assert again.code == 0, again.err
    assert {path.name for path in (tmp_path / "predictions").iterdir()} == {"hands.json", "hand_0.toy"}
    assert "toy" in run_cli("predict", "hand.png", "--detector", "other").message
