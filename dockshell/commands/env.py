"""`dockshell env`: the environment of a container's processes, for people and for programs, and what differs between
two."""

from __future__ import annotations

import os
import sys

from dockshell.commands.looking import place, target, voice
from dockshell.commands.waiting import told_of
from dockshell.errors import UsageError, printable
from dockshell.output import tables
from dockshell.resolve import resolve, resolve_running
from dockshell.variables import formats
from dockshell.variables.differing import differences
from dockshell.variables.directory import write
from dockshell.variables.secrets import MASK, secret
from dockshell.variables.sources import from_processes, sources, variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dockshell.options import Arguments
    from dockshell.variables.differing import Difference
    from dockshell.voice import Voice

__all__ = ["run"]

_FORMATS = ("sh", "json", "docker", "dir")
_NAMED = 20  # names that a line tells of
_COLUMNS = (tables.Column("name", 2), tables.Column("value", 1))
# What is said of what is left out.
_SECRET = "secrets are left out, and --show has them in"
_WILD = "left out at a terminal, which would take them for orders, and not in a file or a pipe"
_EXECUTED = "left out, for a shell or what it starts next could execute what is in them"
_UNFIT = {
    "sh": "left out, for no shell takes them",
    "docker": "left out, for no line of an env-file can hold them",
    "dir": "left out, for no file can be called so",
}


def run(arguments: Arguments) -> int:
    """Prints or writes an environment → 0; of two what differs → 0 where nothing does, 1 where something does, as
    diff(1). Raises UsageError, DockshellError."""
    wanted = sources(arguments.text("from"))
    chosen, directory = arguments.text("format"), arguments.text("output")
    _check(chosen, directory, len(wanted))
    told = voice(arguments)
    meant = target(arguments)
    # What was configured, and what is in files, is there when nothing runs, too.
    find = resolve_running if meant.kind == "latest" or any(map(from_processes, wanted)) else resolve
    container = find(meant, place(arguments), told)
    with told_of(f"reading the environment of {printable(container.name)}", told):
        found = [variables(container, source) for source in wanted]
    said = _Said(told, secrets=bool(arguments.on("show")))
    if len(found) == 2:
        differing = differences(*found)
        said.differ(wanted, differing, as_json=chosen == "json")
        return int(bool(differing))
    if chosen:
        said.write(found[0], chosen, directory)
    else:
        said.show(found[0])
    return 0


def _check(chosen: str, directory: str, environments: int) -> None:
    """Raises UsageError where the options do not go together."""
    if chosen and chosen not in _FORMATS:
        raise UsageError(f"--format takes sh, json, docker or dir, not {printable(chosen)!r}; without, it is a table")
    if environments == 2 and chosen not in ("", "json"):
        raise UsageError(f"--format {chosen} is for one environment, and --from names two: name one, or take json")
    if chosen == "dir" and not directory:
        raise UsageError("--format dir takes the directory to write: `dockshell env web --format dir -o DIR`")
    if directory and chosen != "dir":
        raise UsageError("-o is for --format dir; what the others give goes to stdout, so `> FILE` keeps it")


class _Said:
    """How it is told. secrets: with those; else people see a mask in their place, and programs get none of them."""

    def __init__(self, voice: Voice, *, secrets: bool) -> None:
        self._voice = voice
        self._secrets = secrets

    def show(self, found: Mapping[str, str]) -> None:
        """Prints a table of it."""
        tables.table(_COLUMNS, [[name, self._masked(name, value)] for name, value in found.items()])

    def differ(self, wanted: Sequence[str], differing: Sequence[Difference], *, as_json: bool) -> None:
        """Prints what differs; as JSON by name the values of both, null where there is none."""
        if as_json:
            hidden = {each.name for each in differing if self._hides(each.name, each.one, each.other)}
            kept = {each.name: (each.one, each.other) for each in differing if each.name not in hidden}
            _out(formats.as_json({name: dict(zip(wanted, values, strict=True)) for name, values in kept.items()}))
            self._left_out(hidden, _SECRET)
        elif differing:
            columns = (tables.Column(""), tables.Column("name", 3), *(tables.Column(each, 1) for each in wanted))
            rows = [[each.mark, each.name, *self._both(each)] for each in differing]
            tables.table(columns, rows)

    def write(self, found: Mapping[str, str], chosen: str, directory: str) -> None:
        """Writes it in that format, to stdout or as the directory. Raises DockshellError."""
        hidden = {name for name, value in found.items() if self._hides(name, value)}
        wild = {name for name, value in found.items() if name not in hidden and _drives(name, value, chosen)}
        acting = {name for name, value in found.items() if chosen == "sh" and formats.executed(name, value)} - hidden
        left_out = hidden | wild | acting
        kept = {name: value for name, value in found.items() if name not in left_out}
        unfit: list[str] = []
        if chosen == "json":
            _out(formats.as_json(kept))
        elif chosen == "dir":
            unfit = write(directory, kept)
        else:
            content, unfit = formats.as_sh(kept) if chosen == "sh" else formats.as_docker(kept)
            _out(content)
        self._left_out(hidden, _SECRET)
        self._left_out(wild - acting, _WILD)
        self._left_out(acting, _EXECUTED)
        self._left_out(unfit, _UNFIT.get(chosen, ""))

    def _hides(self, name: str, *values: str | None) -> bool:
        return not self._secrets and any(secret(name, value or "") for value in values)

    def _masked(self, name: str, value: str) -> str:
        return MASK if self._hides(name, value) else value

    def _both(self, each: Difference) -> list[str]:
        values = (each.one, each.other)
        shown = each.briefly if os.isatty(1) and not self._hides(each.name, *values) else values
        return ["" if value is None else self._masked(each.name, value) for value in shown]

    def _left_out(self, names: Iterable[str], why: str) -> None:
        if all_names := sorted(names):
            more = f" and {len(all_names) - _NAMED} more" if len(all_names) > _NAMED else ""
            self._voice.say(f"{why}: {', '.join(map(printable, all_names[:_NAMED]))}{more}")


def _drives(name: str, value: str, chosen: str) -> bool:
    """Would it drive the terminal that it goes to?"""
    raw = chosen in ("sh", "docker") and os.isatty(1)
    return raw and not all(line.isprintable() for line in (name, *value.split("\n")))


def _out(content: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.flush()
