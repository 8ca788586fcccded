"""What is supervised in a container, found by the processes of its supervisors, whoever built it; and asked to change.

One script does it inside, by the supervisors' own tools, for how they note their services' states is theirs alone: as
the user that a supervisor runs as, root first, since anybody in there may call a process `supervisord` and have it name
a program or a directory. It says a line for each fact; what those mean is understood here, and all of it is the
container's to say."""

from __future__ import annotations

import time

from dockshell.errors import DockshellError, Refused, printable
from dockshell.model import noun, replace
from dockshell.services.inside import Inside
from dockshell.services.runit import Runit
from dockshell.services.s6 import S6
from dockshell.services.service import Service, number
from dockshell.services.stamps import STAMP
from dockshell.services.supervisord import Supervisord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dockshell.entering import Way
    from dockshell.model import Container
    from dockshell.services.service import State, Supervisor

__all__ = ["SUPERVISORS", "Found", "Services", "understood"]

SUPERVISORS: dict[str, Supervisor] = {each.name: each for each in (Runit(), S6(), Supervisord())}

# told SERVICE LOGGER SUPERVISOR DIRECTORY, the first three each a process or nothing, says where a service's words go:
#   log FILE        which holds them: a logger's, which is known by its own words (svlogd(8), s6-log, multilog), or what
#                   the service writes to itself; `last TEXT` is the last line in there
#   words WHERE     as Service has it
# Who reads what the service writes is its logger, also where that is a service beside it (s6-rc).
#
# Whose descriptors a process has is told to its own user, and to root by CAP_SYS_PTRACE alone (ptrace(2),
# PTRACE_MODE_READ_FSCREDS), which is none of a container's: so it is asked as that user, by what the supervisors bring
# along for that. A program that gave up being root by itself isn't told of even then (PR_SET_DUMPABLE): then the `run`
# script is taken at its word, as it is for a logger that is a script.
_SCRIPT = r"""
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/command
words() { tr '\0' '\n' <"/proc/$1/cmdline"; }
place() { (cd "$1" && pwd -P); }
ids() {
    while read -r word value; do
        [ "$word" != "$2" ] || printf '%s\n' "$value"
    done <"/proc/$1/status"
}
user=$(ids $$ Uid:)
ours() { [ "$(ids "$1" Uid:)" = "$user" ] && [ "/proc/$1/root/." -ef /. ]; } 2>/dev/null
forked() {
    while read -r word value; do
        [ "$word" != PPid: ] || parent=$value
    done <"/proc/$1/status"
    [ "$(words "$1")" = "$(words "$parent")" ]
}
as_user_of() {
    uid= gid=
    while read -r word value rest; do
        case $word in Uid:) uid=$value ;; Gid:) gid=$value ;; esac
    done <"/proc/$1/status"
    [ "${uid:-0}" != 0 ] || return
    shift
    chpst -u ":$uid:$gid" "$@" || chpst -u "$uid:$gid" "$@" || s6-applyuidgid -u "$uid" -g "$gid" "$@"
} 2>/dev/null
descriptor() { readlink "/proc/$1/fd/$2" 2>/dev/null || as_user_of "$1" readlink "/proc/$1/fd/$2"; }
current() {
    words "$1" | while read -r word; do
        case $word in
            /*) set -- "$1" "$2" "$word" ;;
            *) set -- "$1" "$2" "/proc/$1/cwd/$word" "$2/$word" ;;
        esac
        for each in "$3" "${4:-$3}"; do
            [ -f "$each/current" ] || continue
            printf '%s/current\n' "$(place "$each")"
            return
        done
    done
}
named() {
    grep -v '^[[:space:]]*#' "$1" | grep -o -e '>>[[:space:]]*/[A-Za-z0-9._/+-]*' -e '/var/log/[A-Za-z0-9._/+-]*' |
        while read -r word; do
            word=/${word#*/}
            [ -f "$word" ] || continue
            printf '%s\n' "$word"
            break
        done
} 2>/dev/null
candidate() {
    uid=$(ids "$1" Uid:)
    uid=${uid%%[!0-9]*}
    if ours "$1"; then
        forked "$1" || "$2_look" "$1"
    elif [ "${user%%[!0-9]*}" = 0 ] && [ "${uid:-0}" != 0 ]; then
        gid=$(ids "$1" Gid:)
        [ "$2" != supervisord ] || called_supervisord "$1" || return
        printf 'asks %s %s\n' "$uid" "${gid%%[!0-9]*}"
    fi
}
reader() {
    case $1 in pipe:*) ;; *) [ -p "$1" ] || return ;; esac
    ls -l /proc/[0-9]*/fd/0 2>/dev/null | while read -r line; do
        case $line in *"/fd/0 -> $1") line=${line%/fd/0 -> *}; echo "${line##*/}"; break ;; esac
    done
    for each in /proc/[0-9]*; do
        read -r name <"$each/comm"
        case $name in s6-log | svlogd | multilog | tinylog) ;; *) continue ;; esac
        [ "$(as_user_of "${each#/proc/}" readlink "$each/fd/0")" != "$1" ] || echo "${each#/proc/}"
    done 2>/dev/null
}
told() {
    writer=${1:-$3}
    to=$(descriptor "$writer" 1)
    out=${out:-$(descriptor 1 1)}
    logger=$2
    [ "$logger" ] || [ "$to" = "$out" ] || logger=$(reader "$to" | head -n 1)
    file=
    if [ "$logger" ]; then
        file=$(current "$logger" "$4/log")
        [ "$file" ] || file=$(named "$4/log/run")
    elif [ "$to" ]; then
        case $to in /*) [ ! -f "$to" ] || file=$to ;; esac
        [ "$file" ] || [ ! -f "/proc/$writer/fd/1" ] || file=/proc/$writer/fd/1
    else
        file=$(named "$4/run")
    fi
    if [ "$file" ]; then
        printf 'log %s\nlast %s\n' "$file" "$(tail -c 4000 -- "$file" | tail -n 1 | tr -d '\0')"
    elif [ "$logger" ]; then
        echo words logger
    elif [ "$to" = /dev/null ]; then
        echo words nowhere
    elif [ "$to" ] && [ "$to" = "$out" ]; then
        echo words container
    else
        echo words elsewhere
    fi
}
"""
# Not those of a container in this one, nor of the host where its processes are seen: their files are others. And not
# what a supervisor has forked, until that becomes a program of its own. `asks USER GROUP` says that a process of
# another user may be one, for a script of that user to look at.
_VERBS = """
case $1 in
    look)
        for process in /proc/[0-9]*; do
            pid=${process#/proc/}
            name=
            read -r name <"$process/comm" || continue
            case $name in
LOOKS
                systemd) [ "$pid" != 1 ] || ! ours 1 || echo other systemd ;;
                svscan) ! ours "$pid" || echo "other svscan $(place "$process/cwd")" ;;
            esac
        done 2>/dev/null
        [ ! -e /run/openrc/softlevel ] || echo other openrc
        echo end
        ;;
    act)
        shift
        kind=$1
        shift
        ours "$2" || { echo "process $2 is gone, or another by now" >&2; exit 1; }
        "${kind}_act" "$@" >&2
        ;;
    log) shift; for file; do tail -c 200000 -- "$file" | tail -n 100; done ;;
    follow)
        shift
        [ $# -gt 1 ] && quiet=-q || quiet=
        exec tail $quiet -n 100 -F -- "$@" 2>/dev/null
        ;;
esac
"""


