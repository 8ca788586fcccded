"""Where it is played: the tests' own engine and containers (tests/world), and one environment for both sides."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from functools import cached_property

from dockshell.ssh import keys
from tests.world import Peer, World

__all__ = ["Stage"]


class Stage:
    """home: an empty directory, and the HOME of all that is timed. size: how many bytes go through a pipe."""

    def __init__(self, world: World, home: str, size: int) -> None:
        self.world = world
        self.size = size
        self._home = home

    @property
    def docker(self) -> Peer:
        """Raises Unavailable where there is none."""
        return self.world.docker

    @cached_property
    def env(self) -> dict[str, str]:
        """Nothing in it of the person's own: no configuration, no agent, nothing that keeps byte code from being
        written."""
        return {"HOME": self._home, "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "DOCKER_HOST": self.docker.url}

    @cached_property
    def web(self) -> str:
        """A plain container, the same for every row that can share it."""
        return self.docker.run("busybox")

    @cached_property
    def pid(self) -> int:
        """Its first process, as the host counts."""
        return self.docker.pid(self.web)

    def ours(self, name: str) -> str:
        """A command of dockshell's, as installed beside the interpreter that runs this. Raises Unavailable."""
        path = os.path.join(os.path.dirname(sys.executable), name)
        self.world.need(os.access(path, os.X_OK), f"{name} is not installed beside {sys.executable}: run ./dev bench")
        return path

    def program(self, name: str) -> str:
        """The path of one of the machine's. Raises Unavailable."""
        return self.world.need_program(name)

    def ssh(self, container: str) -> tuple[str, ...]:
        """OpenSSH's command into a baseimage, up to the command to run there: the same key, the host key known and
        checked, no configuration and no agent asked."""
        networks = self.docker.inspect(container)["NetworkSettings"]["Networks"].values()
        address = next(network["IPAddress"] for network in networks if network["IPAddress"])
        options = [
            "BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "StrictHostKeyChecking=yes",
            "GlobalKnownHostsFile=/dev/null", f"UserKnownHostsFile={self._known_hosts(container, address)}",
        ]  # fmt: skip
        spelled = [word for option in options for word in ("-o", option)]
        return (self.program("ssh"), "-F", "/dev/null", "-T", "-i", self._key, *spelled, f"root@{address}")

    @cached_property
    def _key(self) -> str:
        """The insecure key as a file, as ssh wants it: readable by its owner alone."""
        path = os.path.join(self._home, "insecure_key")
        found = keys.standing("", {keys.INSECURE_BLOB})
        assert found
        found.load().write_private_key_file(path)
        os.chmod(path, 0o600)
        return path

    def _known_hosts(self, container: str, address: str) -> str:
        path = os.path.join(self._home, "known_hosts")
        listed = self.docker.ask("exec", container, "sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub").splitlines()
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"{address} {' '.join(line.split()[:2])}\n" for line in listed)
        return path

    def versions(self) -> str:
        """What is compared with what, in one line."""
        about = "client {{.Client.Version}}, engine {{.Server.Version}}"
        version = re.search(r"OpenSSH_\S+|$", _said(["ssh", "-V"]))
        tools = [
            version[0].replace("_", " ") if version else "",
            _said(["nsenter", "--version"]).removeprefix("nsenter from "),
        ]
        return "; ".join(
            [
                f"docker {self.docker.ask('version', '--format', about)}"
                f", cgroup v{self.docker.ask('info', '--format', '{{.CgroupVersion}}')}",
                *filter(None, tools),
                f"Python {platform.python_version()}",
                f"Linux {platform.release()}",
                f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
            ]
        )


def _said(argv: list[str]) -> str:
    """The first line that a program prints, wherever; empty where there is no such program."""
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except OSError:
        return ""
    return (done.stdout.decode(errors="replace").splitlines() or [""])[0]
