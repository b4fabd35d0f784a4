"""The root of the command line: help without torch, one-line errors, the exit codes of the contract."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from hifihr_cli import main as main_module
from hifihr_cli.main import COMMANDS, build_app
from hifihr_core.errors import AssetError, ConfigError, DataError, DeviceError, FindingsError, UnsafePickleError

HEAVY = {"torch", "torchvision", "timm", "numpy", "scipy", "cv2", "h5py", "numba", "skimage", "matplotlib", "lpips"}
COMMAND_LINES = [[], *([name] for name in COMMANDS)]


def leaf_commands():
    """Return the words of every command and subcommand."""
    lines = [()]
    root = build_app()
    for name in COMMANDS:
        lines.append((name,))
        command = root.commands[name]
        lines += [(name, sub) for sub in getattr(command, "commands", {})]
    return lines


@pytest.mark.parametrize("words", leaf_commands(), ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_every_command_is_plain_data(run_cli, words, flag):
    ended = run_cli(*words, flag)
    assert ended.code == 0
    assert ended.err == ""
    assert ended.out.startswith(f"Usage: {' '.join(('hifihr', *words))} ")
    assert "\x1b" not in ended.out
    assert all(len(line) <= 140 for line in ended.out.splitlines())


@pytest.mark.parametrize(("columns", "framed"), [(40, False), (100, True)])
def test_help_on_a_narrow_terminal_keeps_every_name_whole(run_cli, monkeypatch, columns, framed):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERMINAL_WIDTH", str(columns))
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", run_cli("predict", "--help").out)
    assert ("╭" in shown) == framed
    assert all(name in shown for name in ("--checkpoint ", "--min-score ", "--hand-length ", "--no-forearm "))
    if not framed:  # descriptions are wrapped; names are as long as they are
        assert max(len(line) for line in shown.splitlines() if line.startswith(" " * 20)) <= columns + 10


def test_help_in_a_fresh_interpreter_loads_nothing_heavy(run_fresh):
    code = f"""
import sys
from hifihr_cli.main import main
for words in {leaf_commands()!r}:
    assert main([*words, "--help"]) == 0
print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""
    ended = run_fresh("-c", code)
    assert ended.code == 0, ended.err
    assert ended.message == "[]"


def test_every_command_says_what_it_does_in_one_whole_line(run_cli):
    groups = {words[:-1] for words in leaf_commands() if words}
    for words in groups:
        lines = run_cli(*words, "--help").out.partition("Commands:\n")[2].splitlines()
        assert len(lines) == sum(leaf[:-1] == words for leaf in leaf_commands() if leaf)
        assert all(line.endswith(".") and not line.endswith("...") for line in lines), lines


def test_the_version(run_cli):
    from hifihr_core import __version__

    assert run_cli("--version").out == f"hifihr {__version__}\n"


def test_bare_names_show_help_and_count_as_usage_errors(run_cli):
    for words in ([], ["assets"]):
        ended = run_cli(*words)
        assert ended.code == 2
        assert ended.out == ""
        assert ended.err.startswith("Usage: hifihr")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["asets"], "error: hifihr: no such command 'asets'; did you mean 'assets'?; see `hifihr --help`"),
        (["xyz"], "error: hifihr: no such command 'xyz'; see `hifihr --help`"),
        (
            ["assets", "lst"],
            "error: hifihr assets: no such command 'lst'; did you mean 'list'?; see `hifihr assets --help`",
        ),
        (["--versoin"], "error: hifihr: no such option --versoin; did you mean --version?; see `hifihr --help`"),
        (
            ["assets", "list", "--jsn"],
            "error: hifihr assets list: no such option --jsn; did you mean --json?; see `hifihr assets list --help`",
        ),
        (["assets", "show"], "error: hifihr assets show: missing argument 'ID'; see `hifihr assets show --help`"),
        (["assets", "list", "--json=1"], "error: hifihr: option '--json' does not take a value; see `hifihr --help`"),
        (["assets", "list", "more"], "error: hifihr assets list: got unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_one_line_with_the_nearest_name(run_cli, words, message):
    ended = run_cli(*words)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith(message)
    assert ended.err.count("\n") == 1


@pytest.fixture
def raising(monkeypatch):
    """Return ``raising(error)``, which makes `hifihr assets list` raise it."""

    def plant(error):
        def fail():
            raise error

        monkeypatch.setattr("hifihr_core.assets.store.cache_home", fail)

    return plant


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (FindingsError("no hand found"), 1, "error: no hand found"),
        (ConfigError("a: b"), 2, "error: a: b"),
        (DataError("a: b"), 3, "error: a: b"),
        (AssetError("two\nlines"), 3, "error: two lines"),
        (UnsafePickleError("a: b"), 3, "error: a: b"),
        (DeviceError("a: b"), 5, "error: a: b"),
        (MemoryError(), 1, "error: out of memory; use smaller batches, fewer workers or another machine"),
        (AssertionError(), 1, "error: AssertionError; this is a bug in hifihr; rerun with --debug for the traceback"),
        (KeyboardInterrupt(), 130, "error: interrupted; finished files were kept"),
        (OSError(errno.ENOSPC, "x", "/some/file"), 3, "error: /some/file: the disk is full; free some space or "),
        (PermissionError(errno.EACCES, "x", "/some/file"), 3, "error: /some/file: permission denied; "),
        (ZeroDivisionError("by zero"), 1, "error: ZeroDivisionError: by zero; this is a bug in hifihr; rerun with"),
    ],
)
def test_every_error_has_its_exit_code_and_its_line(run_cli, raising, error, code, message):
    raising(error)
    ended = run_cli("assets", "list")
    assert ended.code == code
    assert ended.err.startswith(message)
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("words", [["--debug", "assets", "list"], ["assets", "list", "--debug"]])
def test_a_traceback_only_with_debug(run_cli, raising, words):
    raising(DataError("a: b"))
    ended = run_cli(*words)
    assert ended.code == 3
    assert "Traceback (most recent call last)" in ended.err
    assert ended.message == "error: a: b"
    assert "Traceback" not in run_cli("assets", "list").err