def _script() -> str:
    case = '                {}) candidate "$pid" {} ;;'
    looks = "\n".join(case.format(each.processes, each.name) for each in SUPERVISORS.values())
    return _SCRIPT + "".join(each.script for each in SUPERVISORS.values()) + _VERBS.replace("LOOKS", looks)


_LOOK_WITHIN = 20.0  # seconds; a Python must start inside for supervisord
_ACT_WITHIN = 60.0
_AGAIN = 1.1  # seconds; runit and s6 start once a second what ends at once
_YOUNG = 1  # seconds
_STAYS, _STAYS_AGAIN = 2.0, 5.0  # seconds for which what was started has to run: see _Trial
_BETWEEN = 0.1
_BEGINS = 5.0  # seconds after its start until a container's supervisor looks after what it is to
_CRASHES = 3.0  # seconds for which what was started may end again and again, before that is said
_LAST = 2000  # characters
_MOST = 2000  # services
_FEW = 5


@noun(frozen=True)
class Found:
    """services: those of all supervisors, ordered by these and by name; lacking: what kept one of them from
    answering; asks: users (uid, gid) of other processes that may be supervisors, a few; others: (name, directory) of
    what supervises services here that aren't known any closer: `systemd`, `openrc`, or daemontools' `svscan`, which
    alone has a directory."""

    services: tuple[Service, ...] = ()
    lacking: tuple[str, ...] = ()
    asks: tuple[tuple[int, int], ...] = ()
    others: tuple[tuple[str, str], ...] = ()


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
        self._inside.told(*words, patience=_ACT_WITHIN, user=service.user)
        until = time.monotonic() + supervisor.patience
        trial = None if action == "down" else _Trial(service, restarted=action == "restart")
        while True:
            now = next((each for each in self._glance().services if each.key == service.key), None)
            if now is None:
                raise Refused(f"{printable(service.name)} is looked after no longer: see what its supervisor does")
            moment = time.monotonic()
            if trial is None:
                if now.state.name in ("down", "failed"):
                    return now
                late = moment > until
            else:
                if trial.passed(now.state, moment):
                    return now
                if trial.failed(now.state, moment):
                    raise Stuck(replace(now, state=replace(now.state, name="restarting")))
                late = now.state.name == "failed" or moment > until + trial.extra
            if late:
                raise Stuck(now)
            time.sleep(_BETWEEN)

    def log(self, service: Service) -> bytes:
        """The last hundred lines of its logs. Raises Refused, DockshellError."""
        return self._inside.told("log", *service.logs, patience=_LOOK_WITHIN, user=service.user)

    def follow(self, service: Service, take: Callable[[bytes], None]) -> int:
        """The same, and what comes to them from then on, until Ctrl-C or the container's end → the exit code. Raises
        DockshellError."""
        return self._inside.follow("follow", *service.logs, take=take, user=service.user)

    def _glance(self) -> Found:
        found = self._looked("0")
        for uid, gid in found.asks:
            try:
                more = self._looked(f"{uid}:{gid}")
            except DockshellError as error:
                more = Found(lacking=(f"those of user {uid} can't be asked for ({error})",))
            services = (*found.services, *more.services)[:_MOST]
            found = replace(found, services=tuple(sorted(services, key=_order)), lacking=found.lacking + more.lacking)
        return found

    def _looked(self, user: str) -> Found:
        told = self._inside.told("look", patience=_LOOK_WITHIN, user=user)
        try:
            found = understood(told)
        except Refused:
            self._inside.failed()
            raise
        return replace(found, services=tuple(replace(each, user=user) for each in found.services))


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


