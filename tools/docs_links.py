"""Links in documentation pages to files outside `docs/`: the site lacks their targets, so they are shown as code."""

import re

_UPWARDS = re.compile(r"\[`?([^\]`]+)`?\]\(((?:\.\./)+)[^)]*\)")


def outside_as_code(markdown: str, page: str) -> str:
    """Return the page with links to files outside `docs/` shown as code; `page` is its path in `docs/`."""
    depth = page.count("/")

    def shown(match: re.Match[str]) -> str:
        return f"`{match[1]}`" if match[2].count("../") > depth else match[0]

    return _UPWARDS.sub(shown, markdown)
