"""Downloads: complete or resumed, checked, and every network fault reported in one line."""

import errno
import os
import shutil
from collections import namedtuple

import pytest

from hifihr_core.assets import fetch as fetching
from hifihr_core.assets.fetch import fetch
from hifihr_core.assets.registry import find_asset
from hifihr_core.assets.store import check, installed_path
from hifihr_core.errors import AssetError


def partial(asset):
    return installed_path(asset).with_name(asset.file + ".download")


def with_source(asset, **changes):
    return asset.model_copy(update={"source": asset.source.model_copy(update=changes)})


def test_a_download_arrives_and_is_verified(served, content):
    seen = []
    path = fetch(served, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == content
    assert check(served) == "present"
    assert seen[0] == (0, len(content))
    assert seen[-1] == (len(content), len(content))
    assert sorted(done for done, _ in seen) == [done for done, _ in seen]
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["file.bin", "receipt.json"]


def test_a_cut_download_resumes_where_it_stopped(served, web, content):
    web.mode = "cut"
    with pytest.raises(AssetError, match="run again to resume"):
        fetch(served)
    have = partial(served).stat().st_size
    assert 0 < have < len(content)
    assert not installed_path(served).exists()
    web.mode = "good"
    assert fetch(served).read_bytes() == content
    assert web.ranges == [None, f"bytes={have}-"]


def test_a_server_without_ranges_sends_everything_again(served, web, content):
    partial(served).parent.mkdir(parents=True)
    partial(served).write_bytes(b"x" * 1000)
    web.mode = "no ranges"
    assert fetch(served).read_bytes() == content


def test_a_server_that_does_not_say_the_length(served, web, content):
    web.mode = "no length"
    assert fetch(served).read_bytes() == content


def test_a_whole_partial_is_not_downloaded_again(served, web, content):
    partial(served).parent.mkdir(parents=True)
    partial(served).write_bytes(content)
    assert fetch(served).read_bytes() == content
    assert web.ranges == []


def test_a_partial_of_unknown_size_that_is_whole(served, web, content):
    asset = with_source(served, size=None)
    partial(asset).parent.mkdir(parents=True)
    partial(asset).write_bytes(content)
    assert fetch(asset).read_bytes() == content
    assert web.ranges == [f"bytes={len(content)}-"]


def test_wrong_bytes_are_refused_and_thrown_away(served, web):
    web.mode = "wrong bytes"
    with pytest.raises(AssetError, match=r"sha256 [0-9a-f]{64}, expected [0-9a-f]{64}; .* get it again"):
        fetch(served)
    assert not partial(served).exists()
    assert not installed_path(served).exists()


def test_a_checksum_in_the_name_is_enough_and_is_checked(served, web, content):
    digest = served.source.sha256
    good = with_source(served, sha256=None, url=web.url.replace("file.bin", f"file-{digest[:8]}.bin"))
    assert good.source.checksum == digest[:8]
    assert fetch(good).read_bytes() == content
    bad = with_source(good, url=web.url.replace("file.bin", "file-00000000.bin"))
    with pytest.raises(AssetError, match=f"sha256 {digest[:8]}, expected 00000000"):
        fetch(bad)


def test_a_missing_file(served, web):
    web.mode = "gone"
    with pytest.raises(AssetError, match=r"answered 404 Not Found; get .* on another machine, then run `hifihr assets"):
        fetch(served)


def test_no_network(served):
    asset = with_source(served, url="http://127.0.0.1:1/file.bin")
    with pytest.raises(AssetError, match=r"no answer from 127\.0\.0\.1 .*hifihr assets import served FILE"):
        fetch(asset)


def test_an_unknown_host(served):
    asset = with_source(served, url="http://no-such-host.invalid/file.bin")
    with pytest.raises(AssetError, match=r"no answer from no-such-host\.invalid"):
        fetch(asset)


def test_too_little_space_is_reported_before_the_download(served, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1000))
    with pytest.raises(AssetError, match="0 MB are free, but 1 MB are needed; free some space"):
        fetch(served)
    assert not partial(served).exists()


def test_a_disk_that_fills_up_meanwhile(served, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fetching, "_copy", full)
    with pytest.raises(AssetError, match="the disk is full"):
        fetch(served)
    assert not installed_path(served).exists()


def test_an_interruption_keeps_the_bytes_already_received(served, content):
    def stop(done, total):
        if done > len(content) // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(served, stop)
    assert not installed_path(served).exists()
    assert partial(served).stat().st_size > 0
    assert fetch(served).read_bytes() == content


@pytest.mark.parametrize("asset_id", ["mano-right", "nimble", "hifihr-t7"])
def test_assets_that_are_not_free_are_never_downloaded(asset_id, monkeypatch, home):
    monkeypatch.setattr(fetching, "urlopen", lambda *args, **kwargs: pytest.fail("the network was asked"))
    with pytest.raises(AssetError, match=f"only free assets are downloaded; .*hifihr assets import {asset_id} PATH"):
        fetch(find_asset(asset_id))
    assert not home.exists()


def test_an_endless_body_is_abandoned(served, web, content):
    web.mode = "endless"
    asset = with_source(served, size=None).model_copy(update={"largest_bytes": 3 * len(content)})
    with pytest.raises(AssetError, match="sent more than the expected 3,145,728 bytes"):
        fetch(asset)
    assert not partial(asset).exists()
    with pytest.raises(AssetError, match=f"sent more than the expected {len(content):,} bytes"):
        fetch(with_source(served, size=len(content)))


def test_a_length_that_is_not_a_number_is_ignored(served, web, content):
    web.mode = "odd length"
    assert fetch(served).read_bytes() == content


@pytest.mark.parametrize("url", ["ftp://example.org/a-12345678.bin", "file:///etc/passwd"])
def test_only_web_addresses_are_requested(served, url):
    with pytest.raises(AssetError, match="expected an address starting with https://"):
        fetch(with_source(served, url=url))
