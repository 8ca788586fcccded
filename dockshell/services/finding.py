"""What is supervised in a container, found by the processes of its supervisors, whoever built it; and asked to change.

One script does it inside, as root, by the supervisors' own tools, for how they note their services' states is theirs
alone. It says a line for each fact; what those mean is understood here, and all of it is the container's to say."""

from __future__ import annotations

import re
import time

from dockshell.errors import Refused, printable
from dockshell.model import noun, replace
from dockshell.services.inside import Inside
from dockshell.services.runit import Runit
from dockshell.services.s6 import S6
from dockshell.services.service import Service, number
from dockshell.services.supervisord import Supervisord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dockshell.entering import Way
    from dockshell.model import Container
    from dockshell.services.service import Supervisor

__all__ = ["SUPERVISORS", "Found", "Services", "understood"]

SUPERVISORS: dict[str, Supervisor] = {each.name: each for each in (Runit(), S6(), Supervisord())}

# told SERVICE LOGGER SUPERVISOR, each a process or nothing, says where a service's words go:
#   log FILE        which holds them: a logger's, which is known by its own words (svlogd(8), s6-log, multilog), or what
#                   the service writes to itself; `last TEXT` is the last line in there
#   words WHERE     as Service has it
# Who reads what the service writes is its logger, also where that is a service beside it (s6-rc).
_SCRIPT = r"""
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/command
words() { tr '\0' '\n' <"/proc/$1/cmdline"; }
place() { (cd "$1" && pwd -P); }
forked() {
    while read -r word value; do
        [ "$word" != PPid: ] || parent=$value
    done <"/proc/$1/status"
    [ "$(words "$1")" = "$(words "$parent")" ]
}
current() {
    words "$1" | while read -r word; do
        case $word in /*) ;; *) word=/proc/$1/cwd/$word ;; esac
        [ -f "$word/current" ] || continue
        printf '%s/current\n' "$(place "$word")"
        break
    done
}
reader() {
    [ -p "/proc/$1/fd/1" ] || return
    for each in /proc/[0-9]*; do
        [ "$each/fd/0" -ef "/proc/$1/fd/1" ] || continue
        echo "${each#/proc/}"
        return
    done
}
told() {
    writer=${1:-$3}
    logger=${2:-$(reader "$writer")}
    file=
    [ ! "$logger" ] || file=$(current "$logger")
    if [ ! "$logger" ] && [ -f "/proc/$writer/fd/1" ]; then
        file=$(readlink "/proc/$writer/fd/1")
        [ -f "$file" ] || file=/proc/$writer/fd/1
    fi
    if [ "$file" ]; then
        printf 'log %s\nlast %s\n' "$file" "$(tail -c 4000 -- "$file" | tail -n 1 | tr -d '\0')"
    elif [ "$logger" ]; then
        echo words logger
    elif [ "/proc/$writer/fd/1" -ef /dev/null ]; then
        echo words nowhere
    elif [ "/proc/$writer/fd/1" -ef /proc/1/fd/1 ]; then
        echo words container
    else
        echo words elsewhere
    fi
}
"""
# Not those of a container in this one, nor of the host where its processes are seen: their files are others. And not
# what a supervisor has forked, until that becomes a program of its own.
_VERBS = """
case $1 in
    look)
        for process in /proc/[0-9]*; do
            pid=${process#/proc/}
            name=
            read -r name <"$process/comm" || continue
            [ "$process/root/." -ef /. ] || continue
            case $name in
LOOKS
            esac
        done 2>/dev/null
        echo end
        ;;
    act) shift; kind=$1; shift; "${kind}_act" "$@" >&2 ;;
    log) shift; for file; do tail -c 200000 -- "$file" | tail -n 100; done ;;
    follow)
        shift
        [ $# -gt 1 ] && quiet=-q || quiet=
        exec tail $quiet -n 100 -F -- "$@" 2>/dev/null
        ;;
esac
"""


def _script() -> str:
    case = '                {}) forked "$pid" || {}_look "$pid" ;;'
    looks = "\n".join(case.format(each.processes, each.name) for each in SUPERVISORS.values())
    return _SCRIPT + "".join(each.script for each in SUPERVISORS.values()) + _VERBS.replace("LOOKS", looks)


_LOOK_WITHIN = 20.0  # seconds; a Python must start inside for supervisord
_ACT_WITHIN = 60.0
_AGAIN = 1.1  # seconds; runit and s6 start once a second what ends at once
_YOUNG = 1  # seconds
_BETWEEN = 0.1
_BEGINS = 5.0  # seconds after its start until a container's supervisor looks after what it is to
_CRASHES = 3.0  # seconds for which what was started may end again and again, before that is said
_STAMP = re.compile(r"@[0-9a-f]{24} ")  # TAI64N, by svlogd -t and s6-log t
_LAST = 2000  # characters
_MOST = 2000  # services


@noun(frozen=True)
class Found:
    """services: those of all supervisors, ordered by these and by name; lacking: what kept one of them from
    answering."""

    services: tuple[Service, ...] = ()
    lacking: tuple[str, ...] = ()


