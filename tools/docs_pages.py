"""MkDocs hooks: pages generated from the code, and links to files outside `docs/`.

`reference/command_line.md` comes from the Typer commands, `reference/settings.md` from the settings tree and
`reference/messages.md` from the errors that the source raises, so they always match the code.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# MkDocs finds modules beside this file only while loading it.
import error_messages
from docs_links import outside_as_code
from mkdocs.structure.files import File, Files
from pydantic_core import PydanticUndefined


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    pages: dict[str, Callable[[], str]] = {"command_line": command_line, "settings": settings, "messages": messages}
    for path, make in ((f"reference/{name}.md", make) for name, make in pages.items()):
        files.append(File.generated(config, path, content=make()))
    return files


def messages() -> str:
    """Return the page with all error messages."""
    return error_messages.page(list(error_messages.rows()))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Show links to files outside `docs/` as code."""
    return outside_as_code(markdown, page.file.src_uri)


def command_line() -> str:
    """Return the page with all commands: what they do, their arguments and options, and examples."""
    from hifihr_cli.main import build_app

    root = build_app()
    parts = ["# Command line", "", "Generated from the program. `-h` or `--help` shows the same in a terminal.", ""]
    for name in root.commands:
        parts += _command(f"hifihr {name}", root.commands[name], level=2)
    return "\n".join(parts)


def _command(name: str, command: Any, *, level: int) -> Iterator[str]:
    yield f"{'#' * level} {name}\n"
    yield inspect.cleandoc(command.help or "").replace("\b\n", "").replace("\f", "") + "\n"
    subcommands: Mapping[str, Any] = getattr(command, "commands", {})
    if not subcommands:
        yield from _options(command)
    if command.epilog:
        yield "```sh\n" + textwrap.dedent(command.epilog.partition("Examples:\n")[2]) + "\n```\n"
    for sub in subcommands:
        yield from _command(f"{name} {sub}", subcommands[sub], level=level + 1)


def _options(command: Any) -> Iterator[str]:
    visible = [one for one in command.params if not getattr(one, "hidden", False)]
    if not visible:
        return
    yield "| option | default | meaning |\n|---|---|---|"
    for one in visible:
        spelling = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
        if one.param_type_name == "argument":
            spelling = f"`{one.metavar or one.name.upper()}`"
        yield f"| {spelling} | {_default(one.default)} | {_cell(getattr(one, 'help', None) or '')} |"
    yield ""


def _default(value: Any) -> str:
    if value is None or callable(value) or value is False or "Sentinel" in type(value).__name__:
        return ""
    return f"`{getattr(value, 'value', value)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def settings() -> str:
    """Return the page with all settings: name, default and meaning."""
    from hifihr_core.config.tree import RunSettings

    intro = """
        # Settings

        Every run is one tree of settings. Layers, later ones win: defaults, presets and files (`--config`, any number),
        `--set section.name=value`, options of the command. `--print-config` prints the result; each run saves it as
        `config.toml`. Lengths are metres or pixels (`_px`), times are minutes or seconds as named.
    """
    return "\n".join([textwrap.dedent(intro), *_section("", RunSettings)])


def _section(path: str, model: Any) -> Iterator[str]:
    nested = {name: field for name, field in model.model_fields.items() if hasattr(field.annotation, "model_fields")}
    plain = {name: field for name, field in model.model_fields.items() if name not in nested}
    if plain:
        yield f"\n## {path or 'top level'}\n\n{inspect.cleandoc(model.__doc__ or '')}\n"
        yield "| setting | default | meaning |\n|---|---|---|"
        for name, field in plain.items():
            default = field.get_default(call_default_factory=True)
            shown = "" if default is PydanticUndefined else f"`{_cell(repr(default))}`"
            yield f"| `{f'{path}.' if path else ''}{name}` | {shown} | {_cell(field.description or '')} |"
    for name, field in nested.items():
        yield from _section(f"{path}.{name}" if path else name, field.annotation)
