"""The page of error messages, and how docstrings name errors."""

import ast
import builtins
import inspect
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from hifihr_core import errors

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def messages(load_tool) -> SimpleNamespace:
    return load_tool("error_messages.py")


def test_every_kind_of_error_has_its_exit_code(messages: SimpleNamespace) -> None:
    kinds = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}
    del kinds["HifihrError"]
    assert {name: kind.exit_code for name, kind in kinds.items()} | {"BadParameter": 2} == messages.EXIT_CODES


def test_every_message_is_on_the_page(messages: SimpleNamespace) -> None:
    found = list(messages.rows())
    assert len(found) > 300
    assert {message.room for message in found} <= set(messages.ROOMS)
    page = messages.page(found)
    assert page.count("\n| ") == len(found) + sum(f"\n## {title}\n" in page for title in messages.ROOMS.values())


def test_a_message_falls_into_its_parts(messages: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "hifihr_cli").mkdir()
    room = tmp_path / "hifihr_core" / "shards"
    room.mkdir(parents=True)
    (room / "a.py").write_text(
        "def f(path, count):\n"
        '    raise DataError(f"{path}: {count:,} entries, expected {self.total}; fetch it again; " "or use --force")\n'
        'def g(error):\n    raise ValueError("a wrong call")\n'
        "def h(error):\n    raise DataError(describe(error))\n",
        encoding="utf-8",
    )
    (found,) = messages.rows(tmp_path)
    assert (found.room, found.error) == ("shards", "DataError")
    assert found.happened == "{path}: {count} entries"
    assert found.expected == "{total}"
    assert found.remedy == "fetch it again; or use --force"


#: Messages on the page for users that come from other programs.
ELSEWHERE = {"operator torchvision::nms does not exist"}


def texts_of_the_package() -> str:
    """Return all strings in the source, one per line, with the ellipsis for what varies."""
    lines = []
    for path in (*(ROOT / "hifihr_core").rglob("*.py"), *(ROOT / "hifihr_cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                lines.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                lines.append(node.value)
    return "\n".join(lines)


def test_messages_quoted_for_users_are_those_of_the_program() -> None:
    """The first column of the page for users quotes messages in backticks, with an ellipsis for what varies."""
    page = (ROOT / "docs" / "guides" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = [
        one for line in page.splitlines() if line.startswith("|") for one in re.findall(r"`(.+?)`", line.split("|")[1])
    ]
    assert len(quoted) > 12
    texts = texts_of_the_package()
    pieces = [(one, piece) for one in quoted if one not in ELSEWHERE for piece in one.split("…")]
    assert [one for one, piece in pieces if piece.strip() not in texts] == []


@cache
def docstrings() -> list[tuple[str, str]]:
    found = []
    for path in sorted([*(ROOT / "hifihr_core").rglob("*.py"), *(ROOT / "hifihr_cli").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    found.append((f"{path.relative_to(ROOT)}:{getattr(node, 'name', '')}", text))
    return found


def test_errors_are_named_in_one_spelling() -> None:
    """`Raises: SomeError if ...`; never `Raises SomeError`, `:raises`, or a separate section."""
    other = re.compile(r"\bRaises [A-Z`]|:raises|Raises:\s*\n\s+\w+:|Throws")
    assert [place for place, text in docstrings() if other.search(text)] == []


def test_an_error_that_is_named_exists() -> None:
    known = {*vars(errors), *vars(builtins), "LinAlgError"}
    named = {
        (place, name)
        for place, text in docstrings()
        for sentence in re.findall(r"Raises: (.*?)(?:\.\s|\.$|$)", text, re.DOTALL)
        for name in re.findall(r"\b[A-Z]\w*Error\b", sentence)
    }
    assert len(named) > 250
    assert sorted(one for one in named if one[1] not in known) == []
