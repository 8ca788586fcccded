"""The sidecar: a container of ours whose files a target's own processes reach, and that never outlives us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from dockshell.engines import containers, where
from dockshell.engines.aside import aside
from dockshell.engines.docker import SIDECAR
from dockshell.engines.sidecar import Load, Sidecar
from dockshell.errors import EngineError
from dockshell.model import Container, Target
from dockshell.tools.busybox import static_busybox
from tests.contract.watching import until
from tests.world import Peer, World
from tests.world.images import LOCKED

KINDS = {
    "scratch": ((), (0, 0)),
    "locked": ((*LOCKED, "--user", "65532"), (65532, 0)),
    "host-pids": (("--pid", "host"), (0, 0)),
}
_FACTS = """
cat /proc/self/status
for kind in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$kind; done
ls /
"""
_KEPT = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")


# A rootless engine can't start a second container in the host's pid namespace.
CASES = [
    (engine, kind)
    for engine in ("docker", "podman", "docker26", "rootless_podman")
    for kind in KINDS
    if (engine, kind) != ("rootless_podman", "host-pids")
]


@pytest.fixture
def each(request: pytest.FixtureRequest, world: World) -> Peer:
    peer: Peer = getattr(world, request.param)
    return peer


def found(peer: Peer, name: str) -> Container:
    [engine] = where.engines(host=peer.url)
    [container] = engine.find(Target("name", name))
    return container


def sidecars(peer: Peer) -> list[str]:
    """The names of those that there are, running or not."""
    return peer.ask("ps", "--all", "--filter", f"label={SIDECAR}", "--format", "{{.Names}}").split()


@pytest.mark.parametrize(("each", "kind"), CASES, indirect=["each"])
def test_a_program_of_ours_runs_in_the_target(each: Peer, kind: str) -> None:
    """By the engine's own exec, confined as any exec there, in the target's namespaces and root, though nothing is
    written into it."""
    options, user = KINDS[kind]
    name = each.run("static", options=options)
    before = each.ask("diff", name)
    target = found(each, name)
    api = target.engine.api
    assert api is not None
    with Sidecar(api, target, user, Load(static_busybox())) as sidecar:
        assert sidecars(each)
        code, out, err = aside(api, target.id, [sidecar.busybox, "sh", "-c", _FACTS], "{}:{}".format(*user))
        peers = aside(api, target.id, ["/busybox", "sh", "-c", _FACTS], "{}:{}".format(*user))
    assert (code, err) == (0, b"")
    kept = tuple(f"{field}:".encode() for field in _KEPT)

    def facts(told: bytes) -> list[bytes]:
        return [line for line in told.splitlines() if line.startswith(kept) or b":[" in line or b":" not in line]

    assert facts(out) == facts(peers[1]), "the same as a program of its own"
    assert b"busybox" in out.splitlines(), "it is the target's root"
    assert each.ask("diff", name) == before
    assert sidecars(each) == []


def test_nobody_is_shown_one(docker: Peer, dockshell: Callable[..., subprocess.CompletedProcess[bytes]]) -> None:
    """It is the newest container, and yet neither the newest nor in any list."""
    name = docker.run("static")
    target = found(docker, name)
    assert target.engine.api is not None
    with Sidecar(target.engine.api, target, (0, 0), Load(static_busybox())):
        [there] = sidecars(docker)
        assert docker.ask("ps", "--latest", "--format", "{{.Names}}") == there
        assert dockshell("latest", engine=docker).stdout.decode().strip() == target.id[:12]
        assert dockshell("exec", "@latest", "/busybox", "echo", "hi", engine=docker).stdout == b"hi\n"
        listed = dockshell("ls", engine=docker).stdout.decode()
        assert name in listed and there not in listed
        [newest] = [target.engine.newest()]
        assert newest is not None and newest.id == target.id


def test_no_image_can_hide_its_containers(
    docker: Peer, dockshell: Callable[..., subprocess.CompletedProcess[bytes]]
) -> None:
    """Ours carry a label, and an image can say the same; a container of it is in every list all the same."""
    image = f"dsh-hidden-{os.getpid()}"
    docker.sh("commit", "--change", f"LABEL {SIDECAR}=x", docker.run("static"), image)
    try:
        name = docker.run(image)
        listed = dockshell("ls", engine=docker).stdout.decode()
        latest = dockshell("latest", engine=docker).stdout.decode().strip()
        completed = dockshell("__complete", "--", "dockshell", "exec", "", engine=docker).stdout.decode()
        assert name in listed and name in completed
        assert docker.inspect(name)["Id"].startswith(latest) and latest
    finally:
        docker.remove_containers()
        docker.sh("rmi", "--force", image)


def test_an_image_with_volumes_leaves_none(docker: Peer) -> None:
    """The engine would make a volume of each, and copy what the image has there into it."""
    name = docker.run("static")
    image = f"dsh-volumes-{os.getpid()}"
    docker.sh("commit", "--change", "VOLUME /data", name, image)
    try:
        target = found(docker, docker.run(image))
        volumes = docker.ask("volume", "ls", "-q")
        assert target.engine.api is not None
        with Sidecar(target.engine.api, target, (0, 0), Load(static_busybox())):
            assert docker.ask("volume", "ls", "-q") == volumes
    finally:
        docker.remove_containers()
        docker.sh("rmi", "--force", image)


def test_a_target_whose_image_is_gone(docker: Peer) -> None:
    """Any other image will do."""
    name = docker.run("static")
    image = f"dsh-gone-{os.getpid()}"
    docker.sh("commit", name, image)
    target = found(docker, docker.run(image))
    api = target.engine.api
    assert api is not None
    inspect = api.inspect
    facts = json.loads(json.dumps(inspect(target.id)))
    facts["Image"] = "sha256:" + "0" * 64
    try:
        api.inspect = lambda name: facts  # type: ignore[method-assign]
        with Sidecar(api, target, (0, 0), Load(static_busybox())) as sidecar:
            assert aside(api, target.id, [sidecar.busybox, "true"])[0] == 0
        with pytest.raises(EngineError, match="pull it first"):
            Sidecar(api, target, (0, 0), Load(static_busybox(), "no-such-image:1"))
    finally:
        docker.remove_containers()
        docker.sh("rmi", "--force", image)
    assert sidecars(docker) == []


_KILLED = """
import os, sys, threading, time
from dockshell.engines import where
from dockshell.engines.sidecar import Load, Sidecar
from dockshell.model import Target
from dockshell.tools.busybox import static_busybox
url, name, delay = sys.argv[1:]
[engine] = where.engines(host=url)
[container] = engine.find(Target("name", name))
load = Load(static_busybox())
if float(delay) >= 0:
    threading.Timer(float(delay), os.kill, (os.getpid(), 9)).start()
