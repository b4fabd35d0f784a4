"""The console script `hifihr`: Ctrl-C and SIGTERM end it with exit code 130 at any moment.

Nothing heavy is imported at module level: until the handlers are set, Ctrl-C shows Python's own traceback.
"""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

_INTERRUPTED = 130
_is_interrupted = False
#: What Ctrl-C sends, and what `kill`, Slurm and containers send.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: Seconds between an interruption that was dropped and its repetition.
_SOON_S = 0.05


def leave_at_once(number: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal during imports or interpreter exit, when there is nothing to save or clean up.

    An exception could be swallowed then, or leave a module half imported.
    """
    os.write(2, b"error: interrupted\n")  # `print` may be in the middle of a line
    os._exit(_INTERRUPTED)


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal while a command runs: partial work is cleaned up on the way out."""
    global _is_interrupted
    if _is_importing(frame):
        leave_at_once(number, frame)
    _is_interrupted = True
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    """Return whether a command is still importing what it needs: modules in C may abort at an exception there."""
    outermost = None
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            outermost = frame
        frame = frame.f_back
    importer = None if outermost is None else outermost.f_back
    return importer is not None and str(importer.f_globals.get("__name__")).startswith("hifihr_cli")


def is_interrupted() -> bool:
    """Return whether a signal ended the command; C extensions may have replaced the exception with their own."""
    return _is_interrupted


def interrupt_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Repeat an interruption that came inside a `__del__` or the callback of a weak reference, where it is dropped."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    import threading

    number = next((one for one in _SIGNALS if signal.getsignal(one) is not signal.SIG_IGN), signal.SIGINT)
    threading.Timer(_SOON_S, _send_to_main_thread, [number]).start()  # once the main thread has left that place


def _send_to_main_thread(number: signal.Signals) -> None:
    """Send a signal that also ends a wait in the operating system, which `interrupt_main` does not."""
    import _thread
    import threading

    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        _thread.interrupt_main(number)


def run() -> NoReturn:
    """Run the command line of this process."""
    # A parent may have set a signal to be ignored, as shells do for background jobs.
    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, leave_at_once)
    from hifihr_cli.main import main, prepare_streams

    prepare_streams()
    sys.unraisablehook = interrupt_again
    try:
        for number in heeded:
            signal.signal(number, interrupt)
        code = main(sys.argv[1:])
        for number in heeded:
            signal.signal(number, leave_at_once)
    except KeyboardInterrupt:  # between a command and its report
        leave_at_once(signal.SIGINT, None)
    # Under `python -m`, Python ends with SIGINT instead of this code if an interruption came during the last `exec` of
    # a string (which is how dataclasses are made); after this line, that `exec` is no longer the last.
    exec("")
    sys.exit(code)
