"""A command that the engine started, as the guardian's charge: signalled and ended by the host's number of it where the
container's processes are ours to signal, else from inside, by a second exec."""

from __future__ import annotations

import os
from select import poll
from time import monotonic

from dockshell.errors import EngineError, SessionLost
from dockshell.linux.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.engines import Api
    from dockshell.model import Container

__all__ = ["Ward"]

_MOMENT = 1.0  # seconds for the engine to begin, and to note the number of what it has begun
_PATIENCE = 10.0  # seconds for a second exec
_ROOT = "0"
_LARGEST = 1 << 12  # bytes: what answers is the container's


class Ward:
    """The guardian's `Duty`. user: as the exec was given it; mark: `NAME=VALUE` in the command's environment where its
    number can't be known from here, else empty; shell: the words that begin a script inside."""

    def __init__(
        self, api: Api, container: Container, exec_id: str, user: str, mark: str, shell: tuple[str, ...] = ("/bin/sh",)
    ) -> None:
        self._shell = shell
        self._shared_api = api
        self._container = container
        self._id = exec_id
        self._user = user
        self._mark = mark
        self._found = ("", "")

    def signal(self, number: int) -> bool:
        return self._reach(number)

    def end(self) -> None:
        self._reach(0)

    def _reach(self, number: int) -> bool:
        """Signals the command, or for 0 ends its session."""
        try:
            self._api = self._shared_api.anew()
            pid = self._begun()
            if not pid:
                return True  # it has ended, or never began
            if self._container.local:
                try:
                    return self._from_here(pid, number) or _ended(pid)
                except PermissionError:
                    pass
                except OSError:
                    return _ended(pid)
            what = str(number) if number else "end"
            return self._from_inside(self._user, what) or (self._user != _ROOT and self._from_inside(_ROOT, what))
        except (EngineError, SessionLost, OSError):
            return False

    def _begun(self) -> int:
        """The engine's number of the command, waited for until it has one; 0 where nothing runs."""
        give_up = monotonic() + _MOMENT
        while True:
            facts = self._api.exec_inspect(self._id)
            if facts.get("Running") and facts.get("Pid"):
                return int(facts["Pid"])
            if monotonic() > give_up or (not facts.get("Running") and facts.get("ExitCode")):
                return 0
            poll().poll(5)

    def _from_here(self, pid: int, number: int) -> bool:
        """Raises PermissionError where it isn't ours to signal; then it is known at least who it is."""
        process = Process(pid)
        if not (process.belongs_to(self._container.id, 0, self._container.owner) or self._shares(pid)):
            return False
        self._found = (process.status()["NSpid"].split()[-1], process.ticks())
        from dockshell.linux import sessions

        # The runtime has made it a session's leader.
        if number:
            sessions.deliver(pid, number)
        else:
            os.kill(pid, 0)
            sessions.end(pid)
        return True

    def _shares(self, pid: int) -> bool:
        """Where the engine keeps no cgroups, as a rootless one on version 1: is it in the pid namespace of the
        container's first process, which is proved by its start, and does the engine, asked anew, still mean it?"""
        first = self._container.pid
        ours = Process(first).belongs_to(self._container.id, self._container.started, self._container.owner)
        same = ours and os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{first}/ns/pid")
        return same and self._begun() == pid

    def _from_inside(self, user: str, what: str) -> bool:
        """By the container's own shell, as that user: only its own user or root may signal a process, and not even root
        may read another's environment."""
        from dockshell import inside
        from dockshell.engines.aside import aside

        argv = inside.once(self._shell, what, *self._found, self._mark if not self._found[0] else "")
        code, told, _ = aside(self._api, self._container.id, argv, user, limit=_LARGEST, patience=_PATIENCE)
        words = told.decode("ascii", "replace").split()
        if len(words) == 2 and all(word.isdigit() for word in words):
            self._found = (words[0], words[1])
        return code == 0 or (code == inside.GONE and bool(self._found[0]))


def _ended(pid: int) -> bool:
    """Has it ended since the engine was asked? Then nobody is left to be signalled."""
    try:
        return not Process(pid).alive()
    except OSError:
        return True
