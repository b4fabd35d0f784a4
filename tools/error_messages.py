"""All error messages of the package, read from its source: what happened, what was expected, what to do.

`rows` finds every ``raise SomeError("...")`` of a subclass of `HifihrError`; the documentation page
`reference/messages.md` is generated from them, so it always matches the code.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Error class -> exit code of the command line, as in `hifihr_core/errors.py`.
EXIT_CODES = {
    "FindingsError": 1,
    "ConfigError": 2,
    "BadParameter": 2,
    "DataError": 3,
    "AssetError": 3,
    "UnsafePickleError": 3,
    "DeviceError": 5,
}

#: Package folder -> heading on the page, in the order of the page.
ROOMS = {
    "hifihr_cli": "Options of commands",
    "photos": "Photos and given hands",
    "eyes": "Finding hands",
    "prediction": "Prediction",
    "exports": "Files of a prediction",
    "conversion": "Other hand models",
    "viewing": "The viewer",
    "video": "Clips and cameras",
    "assets": "Assets",
    "hands": "Hand models",
    "models": "Networks, checkpoints and ONNX",
    "lifting": "The lifter and the hand network",
    "weight_files": "Weight files",
    "sources": "Datasets",
    "shards": "Shards",
    "stream": "Reading shards in training",
    "sample_batches": "Batches of samples",
    "synthesis": "Synthetic data",
    "config": "Settings",
    "losses": "Losses",
    "metrics": "Metrics",
    "training": "Training",
    "evaluation": "Scores",
    "rendering": "Rendering",
    "machine": "Devices",
    "outside": "Damaged and hostile files",
    "files": "Reading and writing files",
    "folder_lock": "Folders in use",
    "importing": "Imports",
}


@dataclass(frozen=True)
class Message:
    """One error: where it is raised, its class, and its template with variable parts as names in braces."""

    room: str
    error: str
    template: str

    @property
    def happened(self) -> str:
        """The beginning of the message: the thing and what was found."""
        return re.split(r"[,;:] expected ", self.template.partition("; ")[0] or self.template)[0]

    @property
    def expected(self) -> str:
        """What was expected; empty if the message does not state it."""
        found = re.search(r"[,;:] expected (.*?)(?:; |$)", self.template)
        return found[1] if found else ""

    @property
    def remedy(self) -> str:
        """What to do; empty if the message does not state it."""
        parts = [part for part in self.template.split("; ")[1:] if not part.startswith("expected ")]
        return "; ".join(parts)


def rows(package: Path = ROOT) -> Iterator[Message]:
    """Yield the messages of the package, folder by folder, without duplicates."""
    seen = set()
    for path in sorted([*(package / "hifihr_core").rglob("*.py"), *(package / "hifihr_cli").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            message = _message(node, _room(path.relative_to(package)))
            if message is not None and message not in seen:
                seen.add(message)
                yield message


def page(found: Sequence[Message]) -> str:
    """Return a page with some messages: a table per folder."""
    lines = [
        "# Error messages",
        "",
        "Generated from the program. A word in italics stands for a name or a number. The code is the exit code of the",
        "command line; `hifihr --debug COMMAND ...` shows where an error came from.",
    ]
    for room, title in ROOMS.items():
        here = [message for message in found if message.room == room]
        if here:
            lines += ["", f"## {title}", "", "| message | expected | remedy | code |", "|---|---|---|---|"]
            lines += [_line(message) for message in sorted(here, key=lambda one: one.template.lower())]
    return "\n".join(lines) + "\n"


def _line(message: Message) -> str:
    cells = (message.happened, message.expected, message.remedy)
    return f"| {' | '.join(_cell(cell) for cell in cells)} | {EXIT_CODES[message.error]} |"


def _cell(text: str) -> str:
    """Return a text for a table, with placeholders in italics, since Markdown interprets braces as attributes."""
    return re.sub(r"\{(.*?)\}", r"*\1*", text.replace("|", "\\|").replace("<", "&lt;"))


def _room(path: Path) -> str:
    return "hifihr_cli" if path.parts[0] == "hifihr_cli" else path.parts[1].removesuffix(".py")


def _message(node: ast.AST, room: str) -> Message | None:
    if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
        return None
    function = node.exc.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name not in EXIT_CODES:
        return None
    template = _template(node.exc.args[0])
    # A message composed by another function has no text here.
    return Message(room, name, template) if re.search(r"[a-z]{3}", re.sub(r"\{.*?\}", "", template)) else None


def _template(node: ast.expr) -> str:
    """Return the text of a string or f-string, with ``{name}`` for every value."""
    if isinstance(node, ast.Constant):
        return " ".join(str(node.value).split())
    if isinstance(node, ast.JoinedStr):
        return " ".join("".join(_part(part) for part in node.values).split())
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _template(node.left) + _template(node.right)
    return ""


def _part(part: ast.expr) -> str:
    if not isinstance(part, ast.FormattedValue):
        return str(part.value) if isinstance(part, ast.Constant) else "{...}"
    if isinstance(part.value, ast.Subscript) and isinstance(part.value.value, ast.Constant):
        return f"({part.value.value.value})"  # the plural of the word before it
    words = re.findall(r"[A-Za-z_]+", ast.unparse(part.value))
    plain = [word for word in words if word not in _NOT_NAMES and not word.startswith("__")]
    shown = plain[-1].strip("_").lower() if plain else "name" if "name" in words else "..."
    return f"{{{shown}}}"


#: Words in an expression that do not name anything.
_NOT_NAMES = frozenset(
    [
        "self",
        "int",
        "float",
        "str",
        "len",
        "sorted",
        "repr",
        "type",
        "name",
        "join",
        "shape",
        "s",
        "if",
        "else",
        "in",
        "for",
        "or",
        "and",
        "not",
        "is",
        "None",
        "max",
        "min",
        "sum",
        "size",
        "value",
        "values",
        "keys",
        "i",
        "d",
        "f",
    ]
)


if __name__ == "__main__":
    print(page(list(rows())))
