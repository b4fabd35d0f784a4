"""`hifihr doctor`: what works on this machine, what is missing, and the command that fixes it."""

import sys
from itertools import groupby
from typing import TYPE_CHECKING

from hifihr_cli.console import emit_json, emit_table, say
from hifihr_cli.params import Json

if TYPE_CHECKING:
    from hifihr_core.doctor import Finding

STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def doctor(json: Json = False) -> None:
    """Check Python, devices, renderer, models, assets, data and folders, and print how to fix what is wrong.

    Exits with code 1 if something that hifihr needs does not work; a missing optional part is only a note.
    """
    from dataclasses import asdict

    from hifihr_core.doctor import examine
    from hifihr_core.errors import FindingsError

    findings = list(examine())
    if json:
        emit_json({"findings": [asdict(finding) for finding in findings]})
    elif sys.stdout.isatty():
        _print_groups(findings)
    else:
        rows = [(f.group, f.name, f.state, f.found, f.remedy) for f in findings]
        emit_table(("group", "name", "state", "found", "what to do"), rows)
    problems = [finding for finding in findings if finding.state == "problem"]
    if problems:
        names = ", ".join(f"{finding.group} {finding.name}" for finding in problems)
        raise FindingsError(
            f"{len(problems)} of {len(findings)} checks failed: {names}; the report above says what to do"
        )
    say(f"all {len(findings)} checks passed", kind="done")


def _print_groups(findings: "list[Finding]") -> None:
    """Print one heading per group and one line per finding, with the remedy below it."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    width = max(len(finding.name) for finding in findings)
    for group, members in groupby(findings, key=lambda finding: finding.group):
        console.print(Text(group, style="bold"))
        for finding in members:
            state = (f"  {finding.state:<8}", STYLES[finding.state])
            line = Text.assemble(state, (f"{finding.name:<{width}}  ", "cyan"), finding.found)
            console.print(line, soft_wrap=True)
            if finding.remedy:
                console.print(Text(f"{'':10}{finding.remedy}", style="dim"), soft_wrap=True)
