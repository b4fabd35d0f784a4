"""`hifihr assets` from the outside: data on stdout, messages on stderr, and hostile files are rejected."""

import contextlib
import json
import os
import pickle
import zipfile

import pytest

from hifihr_core.assets import REGISTRY


class Calls:
    """Pickles to a call of ``function(*arguments)`` on reading."""

    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


def hostile(marker):
    """Return name -> pickle; each would make the file `marker` if it were read with the standard unpickler."""
    shell = f"touch '{marker}'"
    python = f"__import__('os').mknod({str(marker)!r})"
    return {
        "os.system": pickle.dumps(Calls(os.system, shell)),
        "posix.system, protocol 0": f"cposix\nsystem\n(V{shell}\ntR.".encode(),
        "eval": pickle.dumps(Calls(eval, python)),
        "exec": pickle.dumps(Calls(exec, python)),
        "os.mknod": pickle.dumps(Calls(os.mknod, str(marker))),
        "getattr chain": _getattr_chain(shell),
        "nested reduce": pickle.dumps({"v_template": [Calls(tuple, Calls(list, Calls(os.system, shell)))]}),
        "dotted name": _stack_global("os", "path.os.system", shell),
        "inside protocol 5": pickle.dumps({"v_template": Calls(os.system, shell)}, protocol=5),
    }


def _stack_global(module, name, argument):
    return (
        b"\x80\x04"
        + pickle.SHORT_BINUNICODE
        + bytes([len(module)])
        + module.encode()
        + pickle.SHORT_BINUNICODE
        + bytes([len(name)])
        + name.encode()
        + pickle.STACK_GLOBAL
        + pickle.BINUNICODE
        + len(argument).to_bytes(4, "little")
        + argument.encode()
        + pickle.TUPLE1
        + pickle.REDUCE
        + pickle.STOP
    )


def _getattr_chain(shell):
    """Write ``getattr(__import__("os"), "system")(shell)`` in pickle opcodes."""
    return f"cbuiltins\ngetattr\n(c__builtin__\n__import__\n(Vos\ntRVsystem\ntR(V{shell}\ntR.".encode()


@pytest.mark.parametrize("kind", hostile("x"))
@pytest.mark.parametrize("form", ["file", "zip", "folder"])
def test_a_hostile_pickle_is_refused_with_exit_code_3_and_nothing_runs(run_cli, home, tmp_path, kind, form):
    marker = tmp_path / "was here"
    data = hostile(marker)[kind]
    folder = tmp_path / "given"
    folder.mkdir()
    source = folder / "MANO_RIGHT.pkl"
    source.write_bytes(data)
    if form == "zip":
        source = tmp_path / "given.zip"
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("models/MANO_RIGHT.pkl", data)
    elif form == "folder":
        source = folder
    assert_refused(run_cli("assets", "import", "mano-right", source), marker, home)


@pytest.mark.parametrize("kind", hostile("x"))
def test_hostile_files_of_nimble_are_refused(run_cli, home, tmp_path, kind):
    marker = tmp_path / "was here"
    folder = tmp_path / "NIMBLE"
    folder.mkdir()
    for name in REGISTRY["nimble"].files:
        (folder / name).write_bytes(hostile(marker)[kind])
    assert_refused(run_cli("assets", "import", "nimble", folder), marker, home)


@pytest.mark.parametrize("form", ["pickle", "torch file", "torch file of old"])
def test_a_hostile_checkpoint_is_refused(run_cli, home, tmp_path, form):
    import torch

    marker, path = tmp_path / "was here", tmp_path / "texture.t7"
    deed = Calls(os.system, f"touch '{marker}'")
    if form == "pickle":
        path.write_bytes(pickle.dumps(deed))
    else:
        torch.save({"base_encoder": deed}, path, _use_new_zipfile_serialization=form == "torch file")
    assert_refused(run_cli("assets", "import", "hifihr-t7", path), marker, home)