class Services:
    """Those in that container."""

    def __init__(self, container: Container, way: Way) -> None:
        self._inside = Inside(container, way, _script())
        self._begun = min(container.started, time.time())

    def look(self) -> Found:
        """How they are now. One that was started in this very moment is looked at once more a second later, for it may
        be one that ends again and again; and a container that has just started gets a moment to start its own. Raises
        Refused, DockshellError."""
        found = self._glance()
        while time.time() < self._begun + _BEGINS and not _has_begun(found):
            time.sleep(_BETWEEN)
            found = self._glance()
        young = {each.key: each for each in found.services if _may_be_restless(each)}
        if not young:
            return found
        time.sleep(_AGAIN)
        found = self._glance()
        services = [_restless(each, young[each.key]) if each.key in young else each for each in found.services]
        return replace(found, services=tuple(services))

    def change(self, service: Service, action: str) -> Service:
        """Has it go `up`, `down` or `restart`, and waits until that is so → how it is then. Raises Stuck where it
        won't, Refused where its supervisor won't, DockshellError."""
        supervisor = SUPERVISORS[service.supervisor]
        words = ("act", service.supervisor, action, str(service.owner), service.where)
        self._inside.told(*words, patience=_ACT_WITHIN)
        until = time.monotonic() + supervisor.patience
        crashes = 0.0
        while True:
            now = next((each for each in self._glance().services if each.key == service.key), None)
            if now is None:
                raise Refused(f"{printable(service.name)} is looked after no longer: see what its supervisor does")
            if _came_about(service, now, action):
                return now
            late = time.monotonic() > until
            if action != "down" and now.state.name == "restarting":
                crashes = crashes or time.monotonic()
                late = late or time.monotonic() > crashes + _CRASHES
            if late or (action != "down" and now.state.name == "failed"):
                raise Stuck(now)
            time.sleep(_BETWEEN)

    def log(self, service: Service) -> bytes:
        """The last hundred lines of its logs. Raises Refused, DockshellError."""
        return self._inside.told("log", *service.logs, patience=_LOOK_WITHIN)

    def follow(self, service: Service, take: Callable[[bytes], None]) -> int:
        """The same, and what comes to them from then on, until Ctrl-C or the container's end → the exit code. Raises
        DockshellError."""
        return self._inside.follow("follow", *service.logs, take=take)

    def _glance(self) -> Found:
        return understood(self._inside.told("look", patience=_LOOK_WITHIN))


class Stuck(Exception):
    """service: how it is, in place of what was asked for."""

    def __init__(self, service: Service) -> None:
        super().__init__(service.name)
        self.service = service


def _has_begun(found: Found) -> bool:
    """Are all looked after? By supervisord they are from its beginning on; there `failed` is another thing."""
    services = found.services
    return bool(services) and not any(each.state.name == "failed" and not _steady(each) for each in services)


def _steady(service: Service) -> bool:
    return SUPERVISORS[service.supervisor].steady


def _may_be_restless(service: Service) -> bool:
    state = service.state
    return state.name == "running" and not _steady(service) and (state.seconds or 0) <= _YOUNG


def _restless(now: Service, before: Service) -> Service:
    if now.state.name == "running" and now.state.pid != before.state.pid:
        return replace(now, state=replace(now.state, name="restarting"))
    return now


def _came_about(before: Service, now: Service, action: str) -> bool:
    if action == "down":
        return now.state.name in ("down", "failed")
    if now.state.name != "running" or (action == "restart" and now.state.pid == before.state.pid):
        return False
    return _steady(now) or (now.state.seconds or 0) >= _YOUNG


def understood(told: bytes) -> Found:
    """What the script told → what was found. Pure; never raises but Refused, where it was cut off."""
    lines = told.decode("utf-8", "surrogateescape").split("\n")  # a path goes back as it came
    if "end" not in lines:
        raise Refused("what looks at the services inside was ended before it was done: try again")
    services: dict[tuple[str, int, str], Service] = {}
    lacking: list[str] = []
    at: Service | None = None
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "service":
            at = _named(rest)
        elif word == "lacks":
            lacking.append(rest[:_LAST])
        elif at is not None:
            at = _with(at, word, rest)
        if at is not None and len(services) < _MOST:
            services[at.key] = at
    return Found(tuple(sorted(services.values(), key=lambda each: (each.supervisor, each.name))), tuple(lacking))


def _named(rest: str) -> Service | None:
    kind, _, rest = rest.partition(" ")
    owner, _, where = rest.partition(" ")
    name = where.rpartition("/")[2]
    return Service(name, kind, number(owner), where) if kind in SUPERVISORS and name else None


def _with(service: Service, word: str, rest: str) -> Service:
    if word == "status":
        return replace(service, state=SUPERVISORS[service.supervisor].understood(service.where, rest))
    if word == "log" and len(service.logs) < 2:
        return replace(service, logs=(*service.logs, rest))
    if word == "words":
        return replace(service, words=rest)
    if word == "last":
        text = rest.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return replace(service, last=_STAMP.sub("", text, count=1)[:_LAST])
    return service
