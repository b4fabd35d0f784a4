"""Links of documentation pages that lead out of `docs/`: the site does not hold their targets, so they become code."""

import re

_UPWARDS = re.compile(r"\[`?([^\]`]+)`?\]\(((?:\.\./)+)[^)]*\)")


def outside_as_code(markdown: str, page: str) -> str:
    """Return the page with links to files outside `docs/` as code; `page` is its path in `docs/`."""
    depth = page.count("/")

    def shown(match: re.Match[str]) -> str:
        return f"`{match[1]}`" if match[2].count("../") > depth else match[0]

    return _UPWARDS.sub(shown, markdown)
