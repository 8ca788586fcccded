"""runit: runsvdir(8) has a runsv(8) look after each directory in one, and sv(8) speaks to those."""

from __future__ import annotations

import re

from dockshell.services.service import State, number

__all__ = ["Runit"]

_STATUS = re.compile(r"(?:\(pid ([0-9]{1,10})\) )?([0-9]{1,10})s(?:, |$)")
# sv knows the process of a service's logger as well. runsvdir's own words are its directory, then a text for ps.
_SCRIPT = r"""
runit_look() {
    if ! command -v sv >/dev/null; then
        echo "lacks runit: there is no sv inside"
        return
    fi
    where=$(words "$1" | {
        read -r word
        while read -r word; do
            case $word in -*) ;; *) printf '%s\n' "$word"; break ;; esac
        done
    })
    case $where in /*) ;; *) where=$(place "/proc/$1/cwd")/$where ;; esac
    for service in "$where"/*/; do
        service=${service%/}
        [ -d "$service" ] || continue
        status=$(sv status "$service" 2>&1)
        printf 'service runit %s %s\nstatus %s\n' "$1" "$service" "$status"
        logger=
        case $status in *"; run: log: (pid "*) logger=$(bracketed "$status") ;; esac
        told "$(bracketed "${status%%; *: log: *}")" "$logger" "$1" "$service"
    done
}
bracketed() {
    case $1 in *"(pid "*) set -- "${1##*"(pid "}"; printf '%s\n' "${1%%)*}" ;; esac
}
runit_act() {
    case $1 in
        restart) sv term "$3" && sv cont "$3" && sv up "$3" ;;
        *) sv "$1" "$3" ;;
    esac
}
"""


class Runit:
    name = "runit"
    processes = "runsvdir"
    script = _SCRIPT
    patience = 10.0
    steady = False

    def understood(self, where: str, status: str) -> State:
        """status: a line of `sv status`, as sv(8) has it."""
        word, _, rest = status.partition(f": {where}: ")
        rest = re.split(r"; [a-z]+: log: ", rest, maxsplit=1)[0]
        match = _STATUS.match(rest)
        if not match:
            return State("failed", why=rest) if word in ("fail", "warning") else State(why=status)
        notes = rest[match.end() :].split(", ")
        pid, seconds = number(match[1] or ""), number(match[2])
        if word == "down":
            return State("restarting" if "want up" in notes else "down", 0, seconds)
        if word == "finish":
            return State("stopping" if "want down" in notes else "restarting", pid, seconds)
        if word != "run":
            return State(why=status)
        if "want down" in notes:
            return State("stopping", pid, seconds)
        return State("paused" if "paused" in notes else "running", pid, seconds)
