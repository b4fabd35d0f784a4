"""The model card and the dataset statement: front matter for model hubs that matches the shipped files."""

import re
from pathlib import Path

import pytest
import yaml

from hifihr_core import __version__

ROOT = Path(__file__).parent.parent
CARDS = ROOT / "docs" / "cards"


def front_matter(name: str) -> dict:
    text = (CARDS / name).read_text(encoding="utf-8")
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


@pytest.fixture(scope="module")
def model() -> dict:
    return front_matter("model_card.md")


def shipped() -> dict[str, Path]:
    return {path.stem: path for path in (ROOT / "hifihr_core").glob("*/data/*.safetensors")}


def test_the_files_of_the_card_are_those_that_ship(load_tool) -> None:
    module = load_tool("model_card.py")
    text = (CARDS / "model_card.md").read_text(encoding="utf-8")
    assert module.files_block() in text, "python tools/model_card.py brings the card up to date"


def test_every_network_has_its_results(model: dict) -> None:
    assert {entry["name"] for entry in model["model-index"]} == set(shipped())
    for entry in model["model-index"]:
        for result in entry["results"]:
            assert {"task", "dataset", "metrics"} == set(result)
            assert {"type", "name"} == set(result["task"]) == set(result["dataset"])
            for metric in result["metrics"]:
                assert isinstance(metric["value"], float), metric
                assert metric["type"] in {*model["metrics"], "recall"}


def test_figures_of_the_card_are_on_the_pages_that_measured_them(model: dict) -> None:
    names = ("models.md", "benchmarks/learning.md", "benchmarks/eyes.md", "benchmarks.md")
    places = [ROOT / "README.md", *(ROOT / "docs" / name for name in names)]
    pages = "".join(place.read_text(encoding="utf-8") for place in places)
    for entry in model["model-index"]:
        for result in entry["results"]:
            for metric in result["metrics"]:
                counted = re.search(r"(\d+) of (\d+)", metric["name"])
                if counted:
                    assert metric["value"] == round(int(counted[1]) / int(counted[2]), 3)
                shown = counted[0] if counted else str(metric["value"])
                assert shown in pages, f"{entry['name']}: {shown}"


def test_licences_are_those_of_the_package(model: dict) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    licence = re.search(r'^license = "(.*)"', project, re.MULTILINE)[1].lower()
    assert model["license"] == front_matter("dataset_card.md")["license"] == licence
    assert model["library_name"] == "hifihr"


def test_the_dataset_card_has_what_hubs_ask_for() -> None:
    data = front_matter("dataset_card.md")
    assert {"pretty_name", "task_categories", "tags", "size_categories", "annotations_creators"} <= set(data)
    text = (CARDS / "dataset_card.md").read_text(encoding="utf-8")
    for word in ("Contents", "Made from", "Purpose", "Representation", "Limits", "Licence", "Maintenance"):
        assert f"**{word}.**" in text


def test_the_citation_has_the_version_of_the_package() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == __version__
