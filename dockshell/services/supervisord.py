"""supervisord: asked by its own interpreter and library, as supervisorctl asks it, with no text in between that is
meant for people (supervisord.org, XML-RPC API Documentation: getAllProcessInfo, startProcess, stopProcess)."""

from __future__ import annotations

from dockshell.services.service import State, number

__all__ = ["Supervisord"]

# $PID, the configuration file that its words name, if any, and what to do. For any Python that supervisord runs with.
# It is no fault that one was stopped (70) or started (60) already, nor that it ended at once (40, 50): that is seen.
_PROGRAM = r"""
import os, sys
try:
    from xmlrpc.client import Fault
except ImportError:
    from xmlrpclib import Fault
pid, configuration, action, name = sys.argv[1:]
from supervisor.options import ClientOptions
options = ClientOptions()
options.usage = sys.exit
options.realize(["-c", configuration] if configuration else [])
server = options.getServerProxy().supervisor

def say(*words):
    line = " ".join(map(str, words)).replace("\n", " ") + "\n"
    getattr(sys.stdout, "buffer", sys.stdout).write(line.encode("utf-8", "replace"))

def regular(path):
    return bool(path) and os.path.isfile(path)

def last(path):
    with open(path, "rb") as file:
        file.seek(max(os.path.getsize(path) - 4000, 0))
        return file.read(4000).rstrip(b"\n").rpartition(b"\n")[2]

def look(each):
    same = each["group"] == each["name"]
    say("service supervisord", pid, each["name"] if same else each["group"] + ":" + each["name"])
    runs = each["statename"] in ("RUNNING", "STARTING", "STOPPING")
    since = each["start"] if runs else each["stop"]
    say("status", each["statename"], each["pid"], max(each["now"] - since, 0) if since else "-", each["description"])
    out, err = each["stdout_logfile"], each.get("stderr_logfile", "")
    logs = [path for path in (out, err) if regular(path)]
    filled = sorted((path for path in logs if os.path.getsize(path)), key=os.path.getmtime)
    if not regular(out):
        logs = filled
    for path in logs:
        say("log", path)
    if filled:
        sys.stdout.flush()
        os.write(1, b"last " + last(filled[-1]) + b"\n")
    if not logs:
        say("words", "container" if out.startswith(("/dev/", "/proc/")) else "nowhere")
    sys.stdout.flush()

def ask(method, codes, wait):
    try:
        method(name, wait)
    except Fault as fault:
        if fault.faultCode not in codes:
            raise

try:
    if action == "look":
        for each in server.getAllProcessInfo():
            look(each)
    if action in ("down", "restart"):
        ask(server.stopProcess, [70], action == "restart")
    if action in ("up", "restart"):
        ask(server.startProcess, [40, 50, 60], False)
except Exception as error:
    sys.exit(str(getattr(error, "faultString", error)))
"""
# A venv's interpreter is known by the word that it was started by, and not by what that leads to. As root that word
# counts only if it leads to what really runs, by a path at which nobody else could have put something.
_SCRIPT = f"""
program='{_PROGRAM.replace("'", chr(39) + chr(92) + chr(39) + chr(39))}'
called_supervisord() {{
    [ "$(words "$1" | head -n 4 | while read -r word; do
        case $word in supervisord | */supervisord | supervisor.supervisord) echo so ;; esac
    done)" ]
}}
roots_own() {{
    for each in "$1" "$(readlink -f -- "$1")" "$(readlink -f -- "${{1%/*}}")"; do
        case $each in /*) ;; *) return 1 ;; esac
        while [ "$each" ]; do
            [ -O "$each" ] || return 1
            case $(ls -ldL -- "$each") in ?????w* | ????????w*) return 1 ;; esac
            each=${{each%/*}}
        done
    done
}}
supervisord_look() {{
    called_supervisord "$1" || return
    error=$(supervisord_act look "$1" "" 2>&1 >&3) ||
        printf 'lacks supervisord: %s\\n' "$(printf '%s' "$error" | tail -n 1)"
}} 3>&1
supervisord_act() {{
    python=$(words "$2" | head -n 1)
    case ${{python##*/}} in python*) ;; *) python=python3 ;; esac
    [ "$python" -ef "/proc/$2/exe" ] || python=python3
    options=
    if [ "${{user%%[!0-9]*}}" = 0 ]; then
        [ "$python" = python3 ] || roots_own "$python" || python=python3
        options='-E -s'
    fi
    configuration=$(words "$2" | while read -r word; do
        case $word in
            -c | --configuration) read -r word; printf '%s\\n' "$word" ;;
            --configuration=*) printf '%s\\n' "${{word#*=}}" ;;
            -c*) printf '%s\\n' "${{word#-c}}" ;;
        esac
    done | tail -n 1)
    at=$(place "/proc/$2/cwd")
    case $configuration in
        /*) ;;
        ?*) configuration=$at/$configuration ;;
        *)
            for each in etc/supervisord.conf supervisord.conf; do
                [ ! -f "$at/$each" ] || configuration=$at/$each
            done
            ;;
    esac
    (cd / && "$python" $options -c "$program" "$2" "$configuration" "$1" "$3")
}}
"""
_STATES = {
    "RUNNING": "running",
    "STARTING": "starting",
    "BACKOFF": "restarting",
    "STOPPING": "stopping",
    "STOPPED": "down",
    "EXITED": "down",
    "FATAL": "failed",
}


class Supervisord:
    name = "supervisord"
    processes = "supervisord | python*"
    script = _SCRIPT
    patience = 15.0  # it kills by itself, after stopwaitsecs, which are 10
    steady = True  # STARTING lasts for startsecs

    def understood(self, where: str, status: str) -> State:
        """status: statename, pid, seconds and description of getProcessInfo."""
        fields = status.split(" ", 3)
        if len(fields) != 4 or fields[0] not in _STATES:
            return State(why=status)
        name = _STATES[fields[0]]
        seconds = None if fields[2] == "-" else number(fields[2])
        why = fields[3] if name in ("restarting", "failed") else ""
        return State(name, number(fields[1]), seconds, why)
