"""The root app: a table of lazily loaded commands, and the one place where errors become exit codes.

A command is one row of `COMMANDS` and one module. The module defines a function with `Annotated` options (see
`params.py`) or, for a group of subcommands, a `typer.Typer`; it imports `hifihr_core` only inside functions, so that
`--help` never has to wait for torch.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import MarkupMode, TyperGroup
from typer.main import get_command

from hifihr_cli.errors import INTERRUPTED, report
from hifihr_cli.examples import epilog_of

#: Narrower terminals get plain help: frames would leave no room for option names.
LEAST_FRAMED = 80

#: Name on the command line -> "module:attribute", in help order: the main commands first, housekeeping last.
COMMANDS: dict[str, str] = {
    "prepare": "hifihr_cli.prepare:prepare",
    "pretrain": "hifihr_cli.pretrain:pretrain",
    "train": "hifihr_cli.train:train",
    "eval": "hifihr_cli.eval:evaluate",
    "predict": "hifihr_cli.predict:predict",
    "live": "hifihr_cli.live:live",
    "convert": "hifihr_cli.convert:convert",
    "view": "hifihr_cli.view:view",
    "export": "hifihr_cli.export:export",
    "shards": "hifihr_cli.shards:shards",
    "assets": "hifihr_cli.assets:app",
    "doctor": "hifihr_cli.doctor:doctor",
}


class LazyCommands(Mapping[str, Any]):
    """The commands of a table, by name; each is imported when it is looked up."""

    def __init__(self, table: Mapping[str, str], markup: MarkupMode) -> None:
        self._table, self._markup = table, markup

    def __getitem__(self, name: str) -> Any:
        """Return the command `name`, ready to run."""
        from hifihr_core.lookup import load_attribute

        target = load_attribute(self._table[name])
        if not isinstance(target, typer.Typer):
            function, target = target, typer.Typer()
            target.command(name)(function)
        target._add_completion = False  # only the root installs completion
        target.rich_markup_mode = self._markup
        command = get_command(target)
        command.name = name
        command.epilog = epilog_of(name)
        return command

    def __contains__(self, name: object) -> bool:
        """Return whether the table has `name`, without importing it."""
        return name in self._table

    def __iter__(self) -> Iterator[str]:
        """Iterate over command names without importing anything."""
        return iter(self._table)

    def __len__(self) -> int:
        """Return the number of commands."""
        return len(self._table)


class RootGroup(TyperGroup):
    """The root command, with the subcommands in `COMMANDS`."""

    def __init__(self, **options: Any) -> None:
        options["commands"] = LazyCommands(COMMANDS, options.get("rich_markup_mode"))
        super().__init__(**options)


def _version(asked: bool) -> None:
    if asked:
        from hifihr_core import __version__

        typer.echo(f"hifihr {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.", show_default=False)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the full traceback of errors.", show_default=False)
    ] = False,
) -> None:
    """From one photo of a hand to an accurate, posed, textured 3D hand.

    Data goes to stdout, messages go to stderr. Exit codes: 0 done, 1 no hand found or a check failed, 2 wrong usage or
    settings, 3 data or asset missing or broken, 5 device not available, 130 interrupted.
    """


def build_app() -> Any:
    """Return the root command. Its help is framed and coloured on a terminal, plain on a narrow one and elsewhere."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 140
    framed = sys.stdout.isatty() and columns >= LEAST_FRAMED
    markup: MarkupMode = "rich" if framed else None
    app = typer.Typer(
        cls=RootGroup,
        rich_markup_mode=markup,
        no_args_is_help=True,
        context_settings={
            "help_option_names": ["-h", "--help"],
            "terminal_width": None if framed else columns,
            "max_content_width": 120,
        },
    )
    app.callback()(root)
    return get_command(app)


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error becomes one line on stderr.

    `--debug` may appear anywhere before a `--`.
    """
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    debug = "--debug" in words[:end]
    words = [word for i, word in enumerate(words) if word != "--debug" or i > end]
    try:
        result = build_app().main(words, prog_name="hifihr", standalone_mode=False)
        sys.stdout.flush()
        if result == INTERRUPTED:  # typer turns Ctrl-C into its own exit code
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except SystemExit as ended:
        # typer raises this after completion, and when the reader of stdout (head, less) has gone, which is not an error
        reader_left = type(sys.stdout).__name__ == "PacifyFlushWrapper"
        return 0 if reader_left or not isinstance(ended.code, int) else ended.code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the outermost handler: each becomes an exit code
        if debug:
            import traceback

            traceback.print_exc()
        return report(error)


def prepare_streams() -> None:
    """Make stdout and stderr ready for any text, even if the process was started without them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open until the process ends
        elif isinstance(stream, TextIOWrapper):
            # File names may contain any character, and invalid bytes; Windows code pages lack most of them.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
