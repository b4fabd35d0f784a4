"""The documentation: every command line in it parses, every link and picture exists, every page is in the index."""

import re
import shlex
from pathlib import Path

import pytest

from hifihr_cli.examples import EXAMPLES
from hifihr_cli.main import COMMANDS, build_app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: Pages that the site makes from the code.
GENERATED = {"reference/command_line.md", "reference/settings.md", "reference/messages.md"}


def shell_lines(text: str) -> list[str]:
    """Return the lines of the shell blocks of a page, continued lines joined."""
    blocks = re.findall(r"```(?:sh|bash|console)?\n(.*?)```", text, re.DOTALL)
    return [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def commands_of(text: str) -> list[list[str]]:
    """Return the words after every `hifihr` that a page asks a reader to type."""
    found = []
    lines = shell_lines(text) + re.findall(r"`(hifihr [^`\n]+)`", text)
    for line in lines:
        for part in re.split(r"\s(?:&&|\|\|?|;)\s", line.partition("  #")[0].partition(" # ")[0]):
            match = re.search(r"(?:^|\s|/)(?:-m hifihr_cli|hifihr)\s+(.*)", part)
            if match and not part.startswith("pip"):
                found.append(shlex.split(re.sub(r"\s[<>]\s*\S+", "", match[1])))
    return found


def check(words: list[str]) -> None:
    """Assert that a command and its options exist, without running anything."""
    command = build_app()
    words = [word for word in words if word != "--debug"]
    while hasattr(command, "commands"):
        assert words, "a group without its command"
        name, *words = words
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
    if any(word in ("--help", "-h") for word in words):
        return
    known = {spelling for one in command.params for spelling in (*one.opts, *one.secondary_opts)}
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"no option {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_exist(page: Path) -> None:
    for words in commands_of(page.read_text(encoding="utf-8")):
        if words and re.fullmatch(r"[a-z]+", words[0]):
            check(words)


def test_commands_are_found_in_pages() -> None:
    found = commands_of((ROOT / "docs/guides/first_photo.md").read_text(encoding="utf-8"))
    assert ["predict", "photo.jpg"] in found
    with pytest.raises(AssertionError, match="no option --refinement"):
        check(["predict", "a.jpg", "--refinement"])


@pytest.mark.parametrize("command", EXAMPLES)
def test_examples_of_the_help_exist(command: str, run_cli) -> None:
    assert command in COMMANDS
    shown = run_cli(command, "--help").out
    for words, _ in EXAMPLES[command]:
        assert words.split()[0] == command
        check(shlex.split(words))
        assert f"hifihr {words} " in shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "#", "mailto:")):
            continue
        path = (page.parent / target.partition("#")[0]).resolve()
        generated = path.is_relative_to(ROOT / "docs") and path.relative_to(ROOT / "docs").as_posix() in GENERATED
        assert path.exists() or generated, f"{page.name}: {target}"


def test_every_page_is_in_the_index() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"([\w/]+\.md)", text))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages | GENERATED == listed


def test_only_links_out_of_the_documentation_become_code(load_tool) -> None:
    module = load_tool("docs_links.py")
    text = "[files](../files.md#mano), [`tool`](../../tools/demo.py) and [one](sheet.md)"
    expected = "[files](../files.md#mano), `tool` and [one](sheet.md)"
    assert module.outside_as_code(text, "guides/blender.md") == expected
    assert module.outside_as_code("[tool](../tools/demo.py)", "files.md") == "`tool`"


def test_the_readme_is_short() -> None:
    words = (ROOT / "README.md").read_text(encoding="utf-8").split()
    assert len(words) < 900  # marks of tables and code included


def linked(page: Path) -> set[Path]:
    """Return the pages that a page links to."""
    if not page.exists():  # a generated page
        return set()
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s#]+\.md)[^)]*\)", text)
    return {(page.parent / target).resolve() for target in targets if "://" not in target}


def test_every_page_is_at_most_two_clicks_from_the_index() -> None:
    docs = ROOT / "docs"
    first = linked(docs / "index.md")
    reached = {docs / "index.md", *first, *(page for near in first for page in linked(near))}
    pages = {*docs.rglob("*.md"), *(docs / name for name in GENERATED)}
    assert sorted(page.relative_to(docs).as_posix() for page in pages - reached) == []


def test_every_picture_is_shown_somewhere() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    pictures = [path.name for path in (ROOT / "docs" / "images").iterdir()]
    assert [name for name in pictures if name not in text] == []


def test_every_test_named_in_the_page_on_robustness_exists() -> None:
    text = (ROOT / "docs" / "benchmarks" / "robustness.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 20
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"
