"""An engine of the tests' world and its own command: what dockshell is compared with, and what containers are made
by."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from tests.world.archive import write_image
from tests.world.images import IMAGES

_numbers = itertools.count(1)


class Peer:
    """name: `docker` or `podman`, or another with one of these in it. url: its socket, as DOCKER_HOST wants it. cli:
    the words before those of its own command. env: what that command needs on top of the environment."""

    def __init__(
        self, name: str, url: str, cli: Sequence[str], env: Mapping[str, str], scratch: str, say: Callable[[str], None]
    ) -> None:
        self.name, self.url, self.cli, self.env = name, url, tuple(cli), dict(env)
        self._scratch, self._say = scratch, say
        self._images: set[str] = set()
        self._shared: dict[str, str] = {}
        self._containers: list[str] = []

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def sh(
        self, *words: str, check: bool = True, input: bytes | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs the engine's own command with these words: `peer.sh("exec", name, "id")`. Raises AssertionError, with
        what the command said, where it fails and check is on."""
        stdin = subprocess.DEVNULL if input is None else None
        env = {**os.environ, **self.env}
        argv = [*self.cli, *words]
        done = subprocess.run(
            argv, input=input, stdin=stdin, env=env, capture_output=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise AssertionError(
                f"{self.name} {' '.join(words)} failed with {done.returncode}: {done.stderr.decode(errors='replace')}"
            )
        return done

    def reply(self, container: str, script: str, options: Sequence[str] = ()) -> bytes:
        """What a script of sh prints in a container by the engine's own exec, whole: where its first or last bytes did
        not arrive, as now and then by Podman 4.3 on a busy machine, it is run again."""
        for _ in range(5):
            told = self.sh("exec", *options, container, "sh", "-c", f"echo BEGIN; {script}\necho END").stdout
            if told.startswith(b"BEGIN\n") and told.endswith(b"END\n"):
                return told[len(b"BEGIN\n") : -len(b"END\n")]
        raise AssertionError(f"{self.name} exec lost output of {container} five times in a row; the last is {told!r}")

    def ask(self, *words: str) -> str:
        """What the engine's own command prints, without the newline at its end."""
        return self.sh(*words).stdout.decode(errors="surrogateescape").removesuffix("\n")

    def image_ids(self, *options: str) -> list[str]:
        """The whole ids of the images that the engine lists, sorted: it lists those of one age in any order."""
        return sorted(self.ask("images", "--quiet", "--no-trunc", *options).split())

    def image(self, name: str) -> str:
        """The reference of an image of images.py, made first where the engine lacks it; any other name is returned as
        it is."""
        if name not in IMAGES:
            return name
        reference = f"dockshell-test/{name}"
        if name not in self._images:
            image = IMAGES[name]
            layers = image.layers(self._scratch, self._say)
            if image.built:
                layers.append(image.built(self, self._scratch, self._say))
            self._load(lambda out: write_image(out, reference, dict(image.config), layers))
            self._images.add(name)
        return reference

    def import_image(self, reference: str, layer: str, config: Mapping[str, Any]) -> str:
        """Makes an image of one layer (the path of a tar, see archive.Layer.write) and a configuration; returns the
        reference."""
        self._load(lambda out: write_image(out, reference, dict(config), [layer]))
        self._images.add(reference)
        return reference

    def build(self, reference: str, dockerfile: str, context: str = "", timeout: float = 300) -> str:
        """Makes an image by the engine's own builder; returns the reference. context: a directory to COPY from."""
        source = ("--file", "-", context) if context else ("-",)
        if "docker" in self.name:
            self.env["DOCKER_BUILDKIT"] = "0"  # its successor is a plugin, which isn't everywhere
        self.sh("build", "--tag", reference, *source, input=dockerfile.encode(), timeout=timeout)
        self._images.add(reference)
        return reference

    def adopt(self, reference: str) -> str:
        """Notes that an image which something else made goes at the end; returns the reference."""
        self._images.add(reference)
        return reference

    def _load(self, write: Callable[[IO[bytes]], None]) -> None:
        """`load`, fed through a pipe."""
        env = {**os.environ, **self.env}
        with subprocess.Popen(
            [*self.cli, "load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env
        ) as load:
            assert load.stdin and load.stdout
            try:
                write(load.stdin)
                load.stdin.close()
            except BrokenPipeError:
                pass
            said = load.stdout.read().decode(errors="replace")
        if load.returncode:
            raise RuntimeError(f"{self.name} load failed: {said}")

    def run(self, image: str, *command: str, name: str | None = None, options: Sequence[str] = ()) -> str:
        """Starts a container in the background with the image's own options (images.py) and these; returns its name.
        It is removed after the test at the latest."""
        name = name or f"dsh-{os.getpid()}-{next(_numbers)}"
        of_image = IMAGES[image].options if image in IMAGES else ()
        self._containers.append(name)
        self.sh("run", "--detach", "--name", name, *of_image, *options, self.image(image), *command)
        return name

    def shared(self, image: str) -> str:
        """The name of a container of the image that all tests share and leave as they found it; for `baseimage` with
        sshd and the insecure key."""
        return self.kept(image, self.baseimage if image == "baseimage" else lambda: self.run(image))

    def kept(self, key: str, make: Callable[[], str]) -> str:
        """The name of a container that lasts to the end of the run: the one that is known by the key, which make()
        starts when it is first asked for."""
        if key not in self._shared:
            name = make()
            self._containers.remove(name)
            self._shared[key] = name
        return self._shared[key]

    def baseimage(self, sshd: bool = True, insecure_key: bool = True, options: Sequence[str] = ()) -> str:
        """Starts a baseimage; with sshd, waits until that listens. Returns the container's name."""
        enable = "rm /etc/service/sshd/down; " if sshd else ""
        key = " --enable-insecure-key" if insecure_key else ""
        name = self.run("baseimage", "sh", "-c", f"{enable}exec /sbin/my_init{key}", options=options)
        until = time.monotonic() + 30
        while sshd and not self._listens(name, 22):
            if time.monotonic() > until:
                raise RuntimeError(f"sshd in {name} does not listen; its log: {self.sh('logs', name).stderr.decode()}")
            time.sleep(0.1)
        return name

    def _listens(self, name: str, port: int) -> bool:
        """State 0A is LISTEN (proc_net_tcp)."""
        sockets = self.sh("exec", name, "cat", "/proc/net/tcp", check=False).stdout.decode().splitlines()[1:]
        return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in sockets)

    def inspect(self, name: str) -> dict[str, Any]:
        """The engine's own facts about a container."""
        facts: list[dict[str, Any]] = json.loads(self.ask("container", "inspect", name))
        return facts[0]

    def pid(self, name: str) -> int:
        """The host's number of the container's first process."""
        return int(self.inspect(name)["State"]["Pid"])

    def remove_containers(self, first: int = 0) -> None:
        """Removes the containers that run() started, from the first-th on; not the shared ones."""
        doomed, self._containers = self._containers[first:], self._containers[:first]
        if doomed:
            at_once = ("--time", "0") if "podman" in self.name else ()
            self.sh("rm", "--force", "--volumes", *at_once, *doomed, check=False)

    @property
    def started(self) -> int:
        """How many containers run() has started that are not removed yet."""
        return len(self._containers)

    def close(self) -> None:
        """Removes everything that the tests made on this engine."""
        self._containers += self._shared.values()
        self.remove_containers()
        for image in sorted(self._images):
            self.sh("rmi", f"dockshell-test/{image}" if image in IMAGES else image, check=False)
