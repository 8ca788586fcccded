"""The sshd of a container that is laid out like baseimage-docker: a service of runit's (runsv(8), sv(8)), which is off
while /etc/service/sshd/down exists.

Switched on by us, it is switched off again as if nothing had been: what was changed is noted inside, in /etc, where it
lasts as long as the change itself does. What is done inside is done by one script, as root."""

from __future__ import annotations

import re

from dockshell.errors import DockshellError, printable
from dockshell.model import noun
from dockshell.ssh import hostkeys, listening

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dockshell.engines import Files
    from dockshell.model import Container

    # argv → exit code, stdout, stderr: of what is run inside as root.
    Inside = Callable[[Sequence[str]], tuple[int, bytes, bytes]]

__all__ = ["Facts", "Service", "switched_on"]

_SERVICE = "/etc/service/sshd"
_RECORD = "/etc/dockshell.sshd"
_SHELL = "/bin/sh"
_SV = ("/usr/bin/sv", "/bin/sv", "/usr/sbin/sv", "/sbin/sv", "/usr/local/bin/sv", "/usr/local/sbin/sv")
_SCRIPT = r"""
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
service=$2
record=$3
keys=/etc/ssh/ssh_host_
run=/run/sshd

# A line for each fact; which sockets listen, and which of them are an sshd's.
look() {
    # Where /etc can't be written, runsv works elsewhere (image/layers/init/sbin/my_init).
    elsewhere=/run/service/${service##*/}
    [ -e "$service/supervise" ] || [ ! -e "$elsewhere/supervise" ] || service=$elsewhere
    echo "service $(sv status "$service" 2>&1)"
    [ ! -e "$service/down" ] || echo down
    [ ! -d "$record" ] || echo record
    for process in /proc/[0-9]*; do
        name=
        { read -r name <"$process/comm"; } 2>/dev/null
        [ "$name" = sshd ] || continue
        while read -r word value; do
            [ "$word" != PPid: ] || echo "process ${process#/proc/} $value"
        done 2>/dev/null <"$process/status"
        ls -l "$process/fd" 2>/dev/null | while read -r line; do
            case $line in *socket:*) echo "socket ${process#/proc/} ${line##*socket:}" ;; esac
        done
    done
    for table in tcp tcp6; do
        [ -r "/proc/net/$table" ] || continue
        while read -r line; do
            case $line in *" 0A "*) echo "$table $line" ;; esac
        done <"/proc/net/$table"
    done
}

# Notes which host keys were made since the list was: with their sums, so that none is removed that somebody changed.
note_keys() {
    for key in "$keys"*; do
        [ ! -f "$key" ] || grep -qxF "$key" "$record/before" || cksum "$key" >>"$record/made"
    done
    rm "$record/before"
}

make_keys() {
    for key in "$keys"*_key; do
        [ ! -f "$key" ] || return 0
    done
    for key in "$keys"*; do echo "$key"; done >"$record/before"
    # The image's own way may be to configure its package anew, which changes more than can be undone: it comes second.
    ssh-keygen -A || "${service%/service/*}/my_init.d/00_regen_ssh_host_keys.sh"
    note_keys
}

enable() {
    if [ ! -d "$record" ]; then
        mkdir -m 0700 "$record"
        [ -d "$run" ] || : >"$record/run"
        case $(sv status "$service") in run:*) : >"$record/up" ;; esac
    fi
    [ ! -e "$service/down" ] || mv -f "$service/down" "$record/down"
    make_keys
    sv up "$service"
}

disable() {
    [ ! -e "$record/before" ] || note_keys
    if [ -e "$record/down" ]; then
        # One that somebody put there since has the last word.
        if [ -e "$service/down" ]; then rm "$record/down"; else mv "$record/down" "$service/down"; fi
    fi
    case $(sv status "$service") in
        run:* | down:*) [ -e "$record/up" ] || sv -w 15 stop "$service" ;;
    esac
    if [ -e "$record/made" ]; then
        while read -r sum size key; do
            [ ! -f "$key" ] || [ "$(cksum "$key")" != "$sum $size $key" ] || rm "$key"
        done <"$record/made"
    fi
    [ ! -e "$record/run" ] || [ ! -d "$run" ] || rmdir "$run" || :
    rm -f "$record/made" "$record/run" "$record/up"
    rmdir "$record"
}

if [ "$1" = look ]; then
    look
else
    set -e
    "$1" >&2
fi
"""
_STATE = re.compile(r"(run|down): [^:]*:(?: \(pid ([0-9]{1,10})\))? ")  # sv(8), status


