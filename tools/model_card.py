"""Update the files in the model card: size and sha256 of every shipped weight file.

    python tools/model_card.py            # rewrite the block `files` of docs/cards/model_card.md
    python tools/model_card.py --check    # exit code 1 if it is out of date

The scores in the card are written by hand, from the pages that measured them.
"""

import argparse
import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CARD = ROOT / "docs" / "cards" / "model_card.md"
_BLOCK = re.compile(r"(?<=\nfiles:\n)(?:  .*\n)+")


def main() -> None:
    """Rewrite the block, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    text = CARD.read_text(encoding="utf-8")
    renewed = _BLOCK.sub(lambda _: files_block(), text)
    if not arguments.check:
        CARD.write_text(renewed, encoding="utf-8")
    elif renewed != text:
        sys.exit(f"{CARD.relative_to(ROOT)}: its files are out of date; run python tools/model_card.py")


def files_block() -> str:
    """Return the YAML lines of the weight files."""
    lines = []
    for path in sorted((ROOT / "hifihr_core").glob("*/data/*.safetensors")):
        content = path.read_bytes()
        lines += [
            f"  - path: {path.relative_to(ROOT).as_posix()}",
            f"    bytes: {len(content)}",
            f"    sha256: {hashlib.sha256(content).hexdigest()}",
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
