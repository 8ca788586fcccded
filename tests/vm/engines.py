"""What the checks in the virtual machine use: its engines, containers, the engines' own exec, dockshell; and how a
process is confined, as it is seen from outside."""

from __future__ import annotations

import functools
import itertools
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from dockshell.linux.seccomp import program_of

IMAGE = "busybox"
_PATIENCE = 240  # seconds; everything takes many times as long in here


class Engine(NamedTuple):
    """Its name, which is its command's, and its socket."""

    name: str
    url: str


DOCKER = Engine("docker", "unix:///run/docker.sock")
PODMAN = Engine("podman", "unix:///run/podman/podman.sock")
ENGINES = {engine.name: engine for engine in (DOCKER, PODMAN)}


class Checks(dict[str, Callable[[], None]]):
    """The checks of one kind of kernel, by name: each is a function that raises where it doesn't hold."""

    def __call__(self, *parameters: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """A decorator that adds a function; once for each parameter, where there are any."""

        def add(function: Callable[..., None]) -> Callable[..., None]:
            for parameter in parameters:
                self[f"{function.__name__}[{parameter}]"] = functools.partial(function, parameter)
            if not parameters:
                self[function.__name__] = function
            return function

        return add


def start_engines(kind: str) -> None:
    """Starts Docker and Podman's service, and gives both the image. Raises RuntimeError, with what they say."""
    os.makedirs("/etc/containers", exist_ok=True)
    with open("/etc/containers/containers.conf", "w", encoding="ascii") as file:
        file.write('[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
    options = ["--iptables=false", "--ip6tables=false", "--bridge=none"]
    if kind == "selinux":
        options.append("--selinux-enabled")
        output("mount", "-t", "selinuxfs", "selinuxfs", "/sys/fs/selinux")
        output("load_policy", "-i")
    _start("docker", ["dockerd", *options], ["docker", "version"])
    os.makedirs("/run/podman", exist_ok=True)
    _start(
        "podman", ["podman", "system", "service", "--time=0", PODMAN.url], ["podman", "--url", PODMAN.url, "version"]
    )
    for engine in ENGINES.values():
        change = ["-c", "ENV PATH=/bin:/sbin:/usr/bin", "-c", 'CMD ["sleep", "100000"]']
        output(engine.name, "import", *change, "/srv/busybox.tar", IMAGE)


def _start(name: str, argv: list[str], asks: list[str]) -> None:
    with open(f"/run/{name}.log", "wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    until = time.monotonic() + _PATIENCE
    while run(*asks).returncode:
        if process.poll() is not None or time.monotonic() > until:
            with open(f"/run/{name}.log", encoding="utf-8", errors="replace") as log:
                raise RuntimeError(f"{name} doesn't start: {log.read()[-3000:]}")
        time.sleep(0.5)


def run(*argv: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs a program to its end. Raises RuntimeError, with what it wrote, where that takes minutes."""
    try:
        return subprocess.run(argv, input=input, capture_output=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired as late:
        raise RuntimeError(f"{argv} doesn't end: {late.stdout!r} {late.stderr!r}") from None


def output(*argv: str, input: bytes = b"") -> str:
    """The same, for what it writes. Raises RuntimeError where it fails."""
    done = run(*argv, input=input)
    if done.returncode:
        raise RuntimeError(f"{argv} failed with {done.returncode}: {done.stdout!r} {done.stderr!r}")
    return done.stdout.decode()


@functools.cache
def container(engine: Engine, *options: str) -> str:
    """The name of a running container with these options, one for all who ask for the same."""
    name = f"c{next(_numbers)}"
    output(engine.name, "run", "-d", "--name", name, "--network", "none", *options, IMAGE)
    return name


_numbers = itertools.count()


def first_process(engine: Engine, name: str) -> int:
    """The host's number of a container's first process."""
    return int(output(engine.name, "inspect", "--format", "{{.State.Pid}}", name))


def engine_exec(engine: Engine, name: str, *options: str) -> list[str]:
    """The words by which the engine itself runs what follows."""
    return [engine.name, "exec", *options, name]


def dockshell(engine: Engine, *words: str) -> list[str]:
    return ["python3", "-P", "-m", "dockshell", words[0], "-H", engine.url, *words[1:]]


def dockshell_exec(engine: Engine, name: str, *options: str) -> list[str]:
    """The words by which dockshell runs what follows."""
    return dockshell(engine, "exec", *options, name, "--")


def same(told: str, expected: str) -> None:
    """Raises AssertionError with the lines that differ."""
    pairs = itertools.zip_longest(told.splitlines(), expected.splitlines(), fillvalue="")
    different = [f"{one!r} and not {other!r}" for one, other in pairs if one != other]
    assert not different, "it has " + "; ".join(different)


def at_a_terminal(argv: list[str]) -> str:
    """What a program writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 4096):
                written += piece
        except OSError:
            pass  # EIO is its end: pty(7)
        assert process.wait(_PATIENCE) == 0, written
        return written.decode().replace("\r", "")
    finally:
        os.close(ours)


class Outside(NamedTuple):
    """What the kernel says of a process to the host. filter: its seccomp program; empty for none."""

    label: str
    cgroup: str
    filter: bytes
    status: tuple[str, ...]


@contextmanager
def sleeping(argv: list[str]) -> Iterator[int]:
    """Has such words run sleep, for the number of that process; ended with the block."""
    seconds = str(1_000_000 + next(_numbers))
    process = subprocess.Popen([*argv, "sleep", seconds], stdin=subprocess.DEVNULL)
    pid = 0
    try:
        until = time.monotonic() + _PATIENCE
        while not (pid := _runs(seconds)):
            assert process.poll() is None and time.monotonic() < until, f"{argv} runs no sleep"
            time.sleep(0.1)
        yield pid
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
        process.wait(_PATIENCE)


def from_outside(pid: int) -> Outside:
    with open(f"/proc/{pid}/attr/current", encoding="utf-8") as file:
        label = file.read().rstrip("\0\n")
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        cgroup = file.read()
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        status = tuple(line for line in file if line.startswith(("Uid", "Gid", "Cap", "NoNew", "Seccomp")))
    return Outside(label, cgroup, program_of(pid) if "Seccomp:\t2\n" in status else b"", status)


def labels_beside(engine: Engine, name: str) -> set[str]:
    """The labels of the processes in a container's mount namespace that are not its first."""
    first = first_process(engine, name)
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(pid) != first and os.path.samefile(f"/proc/{pid}/ns/mnt", f"/proc/{first}/ns/mnt"):
                with open(f"/proc/{pid}/attr/current", encoding="utf-8") as file:
                    found.add(file.read().rstrip("\0\n"))
        except OSError:
            pass  # it ended
    return found


def _runs(seconds: str) -> int:
    """The number of the process that has become that sleep; 0 for none."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if words[-2:] == [seconds.encode(), b""] and os.path.basename(words[0]) == b"sleep":
            return int(name)
    return 0
