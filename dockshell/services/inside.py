"""A script that runs in a container, as root or another user, by the kernel or the engine's exec, and what it says."""

from __future__ import annotations

import shlex
from select import POLLIN, poll
from time import monotonic

from dockshell import entering
from dockshell.errors import CommandNotFound, DockshellError, Refused, printable
from dockshell.linux.signals import release
from dockshell.model import Command, replace
from dockshell.routes.obstacles import require_none
from dockshell.voice import Voice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dockshell.entering import Way
    from dockshell.model import Container
    from dockshell.session import Session

__all__ = ["VIA", "Inside", "what_runs"]

VIA = "nsenter,exec"  # the ways in that end up among the container's processes, as a root that is its own
_MUCH = 1 << 21  # bytes that it may say
_SHELL = "/bin/sh"


class Inside:
    """Runs a script of ours in that container."""

    def __init__(self, container: Container, way: Way, script: str) -> None:
        self._container, self._way, self._script = container, way, script

    def told(self, *words: str, patience: float, user: str = "0") -> bytes:
        """What it says to these words on stdout, as that user. Raises Refused, with the last that it said on stderr,
        where it fails, takes longer than so many seconds or says more than it should; what entering.run() does."""
        collected: dict[int, list[bytes]] = {1: [], 2: []}
        code = self._run(words, user, _Reading(lambda stream, data: collected[stream].append(data), patience))
        if code:
            self.failed()
            said = b"".join(collected[2]).decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise Refused(f"{printable(said)[:300] or f'it ended with {code}'}: see to that in {self._name}")
        return b"".join(collected[1])

    def follow(self, *words: str, take: Callable[[bytes], None], user: str = "0") -> int:
        """Hands on what it says on stdout, as it comes, to its end → its exit code. Raises what entering.run() does."""
        return self._run(words, user, _Reading(lambda stream, data: take(data) if stream == 1 else None, None))

    def failed(self) -> None:
        """Raises DockshellError where what has just failed inside failed for a reason that is known from outside."""
        require_none(self._container, failed=True)

    def _run(self, words: Sequence[str], user: str, reading: _Reading) -> int:
        require_none(self._container)
        argv = [word.encode("utf-8", "surrogateescape") for word in (_SHELL, "-c", self._script, "dockshell", *words)]
        command = Command(argv=tuple(argv), user=user, directory="/", input=False)
        try:
            code = entering.run(self._container, command, self._way, drive=reading)[0]
        except CommandNotFound:
            raise Refused(
                f"{self._name} has no {_SHELL}, by which its services would be looked at: "
                f"{what_runs(self._container)} shows what runs in it"
            ) from None
        except _Late as late:
            self.failed()
            raise Refused(
                f"what looks after the services in {self._name} {late}: is something in there stuck?"
            ) from None
        except DockshellError:
            self.failed()
            raise
        self._way = replace(self._way, voice=Voice())  # which way was taken is told once
        return code

    @property
    def _name(self) -> str:
        return printable(self._container.name)


def what_runs(container: Container) -> str:
    """The command that lists that container's processes, in backquotes; it takes no program inside."""
    name = shlex.quote(printable(container.name))
    if container.engine.api:
        return f"`{container.engine.name} top {name}`"
    return f"`dockshell exec --via toolbox {name} ps`"


class _Late(Exception):
    """It took too long or said too much. str() of it says which."""


class _Reading:
    """Drives a session without input. patience: seconds for all of it, with a bound for what it says; None for
    neither. Ctrl-C is ours, and ends it."""

    def __init__(self, take: Callable[[int, bytes], None], patience: float | None) -> None:
        self._take = take
        self._patience = patience
        self._until = None if patience is None else monotonic() + patience

    def __call__(self, session: Session, taken: bytes) -> int:
        release()
        size = 0
        while ready := session.ready:
            poller = poll()
            for descriptor in ready:
                poller.register(descriptor, POLLIN)
            left = None if self._until is None else self._until - monotonic()
            if left is not None and left <= 0:
                raise _Late(f"did not answer within {self._patience:.0f} seconds")
            for descriptor, _ in poller.poll(None if left is None else left * 1000 + 1):
                for stream, data in session.receive(descriptor):
                    size += len(data)
                    if left is not None and size > _MUCH:
                        raise _Late("says more than it should")
                    self._take(stream, data)
        return session.wait()