sidecar = Sidecar(engine.api, container, (0, 0), load)
print("there", flush=True)
time.sleep(300)
"""


@pytest.fixture
def killed() -> Iterator[Callable[[Peer, str, float], None]]:
    """killed(peer, name, delay): starts a sidecar in a process that gets a SIGKILL so many seconds after it began with
    that, or for a negative number once the sidecar runs."""

    def start(peer: Peer, name: str, delay: float) -> None:
        words = [sys.executable, "-c", _KILLED, peer.url, name, str(delay)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout
            if process.stdout.readline() and delay < 0:  # else it may be killed at this very moment
                assert sidecars(peer)
                process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL

    yield start


def test_it_goes_whenever_we_are_killed(engine: Peer, killed: Callable[[Peer, str, float], None]) -> None:
    """Before it is made, while it is filled, between its start and our hearing of it, and later; with the image that
    Docker takes beside a root that can't be written."""
    name = engine.run("static", options=["--read-only"])
    images = engine.image_ids("--all")
    for delay in (0.0, 0.02, 0.05, 0.1, 0.15, 0.25, -1.0):
        killed(engine, name, delay)
    # The guardian's last look comes after four seconds and a bit.
    until(lambda: not sidecars(engine))
    time.sleep(0.5)
    assert sidecars(engine) == []
    assert until(lambda: engine.image_ids("--all") == images)


def test_a_target_that_has_stopped(docker: Peer) -> None:
    """There is nothing to stand beside: the engine's reason, and nothing left."""
    name = docker.run("static")
    target = found(docker, name)
    docker.sh("kill", name)
    assert target.engine.api is not None
    with pytest.raises(EngineError, match="running"):
        Sidecar(target.engine.api, target, (0, 0), Load(static_busybox()))
    assert sidecars(docker) == []


def test_images_are_told_and_forgotten(docker: Peer) -> None:
    """The calls around images: looked up by name, listed, committed and removed."""
    name = docker.run("static")
    api = found(docker, name).engine.api
    assert api is not None
    assert containers.image(api, "dsh-no-such-image") is None
    made = containers.commit(api, name, f"dsh-commit-{os.getpid()}:one", "why")
    facts = containers.image(api, f"dsh-commit-{os.getpid()}:one")
    assert facts is not None and facts["Id"] == made
    assert made in [each["Id"] for each in containers.images(api)]
    containers.remove_image(api, made)
    containers.remove_image(api, made)
    assert containers.image(api, made) is None