@noun(frozen=True)
class Facts:
    """state: `run` or `down`, empty where no runsv looks after the service; pid: of its process, 0 for none; disabled:
    it has a `down` file; recorded: it was switched on by us. listening: (port, address) of each socket at which an sshd
    listens, whoever started it."""

    state: str = ""
    pid: int = 0
    disabled: bool = False
    recorded: bool = False
    listening: tuple[tuple[int, str], ...] = ()


def switched_on(files: Files) -> bool:
    """Was the sshd of the container with these files switched on by us?"""
    return files.directory(_RECORD)


class Service:
    """The sshd inside that container. inside: runs words there as root."""

    def __init__(self, container: Container, files: Files, inside: Inside) -> None:
        self._container = container
        self._files = files
        self._inside = inside

    def lacks(self, facts: Facts) -> list[str]:
        """What it would need for being switched on and off; empty where all is there."""
        lacking = []
        if not self._files.executable(_SHELL):
            lacking.append(f"a {_SHELL}")
        if not self._files.executable(f"{_SERVICE}/run"):
            lacking.append(f"the service {_SERVICE}")
        if not any(self._files.executable(path) for path in _SV):
            lacking.append("runit's sv")
        if not lacking and not facts.state:
            lacking.append(f"a runsv that looks after {_SERVICE} (was it started by another command than my_init?)")
        return lacking

    def look(self) -> Facts:
        """How it is now. Raises EngineError, DockshellError."""
        if self._files.executable(_SHELL):
            return understood(self._run("look"))
        # What listens can still be seen from outside, on this machine.
        port = listening.configured_port(self._files)
        found = (listening.listeners(self._container) or {}).get(port, set())
        return Facts(listening=tuple((port, address) for address in sorted(found)))

    def enable(self) -> None:
        """Switches it on, and notes what that changed; what an earlier try left undone too. Raises as look() does."""
        self._run("enable")

    def disable(self) -> None:
        """Undoes what enable() did. Raises as look() does."""
        self._run("disable")

    def host_keys(self) -> list[tuple[str, bytes]]:
        """(type, blob) of each of its host keys."""
        return [(kind, blob) for kind, blobs in hostkeys.read(self._files).items() for blob in sorted(blobs)]

    def _run(self, verb: str) -> str:
        code, out, err = self._inside([_SHELL, "-c", _SCRIPT, "dockshell", verb, _SERVICE, _RECORD])
        if code:
            name = printable(self._container.name)
            # What a runtime has to say of a program that it can't start comes on stdout.
            said = (err.strip() or out.strip()).decode("utf-8", "replace").rpartition("\n")[2]
            why = f"exit code {code}: {printable(said)[:200]}" if said else f"exit code {code}"
            if verb == "look":
                raise DockshellError(f"the sshd in {name} could not be looked at ({why}): set that right and try again")
            raise DockshellError(
                f"the sshd in {name} could not be switched ({why}): set that right and try again; "
                f"`dockshell ssh disable {name}` undoes what was done so far"
            )
        return out.decode("utf-8", "replace")


def understood(told: str) -> Facts:
    """What the script told → Facts. Pure; all of it is the container's to say."""
    state, pid, words = "", 0, set()
    parents: dict[str, str] = {}
    sockets: dict[str, set[str]] = {}
    tables: list[str] = []
    for line in told.splitlines():
        word, _, rest = line.partition(" ")
        fields = rest.split()
        if word == "service" and (match := _STATE.match(rest)):
            state, pid = match[1], int(match[2] or 0)
        elif word == "process" and len(fields) == 2:
            parents[fields[0]] = fields[1]
        elif word == "socket" and len(fields) == 2:
            sockets.setdefault(fields[0], set()).add(fields[1].strip("[]"))
        elif word in ("tcp", "tcp6"):
            tables.append(rest)
        elif not rest:
            words.add(word)
    # What the sshd of a single login listens at is what that login forwards.
    own = {each for process, found in sockets.items() if parents.get(process) not in parents for each in found}
    return Facts(
        state=state,
        pid=pid,
        disabled="down" in words,
        recorded="record" in words,
        listening=tuple(sorted(_listening(tables, own))),
    )


def _listening(tables: list[str], own: set[str]) -> set[tuple[int, str]]:
    """Lines of /proc/net/tcp and tcp6 (proc(5)) → (port, address) of those sockets."""
    found: set[tuple[int, str]] = set()
    for line in tables:
        fields = line.split()
        try:
            if len(fields) > 9 and fields[9] in own:
                found.update(each for each in listening.parse_table(["", line]) if 0 < each[0] < 1 << 16)
        except ValueError:
            continue
    return found