def test_debug_after_two_dashes_is_an_argument(run_cli):
    ended = run_cli("assets", "show", "--", "--debug")
    assert ended.code == 3
    assert ended.err.startswith("error: asset: found '--debug', expected one of")
    assert "Traceback" not in ended.err


def test_json_is_one_document_on_stdout(run_cli):
    ended = run_cli("assets", "list", "--json")
    assert ended.code == 0
    assert ended.err == ""
    assert {"id", "licence", "state", "next"} <= set(json.loads(ended.out)[0])


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_ctrl_c_ends_with_130_and_one_line(tmp_path):
    code = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born deaf to it
from hifihr_cli import main
import hifihr_core.assets.store as store
def wait():
    print("waiting", flush=True)
    time.sleep(600)
store.cache_home = wait
sys.exit(main.main(["assets", "list"]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.startswith("error: interrupted")
    assert err.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="pipes as POSIX has them")
def test_a_vanished_reader_is_not_an_error(tmp_path):
    code = "from hifihr_cli.start import run; run()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "assets", "list", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert process.wait() == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_completion_knows_commands_and_assets(run_fresh):
    def complete(words, index):
        ended = run_fresh(
            "-c",
            "from hifihr_cli.start import run; run()",
            _HIFIHR_COMPLETE="complete_bash",
            COMP_WORDS=words,
            COMP_CWORD=str(index),
        )
        return ended.out.split()

    assert complete("hifihr as", 1) == ["assets"]
    assert set(complete("hifihr assets show mano", 3)) == {"mano-right", "mano-left"}


@pytest.fixture
def terminal():
    """Return ``terminal(*words, **environment) -> text``: what a person sees on a terminal of 100 columns."""
    pty = pytest.importorskip("pty")

    def look(*words, **variables):
        outer, inner = pty.openpty()
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        environment |= {"TERM": "xterm-256color", "COLUMNS": "100", **variables}
        process = subprocess.Popen(
            [sys.executable, "-c", "from hifihr_cli.start import run; run()", *words],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=environment,
        )
        os.close(inner)
        seen = b""
        try:
            while block := os.read(outer, 65536):
                seen += block
        except OSError:  # Linux ends a terminal whose other side is closed in this way
            pass
        process.wait()
        os.close(outer)
        return seen.decode()

    return look


@pytest.mark.parametrize("words", [["--help"], ["assets", "list"], ["assets", "show", "nothing"]])
def test_colour_on_a_terminal_and_none_where_it_is_not_wanted(terminal, words):
    assert "\x1b[" in terminal(*words)
    plain = terminal(*words, NO_COLOR="1")
    assert "\x1b[3" not in plain


def test_the_table_of_commands_leads_to_functions():
    assert list(build_app().commands) == list(COMMANDS)
    assert main_module.COMMANDS is COMMANDS
