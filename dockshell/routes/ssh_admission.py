"""The key of our own, let into a container for one login: put into the user's authorized_keys by the engine's exec, and
taken out again by a process that outlives us."""

from __future__ import annotations

import os
import time
from base64 import b64encode
from select import POLLIN, poll

from dockshell.engines.aside import LATE, aside
from dockshell.errors import EngineError, SessionLost, printable
from dockshell.linux.guardian import Guardian
from dockshell.ssh import admission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockshell.engines import Api
    from dockshell.identity import Identity
    from dockshell.model import Container
    from dockshell.ssh.keys import Key

__all__ = ["Admission"]

_IN, _OUT = 1, 2  # what the porter is told, in the place of a signal's number
_PATIENCE = 10.0  # seconds for the script
_LONGEST = 15.0  # … and for its answer, with the engine's own time
_LARGEST = 1 << 12  # bytes: what answers is the container's


class Admission:
    """Of a key, to one user of a container. Begins at once and doesn't wait: admitted() does, then withdraw() when the
    login is done, and close() in the end. Whatever ends us before, the key is taken out."""

    def __init__(self, container: Container, api: Api, identity: Identity, key: Key, greeting: bytes) -> None:
        self.key = key
        words = admission.line(b64encode(key.blob).decode("ascii"), greeting, time.time())
        self._source, answers = os.pipe()
        porter = _Porter(api, container.id, identity, words, answers)
        try:
            self._guardian = Guardian(porter, [answers])
        finally:
            os.close(answers)
        self._guardian.signal(_IN)

    def admitted(self) -> str:
        """Waits until the key is in. Why it isn't, printable; empty where it is."""
        return self._answer(_IN)

    def withdraw(self) -> None:
        """Has the key taken out, without waiting for that."""
        self._guardian.signal(_OUT)
        self._guardian.dismiss()

    def close(self) -> str:
        """Waits until the key is out, which it is to be at the latest now. Why it may not be; empty where it is."""
        self._guardian.control.close()
        told = self._answer(_OUT)
        os.close(self._source)
        if told != _LATE:
            self._guardian.close()  # its process is at its end
        return told

    def _answer(self, number: int) -> str:
        """What the porter says to that."""
        waiter = poll()
        waiter.register(self._source, POLLIN)
        said = b""
        while True:
            if not waiter.poll(int(_LONGEST * 1000)):
                return _LATE
            byte = os.read(self._source, 1)
            if not byte:
                return "the process that sees to it was killed"
            if byte != b"\n":
                said += byte
            elif said[:1] == b"%d" % number:
                return said[1:].decode("utf-8", "replace")
            else:
                said = b""


_LATE = "the engine takes too long"


class _Porter:
    """The guardian's `Duty`. Answers through a pipe, a line each: what it was told, and why it couldn't."""

    def __init__(self, api: Api, container: str, identity: Identity, words: str, answers: int) -> None:
        self._shared_api = api
        self._container = container
        self._user = f"{identity.uid}:{identity.gid}"
        self._home = identity.home
        self._words = words
        self._token = os.urandom(8).hex()
        self._answers = answers
        self._inside = False

    def signal(self, number: int) -> bool:
        now = time.time()
        if number == _IN:
            reason, self._inside = self._run(admission.put(self._home, self._token, self._words, now))
        else:
            argv = admission.take_out(self._home, self._token, now)
            reason, self._inside = self._run(argv)[0] if self._inside else "", False
        self._tell(number, reason)
        return True

    def end(self) -> None:
        self.signal(_OUT)

    def _run(self, argv: Sequence[str]) -> tuple[str, bool]:
        """Runs the script as the user → why that failed, printable, empty where it didn't; and whether it may have done
        something: also an answer that comes too late may not be the end of it."""
        try:
            api = self._shared_api.anew()
            code, _, said = aside(api, self._container, argv, self._user, limit=_LARGEST, patience=_PATIENCE)
        except (EngineError, SessionLost, OSError) as error:
            return printable(str(error)), not getattr(error, "status", 0)
        if code in (0, LATE):
            return _LATE if code == LATE else "", True
        lines = printable(said.decode("utf-8", "replace").strip())[:200]
        return admission.REASONS.get(code) or f"its /bin/sh ended with {code}, {lines!r}", False

    def _tell(self, number: int, reason: str) -> None:
        try:
            os.write(self._answers, f"{number}{reason}\n".encode("utf-8", "replace"))
        except BrokenPipeError:
            pass  # there is nobody left who would want to know