class _Trial:
    """Does what was started stay up? For as long as _STAYS, or _STAYS_AGAIN where it is already known to have ended by
    itself, or had started so lately that it may have. before: the service when that was asked for."""

    def __init__(self, before: Service, *, restarted: bool) -> None:
        state = before.state
        lately = state.name == "running" and (state.seconds or 0) < _STAYS_AGAIN
        self._stays = _STAYS_AGAIN if lately or state.name == "restarting" else _STAYS
        self._old = state.pid if restarted else 0
        self._pid = 0  # of the process that is watched, since that moment
        self._since = 0.0
        self._crashed = 0.0  # when one was first seen to have ended

    @property
    def extra(self) -> float:
        """Seconds by which it may take longer than its supervisor needs to start it."""
        return self._stays if self._pid else 0.0

    def passed(self, state: State, moment: float) -> bool:
        """Has it stayed up for long enough, if this is how it is at that moment? What a supervisor says of seconds is
        rounded, by up to one."""
        if state.name != "running" or state.pid in (0, self._old) or self._gone(state):
            return False
        if not self._pid:
            self._pid, self._since = state.pid, moment
        return (state.seconds or 0) > self._stays or moment - self._since >= self._stays

    def failed(self, state: State, moment: float) -> bool:
        """Does it end again and again? To be asked where it hasn't passed."""
        gone = self._gone(state)
        if gone:
            self._pid, self._since, self._stays = state.pid, moment, _STAYS_AGAIN
        if not gone and state.name != "restarting":
            return False
        self._crashed = self._crashed or moment
        return moment > self._crashed + _CRASHES

    def _gone(self, state: State) -> bool:
        """Has the process that is watched ended?"""
        return self._pid != 0 and state.pid != self._pid


def understood(told: bytes) -> Found:
    """What the script told → what was found. Pure; never raises but Refused, where it was cut off."""
    lines = told.decode("utf-8", "surrogateescape").split("\n")  # a path goes back as it came
    if "end" not in lines:
        raise Refused("what looks at the services inside was ended before it was done: try again")
    services: dict[tuple[str, int, str], Service] = {}
    lacking: list[str] = []
    others: dict[tuple[str, str], None] = {}
    asks: dict[tuple[int, int], None] = {}
    at: Service | None = None
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "service":
            at = _named(rest)
        elif word == "lacks":
            lacking.append(rest[:_LAST])
        elif word == "other" and len(others) < _FEW:
            name, _, where = rest.partition(" ")
            others[name, where] = None
        elif word == "asks" and len(asks) < _FEW:
            uid, _, gid = rest.partition(" ")
            if number(uid):
                asks[number(uid), number(gid)] = None
        elif at is not None:
            at = _with(at, word, rest)
        if at is not None and len(services) < _MOST:
            services[at.key] = at
    return Found(tuple(sorted(services.values(), key=_order)), tuple(lacking), tuple(asks), tuple(others))


def _order(service: Service) -> tuple[str, str]:
    return service.supervisor, service.name


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
        line = STAMP.sub(b"", rest.encode("utf-8", "surrogateescape"), count=1)
        return replace(service, last=line.decode("utf-8", "replace")[:_LAST])
    return service
