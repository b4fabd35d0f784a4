"""Fixtures of the data path."""

import pytest


@pytest.fixture
def installed_mano(mano_path, tmp_path, monkeypatch):
    """A cache with a MANO of our own numbers."""
    from hifihr_core.assets.registry import find_asset
    from hifihr_core.assets.store import installed_path

    monkeypatch.setenv("HIFIHR_HOME", str(tmp_path / "home"))
    target = installed_path(find_asset("mano-right"))
    target.parent.mkdir(parents=True)
    target.write_bytes(mano_path.read_bytes())
