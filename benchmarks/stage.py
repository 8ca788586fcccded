"""Where it is played: the tests' own engine and containers (tests/world), and one environment for both sides."""

from __future__ import annotations

import copy
import glob
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import dockshell
from dockshell.engines import containers
from dockshell.engines.sdk import SdkApi
from tests.world import Peer, World
from tests.world.daemon import Daemon
from tests.world.own_docker import start_docker
from tests.world.person import let_in

__all__ = ["Person", "Stage"]

_NOBODY = 65534
_CROWD = 1000
_RUNNING = 500
_SCRIPT = """#!{python}
from dockshell.cli import main

main()
"""


class Person(NamedTuple):
    """Somebody without root. become: the words before a command that make it theirs; dockshell: the command as
    installed for them; env: their HOME."""

    become: tuple[str, ...]
    dockshell: str
    env: Mapping[str, str]


class Stage:
    """home: an empty directory, and the HOME of all that is timed. size: how many bytes go through a pipe. against: an
    earlier checkout of dockshell, which takes the peers' place; empty for none."""

    def __init__(self, world: World, home: str, size: int, against: str = "") -> None:
        self.world = world
        self.size = size
        self.against = against
        self._home = home
        self._package = os.path.dirname(dockshell.__file__)
        self._second: Daemon | None = None
        self._beside: list[subprocess.Popen[bytes]] = []

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
    def several(self) -> list[str]:
        """Fifty like it, with the label `fifty`."""
        return [self.docker.run("busybox", options=["--label", "fifty"]) for _ in range(50)]

    @cached_property
    def pid(self) -> int:
        """Its first process, as the host counts."""
        return self.docker.pid(self.web)

    @cached_property
    def crowd(self) -> Peer:
        """A second engine of the same kind, with nothing in it yet. Raises Unavailable."""
        place = os.path.join(self.world.scratch, "crowd")
        self.world.need(self.docker.url.startswith(f"unix://{self.world.scratch}/"), "the engine is not the tests' own")
        self._second = start_docker(place, network=False)
        cli = [self.program("docker"), "-H", self._second.url]
        return Peer("crowd", self._second.url, cli, {}, self.world.scratch, lambda text: None)

    @cached_property
    def in_crowd(self) -> str:
        """A container like web, in an engine where there are a thousand with it."""
        name = self.crowd.run("busybox")
        image = self.crowd.image("busybox")
        api = SdkApi(self.crowd.url, None)
        for number in range(_CROWD - 1):
            containers.create(api, {"Image": image, "Cmd": ["true"]}, f"crowd-{number}")
        api.close()
        return name

    @cached_property
    def all_run(self) -> Peer:
        """The second engine with five hundred containers that run, which takes minutes to start."""
        api = SdkApi(self.crowd.url, None)
        body = {"Image": self.crowd.image("busybox"), "StopSignal": "SIGKILL"}
        for number in range(_RUNNING):
            containers.start(api, containers.create(api, body, f"runs-{number}"))
        api.close()
        return self.crowd

    def close(self) -> None:
        """Ends what was started here; what is left of it is the world's to remove."""
        for process in self._beside:
            process.terminate()
            process.wait()
        if self._second:
            self._second.stop()

    def beside(self, *argv: str) -> str:
        """Starts a command that goes on while others are timed → the first line that it prints."""
        self._beside.append(subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE))
        output = self._beside[-1].stdout
        assert output
        with output:
            return output.readline().decode().rstrip("\n")

    @cached_property
    def person(self) -> Person:
        """Nobody, in the group of the engine's socket, with dockshell installed for them. Raises Unavailable."""
        self.world.need_root()
        socket = self.docker.url.removeprefix("unix://")
        let_in(os.path.dirname(socket), os.path.dirname(self.world.scratch))
        group = os.stat(socket).st_gid
        become = (
            self.program("setpriv"), f"--reuid={_NOBODY}", f"--regid={_NOBODY}", f"--groups={group}", "--inh-caps=-all",
        )  # fmt: skip
        os.chmod(self._home, 0o711)
        home = os.path.join(self._home, "nobody")
        os.mkdir(home, 0o700)
        os.chown(home, _NOBODY, _NOBODY)
        return Person(become, self._installed(become), {"HOME": home})

    def _installed(self, become: tuple[str, ...]) -> str:
        """dockshell in a virtual environment that somebody may use who may not look into this one, which often lies in
        a home directory; so may its Python."""
        enough = "import sys, venv; sys.exit(sys.version_info < (3, 11))"
        base = getattr(sys, "_base_executable", sys.executable)
        python = next((each for each in (base, "/usr/bin/python3") if not _code((*become, each, "-c", enough))), "")
        self.world.need(python, "no Python for all")
        place = os.path.join(self._home, "venv")
        subprocess.run([python, "-m", "venv", "--without-pip", place], check=True)
        library = glob.glob(os.path.join(place, "lib", "python3*", "site-packages"))[0]
        shutil.copytree(self._package, os.path.join(library, "dockshell"))
        inside = os.path.join(place, "bin", "python")
        subprocess.run([inside, "-m", "compileall", "-qf", os.path.join(library, "dockshell")], check=True)
        script = os.path.join(place, "bin", "dockshell")
        with open(script, "w", encoding="utf-8") as file:
            file.write(_SCRIPT.format(python=inside))
        os.chmod(script, 0o755)
        return script

    @cached_property
    def earlier(self) -> Stage:
        """The same containers and engines, and the commands of the earlier checkout."""
        before = copy.copy(self)
        before.__dict__.update(web=self.web, env=self.env, against="", _home=self.file("earlier"))
        os.makedirs(before._home)
        before._package = os.path.join(self.against, "dockshell")
        before.__dict__.pop("person", None)
        return before

    def file(self, name: str) -> str:
        """The path of a file of this stage's own, which may not be there yet."""
        return os.path.join(self._home, name)

    def ours(self, name: str) -> str:
        """A command of dockshell's, as installed beside the interpreter that runs this. Raises Unavailable."""
        if self._package != os.path.dirname(dockshell.__file__):
            return self._script(name)
        path = os.path.join(os.path.dirname(sys.executable), name)
        self.world.need(os.access(path, os.X_OK), f"{name} is not installed beside {sys.executable}: run ./dev bench")
        return path

    def _script(self, name: str) -> str:
        """The same of the earlier checkout, with the same interpreter and libraries."""
        root, script = os.path.dirname(self._package), self.file(name)
        with open(os.path.join(root, "scripts", name), encoding="utf-8") as file:
            _, _, rest = file.read().partition("from ")
        with open(script, "w", encoding="utf-8") as file:
            file.write(f"#!{sys.executable}\nimport sys\nsys.path[0] = {root!r}\nfrom {rest}")
        os.chmod(script, 0o755)
        return script

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
        return (self.program("ssh"), "-F", "/dev/null", "-T", "-i", self.key, *spelled, f"root@{address}")

    @cached_property
    def sshd(self) -> str:
        """A baseimage with an sshd that takes the key."""
        container = self.docker.shared("baseimage")
        with open(f"{self.key}.pub", "rb") as file:
            self.docker.sh("exec", "-i", container, "sh", "-c", "cat >> /root/.ssh/authorized_keys", input=file.read())
        return container

    @cached_property
    def key(self) -> str:
        """The path of a private key that both sides log in with, as people have them: Ed25519, without a passphrase."""
        path = os.path.join(self._home, "id_ed25519")
        subprocess.run([self.program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
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


def _code(argv: tuple[str, ...]) -> int:
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode


def _said(argv: list[str]) -> str:
    """The first line that a program prints, wherever; empty where there is no such program."""
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except OSError:
        return ""
    return (done.stdout.decode(errors="replace").splitlines() or [""])[0]
