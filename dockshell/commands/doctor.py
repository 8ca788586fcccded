"""`dockshell doctor`: what is wrong or dangerous here, and the command that mends it."""

from __future__ import annotations

from dockshell.commands.looking import place, target, voice
from dockshell.commands.ssh_config import program
from dockshell.commands.waiting import told_of
from dockshell.doctor import examine
from dockshell.doctor.finding import is_bad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dockshell.doctor.finding import Finding
    from dockshell.options import Arguments

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Prints what was found → 1 where anything is wrong or dangerous, else 0. Raises what examine() does."""
    meant = target(arguments) if arguments.words else None
    with told_of("still looking", voice(arguments)):
        findings = examine(place(arguments), meant, program())
        found = _as_json(findings) if arguments.on("json") else _for_people(findings)
    return int(any(map(is_bad, found)))


def _for_people(findings: Iterable[Finding]) -> list[Finding]:
    from dockshell.output.findings import Report

    report, found = Report(), []
    for each in findings:
        report.add(each.subject, each.grade, each.what, each.remedy)
        found.append(each)
    return found


def _as_json(findings: Iterable[Finding]) -> list[Finding]:
    """A list with an object for each: subject, grade, what, remedy."""
    import json

    found = list(findings)
    print(json.dumps([vars(each) for each in found], indent=2))
    return found
