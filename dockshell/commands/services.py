"""`dockshell services`: what is supervised inside, how it is and what it last wrote; up, down, restarted, its log."""

from __future__ import annotations

import difflib
import shlex
import sys

from dockshell.commands.looking import aimed, place, target, voice
from dockshell.commands.waiting import told_of
from dockshell.entering import Way
from dockshell.errors import Refused, UsageError, printable
from dockshell.output import tables
from dockshell.resolve import resolve_running
from dockshell.routes import Login
from dockshell.services.finding import SUPERVISORS, Services, Stuck
from dockshell.services.inside import VIA, what_runs
from dockshell.services.service import CONTAINER
from dockshell.services.stamps import readable
from dockshell.target import LATEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dockshell.model import Container
    from dockshell.options import Arguments
    from dockshell.services.finding import Found
    from dockshell.services.service import Service
    from dockshell.voice import Voice

__all__ = ["run"]

_ACTIONS = ("up", "down", "restart", "status", "log")
_DOING = {"up": "starting", "down": "stopping", "restart": "restarting"}
_DOWN = 3  # LSB, exit codes of the status action
_COLUMNS = tuple(
    tables.Column(name, gives)
    for name, gives in (("name", 2), ("state", 0), ("since", 0), ("pid", 0), ("supervisor", 0), ("last line", 1))
)
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_OTHERS = {
    "systemd": ("systemd", "systemctl list-units --type=service"),
    "openrc": ("OpenRC", "rc-status --all"),
    "svscan": ("daemontools' svscan", "svstat"),
}
_USUAL = 4.0  # seconds that it takes to see that something stays up
_NAMED = 5  # names that an error tells
_LONGEST = 1 << 16  # bytes of a line that is held until it ends


def run(arguments: Arguments) -> int:
    """Prints a row for each service → 0, or 1 where one of the supervisors can't be asked; or does the ACTION to one →
    0, 1 where that does not come about, 3 where `status` finds it down. Raises UsageError, Refused, DockshellError."""
    words = arguments.words
    name, action = words[-2:] if len(words) > 1 else ("", "")
    if action and action not in _ACTIONS:
        raise UsageError(
            f"services takes up, down, restart, status or log after NAME, not {printable(action)!r}: "
            "`dockshell services web nginx restart`"
        )
    _check(arguments, action)
    told = voice(arguments)
    meant = target(arguments) if len(words) in (1, 3) else aimed(arguments, LATEST)
    container = resolve_running(meant, place(arguments), told)
    inside = Services(container, Way(place(arguments), VIA, "exec", Login(voice=told), told))
    with told_of(f"looking at the services in {printable(container.name)}", told):
        found = inside.look()
    for each in found.lacking:
        told.say(f"not all services are shown: {printable(each)}")
    asked = _Asked(container, inside, told)
    if action:
        return asked.act(_one(found, name, asked.name), action, arguments)
    for each in _others(found, asked.name):
        if not found.services:
            raise Refused(each)
        told.say(each)
    if not found.services and not found.lacking:
        raise Refused(
            f"nothing that supervises services runs in {asked.name}: neither runsvdir nor s6-svscan nor supervisord; "
            f"{what_runs(container)} shows what runs"
        )
    asked.show(found.services, as_json=bool(arguments.on("json")))
    return int(bool(found.lacking))


def _others(found: Found, container: str) -> Iterator[str]:
    """A sentence for each supervisor that is there and is none of ours, with the command that shows what it does."""
    for name, where in found.others:
        if name in _OTHERS:
            called, words = _OTHERS[name]
            if where:
                words = f"sh -c {shlex.quote(f'svstat {shlex.quote(printable(where))}/*')}"
            yield (
                f"{container} has services that {called} supervises: "
                f"`dockshell exec -u root {shlex.quote(container)} {words}` shows them"
            )


def _check(arguments: Arguments, action: str) -> None:
    """Raises UsageError for an option that does nothing here."""
    if arguments.on("follow") and action != "log":
        raise UsageError("--follow goes with log: `dockshell services --follow web nginx log`")
    if arguments.on("json") and action not in ("", "status"):
        raise UsageError(f"--json goes with the table and with status, not with {action}: leave it out")


