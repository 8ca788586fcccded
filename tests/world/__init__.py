"""The real world that the tests run in: engines, images and containers, made from nothing and gone afterwards.

`World` starts an engine when it is first asked for (a second each), makes an image at its first use (images.py says
what is in each), and removes it all at the end. A run that was killed is cleaned up after by the next one
(scratch.py).

- Docker: the engine that answers at DOCKER_HOST or the default socket; else, as root, a dockerd of the tests' own
  (own_docker.py).
- Podman: as root a `podman system service` of the tests' own (own_podman.py).
- Rootless Podman: as root the same of a person without it (own_rootless_podman.py).
- Docker 26, on cgroup v2: as root, in a Debian of its own (own_docker26.py).

In a test: the fixtures `engine` (each of the two), `docker`, `podman` (conftest.py) give a `Peer` (peer.py)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from tests.world.daemon import Daemon, answers
from tests.world.own_docker import start_docker
from tests.world.own_docker26 import start_docker26
from tests.world.own_podman import podman_command, podman_environment, start_podman
from tests.world.own_rootless_podman import rootless_environment, start_rootless_podman
from tests.world.peer import Peer
from tests.world.scratch import make_scratch, remove_scratch
from tests.world.unavailable import Unavailable

__all__ = ["Peer", "Unavailable", "World"]


class World:
    """The engines. `with World() as world:` works without pytest too: then Unavailable says what the machine lacks."""

    def __init__(self, say: Callable[[str], None] = lambda text: None) -> None:
        self._say = say
        self._scratch = ""
        self._peers: dict[str, Peer | BaseException] = {}
        self._daemons: list[Daemon] = []

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def docker(self) -> Peer:
        """Docker. Raises Unavailable where none can be had, RuntimeError where it does not start."""
        return self._peer("docker", self._start_docker)

    @property
    def docker26(self) -> Peer:
        """A newer Docker, on cgroup v2. Raises Unavailable where none can be had, RuntimeError where it does not
        start."""
        return self._peer("docker26", self._start_docker26)

    @property
    def podman(self) -> Peer:
        """Podman. Raises Unavailable where none can be had, RuntimeError where it does not start."""
        return self._peer("podman", self._start_podman)

    @property
    def rootless_podman(self) -> Peer:
        """Podman of a person without root, the one that own_rootless_podman.USER is. Raises Unavailable where none can
        be had, RuntimeError where it does not start."""
        return self._peer("rootless-podman", self._start_rootless_podman)

    @property
    def peers(self) -> list[Peer]:
        """The engines that were started so far."""
        return [peer for peer in self._peers.values() if isinstance(peer, Peer)]

    @property
    def pids(self) -> set[int]:
        """The processes of the engines, which outlive a test."""
        return {daemon.process.pid for daemon in self._daemons}

    def need(self, condition: object, reason: str) -> None:
        """Skips the test, with the reason, where the condition does not hold. The only way for a test to skip."""
        if not condition:
            raise Unavailable(reason)

    def need_root(self) -> None:
        self.need(os.geteuid() == 0, "needs root")

    def need_program(self, name: str) -> str:
        """The path of a program that this machine is to have."""
        path = shutil.which(name)
        self.need(path, f"{name} is not installed")
        assert path
        return path

    def close(self) -> None:
        """Removes all that was made."""
        for peer in self.peers:
            peer.close()
        for daemon in self._daemons:
            daemon.stop()
        if self._scratch:
            remove_scratch(self._scratch)
        self._peers.clear()
        self._daemons.clear()
        self._scratch = ""

    def _peer(self, name: str, start: Callable[[], Peer]) -> Peer:
        if name not in self._peers:
            try:
                self._peers[name] = start()
            except (Unavailable, RuntimeError) as failure:
                self._peers[name] = failure
        peer = self._peers[name]
        if isinstance(peer, Peer):
            return peer
        raise peer.with_traceback(None)

    def _start_docker(self) -> Peer:
        client = self.need_program("docker")
        url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        if not url.startswith("unix://") or not answers(url.removeprefix("unix://")):
            self.need(not os.environ.get("DOCKER_HOST"), "no engine answers at DOCKER_HOST over a unix socket")
            self.need_root()
            self.need_program("dockerd")
            daemon = start_docker(self.scratch)
            self._daemons.append(daemon)
            url = daemon.url
        return Peer("docker", url, [client, "-H", url], {}, self.scratch, self._say)

    def _start_docker26(self) -> Peer:
        client = self.need_program("docker")
        self.need_root()
        daemon = start_docker26(self.scratch, self._say)
        self._daemons.append(daemon)
        return Peer("docker26", daemon.url, [client, "-H", daemon.url], {}, self.scratch, self._say)

    def _start_podman(self) -> Peer:
        self.need_program("podman")
        self.need_root()
        daemon = start_podman(self.scratch)
        self._daemons.append(daemon)
        return Peer(
            "podman",
            daemon.url,
            podman_command(self.scratch),
            podman_environment(self.scratch),
            self.scratch,
            self._say,
        )

    def _start_rootless_podman(self) -> Peer:
        self.need_root()
        client = self.need_program("podman")
        self.need_program("newuidmap")
        daemon = start_rootless_podman(self.scratch)
        self._daemons.append(daemon)
        cli = [client, "--remote", "--url", daemon.url]
        return Peer("rootless-podman", daemon.url, cli, rootless_environment(self.scratch), self.scratch, self._say)

    @property
    def scratch(self) -> str:
        """This run's own directory, gone at the end."""
        if not self._scratch:
            self._scratch = make_scratch()
        return self._scratch
