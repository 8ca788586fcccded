"""`dockshell exec` in many containers: its words → a fleet."""

from __future__ import annotations

import os

from dockshell.commands.entry import command, way
from dockshell.commands.looking import aimed
from dockshell.errors import UsageError, printable
from dockshell.fleet import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dockshell.fleet.running import Report
    from dockshell.model import Container, Target
    from dockshell.options import Arguments

__all__ = ["run"]

_JOBS = 8
# What is for one container, and why.
_ALONE = {
    "tty": "a terminal shows one",
    "interactive": "input is for one: many at once get none",
    "record": "a recording is of one",
    "record_input": "a recording is of one",
    "stopped": "a stand-in is for one",
    "keep": "a stand-in is for one",
    "unpause": "a session is with one",
    "preserve_fds": "descriptors are for one",
    "preserve_fd": "descriptors are for one",
    "detach_keys": "a terminal shows one",
    "A": "forwarding is for one",
    "L": "forwarding is for one",
    "R": "forwarding is for one",
    "D": "forwarding is for one",
}


def run(arguments: Arguments) -> int:
    """Runs CMD in all of them, tells what they write, and ends with the worst exit code. Raises DockshellError where
    nothing was begun."""
    for field, why in _ALONE.items():
        if arguments.said.get(field):
            spelled = f"-{field}" if len(field) == 1 else f"--{field.replace('_', '-')}"
            raise UsageError(f"{spelled}: {why}; leave it out, or name one TARGET")
    jobs = _jobs(arguments.text("jobs"))
    if arguments.on("group") and arguments.on("json"):
        raise UsageError("--group and --json are two ways to tell the same: give one of them")
    wanted, rest = _wanted(arguments)
    # Nobody types into many, and nobody's terminal shows them.
    arguments.said |= {"no_input": True, "no_tty": True}
    what, how = command(arguments, rest), way(arguments)
    from dockshell.fleet.board import Board
    from dockshell.fleet.reports import summary, worst
    from dockshell.fleet.running import Run
    from dockshell.fleet.selection import select
    from dockshell.fleet.worker import Task

    containers = select(wanted, how.place, how.voice)
    board = Board(len(containers))
    report = _report(arguments, containers, board.write)
    together = not arguments.on("json") and os.path.sameopenfile(1, 2)  # or a terminal would show them out of order
    fleet = Run(Task(containers, what, how, together), report)
    try:
        fleet.run(jobs, board)
    finally:
        board.close()
    code = worst(fleet.results, fleet.told)
    if code or os.isatty(2):
        how.voice.say(summary(containers, fleet.results))
    return code


def _wanted(arguments: Arguments) -> tuple[Sequence[Target | words.Pattern | words.Marks], Sequence[str]]:
    """What to look for, and the words of CMD."""
    if arguments.everywhere():
        if arguments.text("index"):
            raise UsageError("--index picks one replica: leave it out, or name one TARGET")
        return (words.marks(arguments.texts("label"), arguments.texts("service")),), arguments.words
    wanted = words.parse(arguments.words[0])
    return [each if isinstance(each, words.Pattern) else aimed(arguments, each) for each in wanted], arguments.words[1:]


def _jobs(said: str) -> int:
    if not said:
        return _JOBS
    if not (said.isascii() and said.isdigit() and 0 < int(said) < 10000):
        raise UsageError(f"-j takes a number from 1, of how many at a time; not {printable(said)!r}")
    return int(said)


def _report(arguments: Arguments, containers: Sequence[Container], write: Callable[[int, bytes], None]) -> Report:
    from dockshell.fleet import reports

    if arguments.on("json"):
        return reports.AsJson(containers, write)
    from dockshell.output.names import Names

    several = len({each.engine.address for each in containers}) > 1
    names = Names([f"{each.engine.name}://{each.name}" if several else each.name for each in containers])
    return reports.Grouped(names, write) if arguments.on("group") else reports.ByLine(names, write)
