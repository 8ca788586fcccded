"""s6: s6-svscan works in a directory of services, each with an s6-supervise of its own; s6-svstat and s6-svc speak to
those. s6-overlay's are in /run/service."""

from __future__ import annotations

from dockshell.services.service import State, number

__all__ = ["S6"]

_SCRIPT = r"""
s6_look() {
    if ! command -v s6-svstat >/dev/null; then
        echo "lacks s6: there is no s6-svstat inside"
        return
    fi
    where=$(place "/proc/$1/cwd")
    for service in "$where"/*/; do
        service=${service%/}
        [ -d "$service" ] || continue
        status=$(s6-svstat -o pid,updownfor,wantedup,paused,exitcode,signal "$service" 2>&1)
        printf 'service s6 %s %s\nstatus %s\n' "$1" "$service" "$status"
        pid=${status%% *}
        logger=
        [ ! -d "$service/log" ] || logger=$(s6-svstat -o pid "$service/log" 2>/dev/null)
        told "${pid#-1}" "${logger#-1}" "$1" "$service"
    done
}
s6_act() {
    case $1 in
        up) s6-svc -u "$3" ;;
        down) s6-svc -d "$3" ;;
        restart) s6-svc -ru "$3" ;;
    esac
}
"""


class S6:
    name = "s6"
    processes = "s6-svscan"
    script = _SCRIPT
    patience = 10.0
    steady = False

    def understood(self, where: str, status: str) -> State:
        """status: what s6-svstat answers to the options above."""
        fields = status.split(" ")
        if len(fields) != 6 or not {fields[2], fields[3]} <= {"true", "false"}:
            return State("failed", why=status) if "s6-svstat: " in status else State(why=status)
        pid, seconds = number(fields[0]), number(fields[1])
        wanted, paused = fields[2] == "true", fields[3] == "true"
        if pid and wanted:
            return State("paused" if paused else "running", pid, seconds)
        if pid:
            return State("stopping", pid, seconds)
        ended = f"ended by {fields[5]}" if fields[5] != "NA" else f"ended with {fields[4]}"
        return State("restarting", 0, seconds, ended) if wanted else State("down", 0, seconds)
