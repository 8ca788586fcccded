"""As root: connections made in the container's own network, and at its own files. Nothing is needed inside."""

from __future__ import annotations

import os
import socket
from collections import deque
from select import EPOLLIN

from dockshell.engines.json import decode
from dockshell.errors import DockshellError
from dockshell.forward.carrying import Far
from dockshell.forward.dialling import Dialling
from dockshell.linux import passing
from dockshell.linux.network import Network
from dockshell.linux.own_label import NO_LABEL, UNLABELLED
from dockshell.linux.signals import release
from dockshell.model import Command
from dockshell.routes import Refusal
from dockshell.routes.nsenter import Nsenter, first_process, why_not

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.forward.ways import Inside, Then
    from dockshell.model import Container
    from dockshell.session import Session
    from dockshell.ssh.forwards import Spot

__all__ = ["Within", "unreachable", "way"]

_ENDED = "what connects inside was ended"
_MOMENT = 0.01  # seconds until what was full is tried again


def way(inside: Inside) -> Within:
    return Within(inside)


def unreachable(container: Container) -> str:
    """Why its network can't be joined from here, with the remedy; empty where it can."""
    try:
        first_process(container).close()
        return "" if os.geteuid() == 0 else why_not(PermissionError())
    except Refusal as refusal:
        return str(refusal)
    except OSError as error:
        return why_not(error)


def join(container: Container) -> Network:
    """Its network, which is proved to be its own. Raises Refusal, OSError."""
    process = first_process(container)
    namespace = os.open(f"/proc/{process.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not process.alive():  # then the number, and what was opened by it, may have been another's
            raise ProcessLookupError
        return Network(namespace)
    finally:
        os.close(namespace)
        process.close()


class Within:
    """The `Way`."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._network: Network | None = None
        self._paths: _Paths | None = None

    def refuses(self, spot: Spot) -> str | None:
        try:
            if spot.path and self._paths is None:
                self._paths = _Paths(self._inside)
            elif not spot.path and self._network is None:
                self._network = join(self._inside.container)
        except Refusal as refusal:
            return str(refusal)
        except OSError as error:
            return why_not(error)
        return None

    def dial(self, spot: Spot, then: Then) -> None:
        if spot.path:
            self._dial_path(spot.path, then)
            return
        assert self._network
        # What doesn't listen on loopback may do so at an address that it has besides.
        hosts = ("127.0.0.1", "::1", *(address for _, address in self._inside.container.addresses))
        addresses = [(host, spot.port) for host in dict.fromkeys(hosts)]
        Dialling(
            self._inside.loop,
            addresses,
            self._network.socket,
            lambda made: then(made if isinstance(made, OSError) else Far(made)),
        )

    def close(self) -> None:
        if self._network:
            self._network.close()
        if self._paths:
            self._paths.close()

    def _dial_path(self, path: str, then: Then) -> None:
        try:
            if self._paths is None or self._paths.gone:
                self._paths = _Paths(self._inside)
            self._paths.ask(path, then)
        except (Refusal, DockshellError, OSError) as error:
            failure = error if isinstance(error, OSError) else OSError(0, str(error))
            self._inside.loop.soon(lambda: then(failure))


class _Paths:
    """A process of ours inside, confined as the user's command would be, for it is their rights that count at a Unix
    socket. It makes the connections, and sends them here. Raises Refusal, DockshellError, OSError."""

    def __init__(self, inside: Inside) -> None:
        from dockshell.forward.paths import serve

        self._inside = inside
        self._waiting: dict[int, Then] = {}
        self._unsent: deque[bytes] = deque()
        self._number = 0
        self.gone = False
        nsenter, command = Nsenter(), Command(argv=(b"socket",), user=inside.user, input=False)
        if reason := nsenter.refuses(inside.container, command, asked=False):
            raise Refusal(reason)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._session: Session = nsenter.act(
                inside.container, command, lambda start, files: lambda: serve(theirs), (theirs.fileno(),)
            )
        except BaseException:
            self._control.close()
            raise
        finally:
            theirs.close()
            release()
        self._control.setblocking(False)
        inside.loop.watch(self._control.fileno(), EPOLLIN, lambda events: self._hear())

    def ask(self, path: str, then: Then) -> None:
        self._number += 1
        self._waiting[self._number] = then
        self._unsent.append(b"%d %s" % (self._number, os.fsencode(path)))
        self._send()

    def _send(self) -> None:
        try:
            while self._unsent and not self.gone:
                self._control.send(self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            self._inside.loop.after(_MOMENT, self._send)
        except OSError:
            self.close(self._reason())

    def _hear(self) -> None:
        while not self.gone:
            try:
                content, descriptors = passing.receive(self._control)
            except BlockingIOError:
                return
            except OSError:
                content, descriptors = b"", []
            if content:
                self._take(content, descriptors)
            else:
                self.close(self._reason())

    def _take(self, content: bytes, descriptors: list[int]) -> None:
        told = decode(content)
        made = [socket.socket(fileno=each) for each in descriptors]
        then = self._waiting.pop(told["number"], None)
        if then and made:
            made[0].setblocking(False)
            then(Far(made[0]))
        elif then:
            then(OSError(told["errno"], os.strerror(told["errno"])))

    def _reason(self) -> str:
        """Why it ended by itself."""
        try:
            for descriptor in self._session.ready:
                self._session.receive(descriptor)
        except DockshellError as error:
            return str(error)
        return NO_LABEL if self._session.wait() == UNLABELLED else _ENDED

    def close(self, reason: str = _ENDED) -> None:
        """It ends."""
        if self.gone:
            return
        self.gone = True
        self._inside.loop.forget(self._control.fileno())
        self._control.close()  # by which it ends
        self._session.close()
        for then in self._waiting.values():
            then(OSError(0, reason))
        self._waiting.clear()
