"""The table of assets is consistent, and agrees with the libraries that name the same files."""

import re

import pytest
from pydantic import ValidationError

from hifihr_core.assets import REGISTRY, find_asset
from hifihr_core.assets.registry import Asset, Source
from hifihr_core.errors import AssetError
from hifihr_core.importing import CONVERTERS, converter

PROMISED = {"mano-right", "mano-left", "nimble", "lpips-alex", "lpips-vgg", "vgg19", "hifihr-t7"}


def test_the_documented_ids_exist():
    assert set(REGISTRY) >= PROMISED
    assert any(asset_id.startswith("timm-") for asset_id in REGISTRY)


@pytest.mark.parametrize("asset", REGISTRY.values(), ids=REGISTRY)
def test_every_entry_is_complete(asset):
    assert asset.id == find_asset(asset.id).id
    assert asset.homepage.startswith("https://")
    assert all((asset.title, asset.terms, asset.needed_by, asset.citation))
    assert re.search(r"\b20\d\d\b", asset.citation)
    if asset.source:
        assert asset.source.url.startswith("https://")
        assert asset.source.url.endswith("/" + asset.file)
        named = re.search(r"-([0-9a-f]{8})\.", asset.file)
        assert named is None or asset.source.checksum.startswith(named[1])
        assert len(asset.source.checksum) in (8, 64)


@pytest.mark.parametrize(
    ("asset_id", "weights"),
    [("lpips-alex", "AlexNet_Weights"), ("lpips-vgg", "VGG16_Weights"), ("vgg19", "VGG19_Weights")],
)
def test_torchvision_names_the_same_files(asset_id, weights):
    import torchvision.models

    assert find_asset(asset_id).source.url == getattr(torchvision.models, weights).IMAGENET1K_V1.url


@pytest.mark.parametrize("asset_id", [asset_id for asset_id in REGISTRY if asset_id.startswith("timm-")])
def test_timm_names_the_same_files_and_licence(asset_id):
    import timm

    asset = find_asset(asset_id)
    tag = re.search(r"tag (\w+)", asset.title)[1]
    known = timm.get_pretrained_cfg(f"{asset_id.removeprefix('timm-')}.{tag}")
    assert known.url.rpartition("/")[2] == asset.file
    assert known.license in ("apache-2.0", None)  # older releases do not say


def test_an_unknown_id_is_answered_with_the_nearest():
    with pytest.raises(AssetError, match=r"asset: found 'mano-rigth', expected .*; did you mean mano-right\?"):
        find_asset("mano-rigth")
    with pytest.raises(AssetError, match="expected one of mano-right, "):
        find_asset("zzz")


def entry(**changes):
    return {**REGISTRY["vgg19"].model_dump(), **changes}


def test_an_entry_that_contradicts_itself_is_refused():
    assert Asset.model_validate(entry()) == REGISTRY["vgg19"]
    with pytest.raises(ValidationError, match="have a URL"):
        Asset.model_validate(entry(licence="gated"))
    with pytest.raises(ValidationError, match="have a URL"):
        Asset.model_validate(entry(source=None))
    with pytest.raises(ValidationError, match="nothing to fetch"):
        Asset.model_validate(entry(licence="gated", source=None))
    with pytest.raises(ValidationError, match="no sha256"):
        Source(url="https://example.org/file.bin")


@pytest.mark.parametrize("asset_id", CONVERTERS)
def test_every_converter_is_there(asset_id):
    assert callable(converter(find_asset(asset_id)))


def test_no_asset_of_users_is_stored_without_conversion():
    assert {asset.id for asset in REGISTRY.values() if not asset.source} == set(CONVERTERS)
