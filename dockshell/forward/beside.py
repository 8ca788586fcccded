"""Through the engine's API alone: a sidecar in the container's network, and in it a program for each connection, by the
engine's exec. Nothing runs in the container, and nothing is needed there.

The programs are the sidecar's, and end with it, whatever ends us."""

from __future__ import annotations

import os
import socket
import threading
from queue import SimpleQueue
from select import EPOLLIN, POLLIN, poll
from time import monotonic

from dockshell.engines.sidecar import PLACE, Load, Sidecar
from dockshell.errors import EngineError
from dockshell.forward.carrying import Far
from dockshell.tools.busybox import NoTools, static_busybox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dockshell.engines import Api, Stream
    from dockshell.forward.ways import Inside, Then
    from dockshell.ssh.forwards import Spot

    Work = Callable[[Api], None]

__all__ = ["Beside", "way"]

_NOBODY = 65534  # whose rights matter at no port
_THREADS = 8  # that wait for the engine: one exec takes it some 50 ms, several at once little more
_LIMIT = 1.0  # seconds for all of them to end
_PATIENCE = 10  # seconds for a connection
_FAREWELL = 2000  # milliseconds for a sidecar to end
# Stays in the place of what a sidecar does else, which is to read to its end: Podman removes none in which programs go
# on, and leaves them alone where the pid namespace is another's. {} is the name of a file that only this one has.
_END = f"""
echo $$; exec >/dev/null
while read -r line; do :; done
for each in /proc/[0-9]*; do
    if [ -e "$each/root{PLACE}/{{0}}" ] && [ "${{{{each#/proc/}}}}" != $$ ]; then kill -9 "${{{{each#/proc/}}}}"; fi
done
exit 0
"""


def way(inside: Inside) -> Beside:
    return Beside(inside)


class Beside:
    """The `Way`."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._sidecar: Sidecar | None = None
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def refuses(self, spot: Spot) -> str | None:
        api = self._inside.container.engine.api
        if api is None:
            return "there is no engine to ask"
        if spot.path:
            return "a Unix socket is out of a sidecar's reach: use sudo, on the container's machine"
        if self._sidecar is None:
            try:
                mark = os.urandom(8).hex()
                load = Load(static_busybox(), prelude=_END.format(mark))
                load.write(mark, b"")
                self._sidecar = Sidecar(api, self._inside.container, (_NOBODY, _NOBODY), load)
            except (NoTools, EngineError) as error:
                return str(error)
            assert self._sidecar.link
            # It says nothing any more; this is its end.
            self._inside.loop.watch(self._sidecar.link.fileno(), EPOLLIN, lambda events: self._inside.lost())
        return None

    def dial(self, spot: Spot, then: Then) -> None:
        if len(self._threads) < _THREADS:
            assert self._inside.container.engine.api
            api = self._inside.container.engine.api.anew()
            self._threads.append(threading.Thread(target=self._serve, args=(api,), daemon=True))
            self._threads[-1].start()
        self._work.put(lambda api: self._connect(api, spot, then))

    def close(self) -> None:
        self._closed = True
        until = monotonic() + _LIMIT
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join(max(0, until - monotonic()))
        if self._sidecar:
            if self._sidecar.link:
                self._inside.loop.forget(self._sidecar.link.fileno())
                _ended(self._sidecar.link)
            self._sidecar.close()

    def _serve(self, api: Api) -> None:
        while (work := self._work.get()) and not self._closed:
            work(api)

    def _connect(self, api: Api, spot: Spot, then: Then) -> None:
        """In a thread."""
        assert self._sidecar
        argv = [f"{PLACE}/busybox", "nc", "-w", str(_PATIENCE), "127.0.0.1", str(spot.port)]
        body = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": False, "Tty": False, "Cmd": argv}
        try:
            made = api.exec_create(self._sidecar.id, body)
            stream = api.exec_start(made, terminal=False)
        except EngineError as error:
            failure = OSError(0, str(error))
            self._inside.loop.post(lambda: then(failure))
            return
        far = Far(stream, framed=True, ended=lambda received: self._ended(made, spot, received))
        self._inside.loop.post(lambda: then(far))

    def _ended(self, made: str, spot: Spot, received: int) -> None:
        """-v tells of one from which nothing came, where that is since nobody listened."""
        if received or not self._inside.voice.loud:
            return

        def look(api: Api) -> None:
            try:
                failed = api.exec_inspect(made).get("ExitCode")
            except EngineError:
                failed = 0
            if failed:
                self._inside.voice.tell(
                    f"{spot.port}: not connected: nobody listens at 127.0.0.1 port {spot.port} inside"
                )

        self._work.put(look)


def _ended(link: Stream) -> None:
    """Has it end by itself first, and what runs in it with it."""
    try:
        link.shutdown(socket.SHUT_WR)
    except OSError:
        return
    waiter = poll()
    waiter.register(link.fileno(), POLLIN)
    waiter.poll(_FAREWELL)