def _one(found: Found, name: str, container: str) -> Service:
    """The service that is known by that name, `SUPERVISOR/NAME`, or where its directory is. Raises Refused."""
    fitting = [each for each in found.services if name in (each.name, f"{each.supervisor}/{each.name}", each.where)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        spelled = [f"{each.supervisor}/{each.name}" for each in fitting]
        if len(set(spelled)) < len(spelled):
            spelled = [each.where for each in fitting]
        raise Refused(f"more than one service is called {printable(name)}: say {printable(' or '.join(spelled))}")
    names = [each.name for each in found.services]
    near = difflib.get_close_matches(name, names, n=_NAMED, cutoff=0.5)
    shown = list(dict.fromkeys([*near, *names]))[:_NAMED]
    more = ", ..." if len(set(names)) > len(shown) else ""
    there = f"there is {printable(', '.join(shown))}{more}" if shown else "nothing is supervised there"
    others = list(_others(found, container))
    if others:
        there = f"{there}; {others[0]}" if shown else others[0]
    raise Refused(f"no service {printable(name)!r} in {container}: {there}")


class _Asked:
    """A container whose services are asked for. name: the container's, printable."""

    def __init__(self, container: Container, inside: Services, voice: Voice) -> None:
        self.name = printable(container.name)
        # Where no engine has made it, nobody keeps what it writes.
        self._logs = f"{container.engine.name} logs" if container.engine.api else ""
        self._inside = inside
        self._voice = voice

    def show(self, services: Sequence[Service], *, as_json: bool = False) -> None:
        """Prints them."""
        if as_json:
            import json

            print(json.dumps([_facts(each) for each in services], indent=2))
            return
        several = len({each.supervisor for each in services}) > 1
        rows = [
            [
                each.name,
                each.state.name,
                _age(each.state.seconds),
                str(each.state.pid or ""),
                each.supervisor if several else "",
                self._last(each),
            ]
            for each in services
        ]
        columns = _COLUMNS if several else tuple(each for each in _COLUMNS if each.heading != "SUPERVISOR")
        cells = rows if several else [row[:4] + row[5:] for row in rows]
        tables.table(columns, cells, [[each.state.why] if each.state.why else [] for each in services])

    def act(self, service: Service, action: str, arguments: Arguments) -> int:
        """Does it → the exit code. Raises Refused, DockshellError."""
        if action == "status":
            self.show([service], as_json=bool(arguments.on("json")))
            return 0 if service.state.name == "running" else _DOWN
        if action == "log":
            return self._log(service, follow=bool(arguments.on("follow")))
        name = printable(service.name)
        try:
            with told_of(f"{_DOING[action]} {name} in {self.name}", self._voice, _USUAL):
                now = self._inside.change(service, action)
        except Stuck as stuck:
            raise Refused(self._why(stuck.service, service.state.pid, action)) from None
        self.show([now])
        return 0

    def _why(self, now: Service, pid: int, action: str) -> str:
        """The sentence for what did not come about. pid: what ran when it was asked for."""
        name, state = printable(now.name), now.state
        if pid and state.pid == pid and action != "up":
            limit = SUPERVISORS[now.supervisor].patience
            return (
                f"{name} still runs {limit:.0f} seconds after it was told to end: "
                f"`dockshell exec -u root {self.name} sh -c 'kill -KILL {pid}'` ends it"
            )
        read = f"`dockshell services {self.name} {name} log`" if now.logs else self._containers_log()
        reasons = [printable(state.why)[:200]] if state.why else []
        if now.last:
            reasons.append(f"it last wrote '{printable(now.last)[:200]}'")
        why = f" ({'; '.join(reasons)})" if reasons else ""
        if state.name in ("restarting", "failed"):
            return f"{name} is started and does not stay up{why}: {read} may tell why"
        return f"{name} is {state.name}{why}, and not what was asked for: {read} may tell why"

    def _log(self, service: Service, *, follow: bool) -> int:
        if not service.logs:
            raise Refused(f"{printable(service.name)} has no log of its own: {self._elsewhere(service)}")
        lines = _Lines(tai=service.supervisor == "s6")
        if not follow:
            lines.take(self._inside.log(service))
            lines.end()
            return 0
        code = self._inside.follow(service, lines.take)
        lines.end()
        return code

    def _last(self, service: Service) -> str:
        if service.last or service.logs:
            return service.last
        return f"({self._logs})" if service.words == CONTAINER and self._logs else ""

    def _elsewhere(self, service: Service) -> str:
        """Where the words of one without a log are, as a sentence's end."""
        return {
            CONTAINER: f"{self._containers_log()} has what it writes",
            "nowhere": "what it writes is thrown away, so have its supervisor keep it",
            "logger": "its logger passes it on and keeps no file inside, so look where that leads",
        }.get(service.words, f"what it writes goes elsewhere; {self._containers_log()} may have it")

    def _containers_log(self) -> str:
        return f"`{self._logs} {self.name}`" if self._logs else "what keeps the container's own log"


class _Lines:
    """Prints the lines of a log, whose bytes come in pieces, with nothing in them that drives a terminal, and with
    times that people can read. tai: as stamps.readable() has it."""

    def __init__(self, *, tai: bool = False) -> None:
        self._rest = b""
        self._tai = tai

    def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines.append(self._rest)
            self._rest = b""
        if lines:
            sys.stdout.write("".join(f"{_readable(readable(line, tai=self._tai))}\n" for line in lines))
            sys.stdout.flush()

    def end(self) -> None:
        """No more comes."""
        if self._rest:
            self.take(b"\n")


def _readable(line: bytes) -> str:
    """A line as text; tabs are left as they are."""
    return "\t".join(map(printable, line.decode("utf-8", "backslashreplace").split("\t")))


def _age(seconds: int | None) -> str:
    """In the largest unit of which there is one: 42s, 3h, 12d."""
    if seconds is None:
        return ""
    return next((f"{seconds // length}{letter}" for length, letter in _UNITS if seconds >= length), "0s")


def _facts(service: Service) -> dict[str, object]:
    """As JSON has it. `seconds` is null where nobody can tell."""
    state = service.state
    return {
        "name": service.name,
        "state": state.name,
        "seconds": state.seconds,
        "pid": state.pid,
        "supervisor": service.supervisor,
        "where": service.where,
        "why": state.why,
        "logs": list(service.logs),
        "words": service.words,
        "last": service.last,
    }
