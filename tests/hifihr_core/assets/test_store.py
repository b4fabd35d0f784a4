"""The user's cache: where files are, and what is known about their state."""

from pathlib import Path

import pytest

from hifihr_core.assets import asset_path, cache_home, find_asset, is_installed
from hifihr_core.assets.store import check, install, installed_path, receipt_path, uninstall
from hifihr_core.errors import AssetError, DataError


def write(text):
    return lambda source, target: target.write_text(text)


@pytest.fixture
def asset(home):
    return find_asset("vgg19")


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HIFIHR_HOME", str(tmp_path))
    assert cache_home() == tmp_path
    monkeypatch.setenv("HIFIHR_HOME", "~/x")
    assert cache_home() == Path.home() / "x"
    monkeypatch.delenv("HIFIHR_HOME")
    assert cache_home().name == "hifihr"


def test_a_missing_asset_names_how_to_get_it(asset):
    assert not is_installed(asset.id)
    assert check(asset) == "missing"
    with pytest.raises(AssetError, match=r"vgg19: not installed, expected .*; run `hifihr assets fetch vgg19`"):
        asset_path(asset.id)
    with pytest.raises(AssetError, match=r"register|get it from https://mano.*hifihr assets import mano-right PATH"):
        asset_path("mano-right")
    with pytest.raises(AssetError, match="asset: found"):
        is_installed("nothing")


def test_an_installed_asset_is_found_and_verified(asset):
    path = install(asset, Path("given.pth"), write("weights"))
    assert asset_path(asset.id) == path == installed_path(asset)
    assert is_installed(asset.id)
    assert check(asset) == "present"


def test_damage_is_seen(asset):
    path = install(asset, Path("given.pth"), write("weights"))
    path.write_text("weightz")
    assert check(asset) == "damaged"
    path.write_text("weights and more")
    assert check(asset) == "damaged"
    path.write_text("weights")
    assert check(asset) == "present"
    receipt_path(asset).write_text("{}")
    assert check(asset) == "unverified"
    receipt_path(asset).unlink()
    assert check(asset) == "unverified"


def test_a_failing_converter_leaves_what_was_there(asset):
    install(asset, Path("given.pth"), write("old"))

    def fail(source, target):
        target.write_text("half")
        raise AssetError("broken")

    with pytest.raises(AssetError, match="broken"):
        install(asset, Path("given.pth"), fail)
    assert installed_path(asset).read_text() == "old"
    assert check(asset) == "present"
    assert len(list(installed_path(asset).parent.iterdir())) == 2


def test_removal_takes_everything(asset):
    assert not uninstall(asset)
    install(asset, Path("given.pth"), write("x"))
    installed_path(asset).with_name("x.download").write_text("half")
    assert uninstall(asset)
    assert not installed_path(asset).parent.exists()


def test_a_cache_that_cannot_be_written(asset, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HIFIHR_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="expected a folder"):
        install(asset, Path("given.pth"), write("x"))
