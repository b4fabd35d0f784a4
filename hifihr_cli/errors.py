"""Reports of errors: one line on stderr, and an exit code."""

import os
import sys
from typing import Any

import typer

from hifihr_cli.console import say
from hifihr_cli.start import is_interrupted

USAGE, DATA, INTERRUPTED = 2, 3, 130


def report(error: BaseException) -> int:
    """Write one line about `error` to stderr and return its exit code.

    An unexpected exception is reported as a bug, with a hint on how to see its traceback.
    """
    from hifihr_core.errors import HifihrError
    from hifihr_core.files import describe_os_error

    if isinstance(error, KeyboardInterrupt | typer.Abort) or is_interrupted():
        say("interrupted; finished files were kept", kind="error")
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # The reader of stdout (head, less) has gone: this is not our error, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, typer.TyperException):
        return _report_usage(error)
    if isinstance(error, HifihrError):
        say(_one_line(str(error)), kind="error")
        return error.exit_code
    if isinstance(error, OSError):
        say(_one_line(describe_os_error(error)), kind="error")
        return DATA
    text = _one_line(str(error))
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, on a GPU
        reason = f" ({text})" if text else ""
        say(f"out of memory{reason}; use smaller batches, fewer workers or another machine", kind="error")
        return 1
    found = type(error).__name__ + (f": {text}" if text else "")
    say(f"{found}; this is a bug in hifihr; rerun with --debug for the traceback", kind="error")
    return 1


def _report_usage(error: Any) -> int:
    """Report a usage error in one line, with the nearest valid name; a group without a subcommand prints its help."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)
        return USAGE
    message = error.format_message().rstrip(".")
    if name := getattr(error, "option_name", None):
        message = _about_option(name, message, context)
    message = message.replace(". Did you mean", "; did you mean")
    where = context.command_path if context else "hifihr"
    say(_one_line(f"{where}: {message[:1].lower()}{message[1:]}; see `{where} --help`"), kind="error")
    return USAGE


def _about_option(name: str, message: str, context: Any) -> str:
    """Return the message; if it is about an unknown option, with the nearest option of this command."""
    if not message.startswith("No such option"):
        return message
    known = [word for param in context.command.get_params(context) for word in (*param.opts, *param.secondary_opts)]
    from hifihr_core.lookup import did_you_mean

    return f"no such option {name}{did_you_mean(name, [word for word in known if word.startswith('-')])}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