def assert_refused(ended, marker, home):
    assert ended.code == 3
    assert ended.out == ""
    assert ended.message.startswith("error: ")
    assert "bug in hifihr" not in ended.message
    assert not marker.exists()
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_the_hostile_pickles_would_have_worked(tmp_path):
    worked = set()
    for kind, data in hostile(tmp_path / "marker").items():
        (tmp_path / "marker").unlink(missing_ok=True)
        with contextlib.suppress(TypeError):  # some fail after the deed
            pickle.loads(data)
        if (tmp_path / "marker").exists():
            worked.add(kind)
    assert worked == set(hostile("x"))


def test_list_tells_state_and_licence_of_everything(run_cli, home):
    rows = [line.split("\t") for line in run_cli("assets", "list").out.splitlines()]
    assert rows[0] == ["id", "state", "licence", "size", "needed by"]
    assert [row[0] for row in rows[1:]] == list(REGISTRY)
    assert {row[1] for row in rows[1:]} == {"missing"}
    document = json.loads(run_cli("assets", "list", "--json").out)
    assert [entry["licence"] for entry in document] == [asset.licence for asset in REGISTRY.values()]


def test_the_life_of_an_asset(run_cli, home, tmp_path, monkeypatch):
    import hashlib

    from hifihr_core.assets.registry import Source

    weights = b"weights" * 50
    source = Source(url="http://127.0.0.1:1/vgg19.pth", sha256=hashlib.sha256(weights).hexdigest(), size=350)
    asset = REGISTRY["vgg19"].model_copy(update={"source": source})
    monkeypatch.setitem(REGISTRY, "vgg19", asset)
    given = tmp_path / "downloaded.pth"
    given.write_bytes(weights)

    missing = run_cli("assets", "path", "vgg19")
    assert (missing.code, missing.out) == (3, "")
    assert "run `hifihr assets fetch vgg19`" in missing.message
    offline = run_cli("assets", "fetch", "vgg19")
    assert offline.code == 3
    assert "no answer from 127.0.0.1" in offline.message
    assert "hifihr assets import vgg19 FILE" in offline.message

    imported = run_cli("assets", "import", "vgg19", given)
    assert imported.code == 0
    assert imported.message == "done: vgg19 is installed"
    path = run_cli("assets", "path", "vgg19")
    assert path.out == imported.out
    assert run_cli("assets", "fetch", "vgg19").message == "note: vgg19 is already installed"
    shown = json.loads(run_cli("assets", "show", "vgg19", "--json").out)
    assert (shown["state"], shown["path"], shown["next"]) == ("installed", path.out.strip(), None)
    assert json.loads(run_cli("assets", "verify", "--json").out) == {"vgg19": "present"}

    with open(path.out.strip(), "r+b") as file:
        file.write(b"W")
    damaged = run_cli("assets", "verify", "vgg19")
    assert damaged.code == 3
    assert damaged.out == "id\tstate\nvgg19\tdamaged\n"
    assert "vgg19 is damaged; install again" in damaged.message
    assert "no answer from 127.0.0.1" in run_cli("assets", "fetch", "vgg19").message  # it is fetched again

    assert run_cli("assets", "remove", "vgg19").message == "done: vgg19 was removed"
    assert run_cli("assets", "remove", "vgg19").message == "note: vgg19 was not installed"
    assert run_cli("assets", "verify", "vgg19").code == 3
    assert run_cli("assets", "verify").code == 0


def test_terms_are_shown_before_a_gated_import(run_cli, home, tmp_path):
    ended = run_cli("assets", "import", "mano-right", tmp_path)
    assert ended.code == 3
    assert ended.err.splitlines()[0].startswith("note: mano-right: MANO licence: non-commercial research")
    assert "contains no MANO_RIGHT.pkl" in ended.message


def test_assets_that_are_not_free_are_not_fetched(run_cli, home):
    ended = run_cli("assets", "fetch", "nimble")
    assert ended.code == 3
    assert "only free assets are downloaded" in ended.message
    nothing = run_cli("assets", "fetch")
    assert nothing.code == 2
    assert "no asset given" in nothing.message


@pytest.mark.parametrize("command", ["show", "path", "fetch", "verify", "remove"])
def test_unknown_names_are_answered_with_the_nearest(run_cli, home, command):
    ended = run_cli("assets", command, "mano-rigth")
    assert ended.code == 3
    assert ended.message.startswith("error: asset: found 'mano-rigth', expected one of ")
    assert ended.message.endswith("; did you mean mano-right?")
