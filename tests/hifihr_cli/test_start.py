"""Ctrl-C and SIGTERM at the first and the last moment of a command."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

#: A process that sends itself a signal when a module is imported, or when the interpreter ends.
SENDER = """
import atexit, os, signal, sys, time, weakref

class Send:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
{sends}
signal.signal(signal.{sent}, signal.{handler})
sys.meta_path.insert(0, Send())
if not {module!r}:
    atexit.register(os.kill, os.getpid(), signal.{sent})
from hifihr_cli.start import run
sys.argv = ["hifihr", *{words!r}]
run()
"""

SENDS = """
            os.kill(os.getpid(), signal.{sent})
"""

#: What modules in C do when a signal arrives while they are made ready. The core imports `platformdirs` while it works.
SWALLOWED = """
            try:
                os.kill(os.getpid(), signal.{sent})
                sum(range(10000))
            except KeyboardInterrupt:
                raise ImportError("initialization failed")

"""


def send_itself(tmp_path, module, words, *, sent="SIGINT", handler=None, sends=SENDS):
    """Run a command line; the signal comes while `module` is imported, or at the end where it has no name."""
    return run(tmp_path, "-c", sender(module, words, sent=sent, handler=handler, sends=sends))


def sender(module, words, *, sent, handler=None, sends=SENDS):
    handler = handler or {"SIGINT": "default_int_handler", "SIGTERM": "SIG_DFL"}[sent]
    return SENDER.format(module=module, words=words, sent=sent, handler=handler, sends=sends.format(sent=sent))


def run(tmp_path, *words):
    variables = {name: value for name, value in os.environ.items() if name != "HIFIHR_HOME"}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=tmp_path, env=variables, timeout=600
    )


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    "module", ["typer", "hifihr_cli.errors", "typer.main", "hifihr_cli.assets", "hifihr_core.assets", ""]
)
def test_a_signal_at_any_moment_is_one_line_and_130(tmp_path, module, sent):
    ended = send_itself(tmp_path, module, ["assets", "list"], sent=sent)
    assert ended.returncode == 130
    assert ended.stderr.startswith("error: interrupted")
    assert ended.stderr.count("\n") == 1
    assert bool(ended.stdout) == (module == "")  # at the end, everything is printed


@pytest.mark.parametrize("module", ["torch", "cv2", "hifihr_core.prediction.predictor"])
def test_a_signal_during_the_imports_of_a_command_leaves_nothing(tmp_path, module):
    (tmp_path / "photo.jpg").write_bytes(b"")
    ended = send_itself(tmp_path, module, ["predict", "photo.jpg", "--out", "out"])
    assert ended.returncode == 130
    assert ended.stderr.startswith("error: interrupted")
    assert ended.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


#: What modules in C++ do.
ABORTED = SWALLOWED.replace('raise ImportError("initialization failed")', "os.abort()")


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("words", [["export", "landmarks"], ["shards", "verify", "."], ["convert", "a.json"]])
def test_no_module_is_interrupted_while_a_command_imports_it(tmp_path, words, sent):
    ended = send_itself(tmp_path, "numpy", words, sent=sent, sends=ABORTED)
    assert (ended.returncode, ended.stderr) == (130, "error: interrupted\n")


def test_a_signal_that_a_module_turns_into_another_error_is_an_interruption_all_the_same(tmp_path):
    ended = send_itself(tmp_path, "platformdirs", ["assets", "list"], sent="SIGTERM", sends=SWALLOWED)
    assert ended.returncode == 130
    assert ended.stderr.startswith("error: interrupted")
    assert ended.stderr.count("\n") == 1


#: What the collector of garbage may do when a signal arrives: Python drops whatever a callback raises.
DROPPED = """
            class Thing: pass
            thing = Thing()
            reference = weakref.ref(thing, lambda gone: (os.kill(os.getpid(), signal.{sent}), sum(range(10000))))
            del thing

"""


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
def test_a_signal_that_is_dropped_in_a_callback_comes_again(tmp_path, sent):
    ended = send_itself(tmp_path, "platformdirs", ["assets", "list"], sent=sent, sends=DROPPED)
    assert ended.returncode == 130
    assert ended.stderr.startswith("error: interrupted")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
def test_a_signal_that_is_dropped_ends_a_wait_too(tmp_path, sent):
    waits = DROPPED.replace("            del thing\n", "            del thing\n            time.sleep(3600)\n")
    ended = send_itself(tmp_path, "platformdirs", ["assets", "list"], sent=sent, sends=waits)
    assert (ended.returncode, ended.stderr.startswith("error: interrupted")) == (130, True)


#: A signal that arrives while the text of a dataclass or a named tuple is run.
IN_A_TEXT = """
            exec("os.kill(os.getpid(), signal.{sent}); sum(range(10000))", globals())

"""


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
def test_a_signal_inside_an_exec_ends_a_module_with_130_too(tmp_path, sent):
    (tmp_path / "sender.py").write_text(sender("platformdirs", ["assets", "list"], sent=sent, sends=IN_A_TEXT))
    ended = run(tmp_path, "-m", "sender")
    assert ended.returncode == 130
    assert ended.stderr.startswith("error: interrupted")
    assert ended.stderr.count("\n") == 1


def test_a_background_job_of_a_shell_keeps_ignoring_ctrl_c(tmp_path):
    ended = send_itself(tmp_path, "typer", ["--version"], handler="SIG_IGN")
    assert (ended.returncode, ended.stderr) == (0, "")
