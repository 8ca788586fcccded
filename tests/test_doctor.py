"""`dockshell doctor`: each finding is provoked for real, and where a command is to mend it, that command is typed."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pexpect
import pytest

from dockshell.linux import seccomp
from dockshell.linux.calls import Calls
from tests.conftest import COMMAND
from tests.impostor import Impostor
from tests.messages import without_progress
from tests.world import Peer, World
from tests.world.own_docker import start_docker
from tests.world.person import let_in, person
from tests.world.remote import over_ssh, over_tcp, over_tls
from tests.world.scratch import remove_scratch

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Found = list[dict[str, str]]
Doctor = Callable[..., Found]

_BIN = os.path.dirname(sys.executable)
_GRADES = {"ok", "note", "wrong", "danger"}
_HEALTHY = {"Version": "29.0", "ApiVersion": "1.52", "Components": [{"Name": "runc", "Version": "1.3.3"}]}


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """That of somebody who has dockshell on PATH."""
    return {**environment, "PATH": f"{_BIN}:{environment['PATH']}", "SHELL": "/bin/bash"}


@pytest.fixture
def doctor(dockshell: Run) -> Doctor:
    """doctor(*words, engine=None, env=None): what `dockshell doctor --json` found; its exit code has to fit that."""

    def examine(*words: str, engine: Peer | None = None, env: Mapping[str, str | None] | None = None) -> Found:
        done = dockshell("doctor", "--json", *words, engine=engine, env=env)
        assert done.returncode in (0, 1), done.stderr
        found: Found = json.loads(done.stdout)
        assert all(each.keys() == {"subject", "grade", "what", "remedy"} for each in found)
        assert {each["grade"] for each in found} <= _GRADES
        assert done.returncode == any(each["grade"] in ("wrong", "danger") for each in found)
        return found

    return examine


@pytest.fixture
def typed(environment: dict[str, str]) -> Callable[..., None]:
    """typed(line, engine=None): types it in a bash; it has to end with 0."""

    def run(line: str, engine: Peer | None = None) -> None:
        env = {**environment, **({"DOCKER_HOST": engine.url} if engine else {})}
        done = subprocess.run(["bash", "-c", line], env=env, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, (line, done.stderr)

    return run


def _about(found: Found, *words: str) -> Found:
    """The findings whose sentence holds all of these."""
    return [each for each in found if all(word in each["what"] for word in words)]


def _only(found: Found, *words: str) -> dict[str, str]:
    (one,) = _about(found, *words) or [{"grade": "none", "what": f"nothing about {words}", "remedy": ""}]
    return one


@contextlib.contextmanager
def _pretended(**answer: object) -> Iterator[Impostor]:
    """An engine that is well, but for what it is to say."""
    with Impostor([], inspected={**_HEALTHY, **answer}).serving() as impostor:
        yield impostor


def test_a_healthy_container(engine: Peer, dockshell: Run, doctor: Doctor) -> None:
    """The engine with its version, each way with a refusal in that way's own words, the shell; and nothing wrong."""
    name = engine.shared("busybox")
    found = doctor(name, engine=engine)
    about = [each for each in found if each["subject"] in ("engines", "target")]
    assert not [each for each in about if each["grade"] not in ("ok", "note")]
    version = engine.ask("version", "--format", "{{.Server.Version}}")
    assert _only(found, f"{engine.name} {version} (API 1.41)", engine.url)["grade"] == "ok"
    told = dockshell("-v", "shell", name, engine=engine).stderr.decode()
    assert f"dockshell: {_only(found, 'ssh: no sshd listens')['what']}\n" in told
    taken = re.findall(r"dockshell: (\w+): taken\n", told)
    assert [each["what"] for each in found if "a shell goes this way" in each["what"]] == [
        f"{taken[0]}: open, and a shell goes this way"
    ]
    assert _only(found, "exec: open") and _only(found, "toolbox: open")
    assert _only(found, "the login shell is /bin/sh, as root")["grade"] == "ok"


def test_nothing_is_changed(docker: Peer, doctor: Doctor, environment: dict[str, str]) -> None:
    """Neither at home, where keys would be made when they are needed, nor in the container."""
    name = docker.run("busybox")
    doctor(engine=docker)
    doctor(name, engine=docker)
    assert os.listdir(environment["HOME"]) == []
    assert docker.ask("diff", name) == ""


def test_a_target_that_cannot_be_entered(docker: Peer, dockshell: Run, doctor: Doctor) -> None:
    """One that is stopped is wrong, with what starts it; none at all is 125, with nothing else said."""
    name = docker.run("busybox")
    docker.sh("stop", "-t", "0", name)
    assert _only(doctor(name, engine=docker), f"`docker start {name}` starts it")["grade"] == "wrong"
    done = dockshell("doctor", "no-such-container", engine=docker)
    assert (done.returncode, done.stdout) == (125, b"") and b"no container fits" in done.stderr


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["-v", "/var/run:/host/run:ro"], "-v /var/run:/host/run"),
        (["-v", "/etc:/host/etc"], "-v /etc:/host/etc"),
        (["--cap-add", "DAC_READ_SEARCH"], "--cap-add DAC_READ_SEARCH"),
        (["--cap-add", "SYS_ADMIN"], "--cap-add SYS_ADMIN"),
        (["--pid", "host", "--cap-add", "SYS_PTRACE"], "--pid host"),
        (["--device-cgroup-rule", "b 8:* rwm"], "--device-cgroup-rule 'b 8:* rwm'"),
    ],
)
def test_who_could_take_the_host(docker: Peer, doctor: Doctor, options: list[str], cause: str) -> None:
    """A danger that names the option which it comes of."""
    name = docker.run("busybox", options=options)
    assert _only(doctor(name, engine=docker), f"{name} ", f"`{cause}`")["grade"] == "danger"


def test_the_engines_socket_inside(engine: Peer, doctor: Doctor, typed: Callable[..., None]) -> None:
    """Found among all that run, on each engine, wherever the socket is; stopped, as is told, it is none any more."""
    path = engine.url.removeprefix("unix://")
    name = engine.run("busybox", options=["-v", f"{path}:/run/engine"])
    finding = _only(doctor(engine=engine), f"{name} has the engine's socket")
    assert (finding["grade"], finding["remedy"]) == ("danger", f"{engine.name} stop {name}")
    if engine.name == "docker":  # Podman's own command asks no socket
        typed(finding["remedy"], engine)
        assert not _about(doctor(engine=engine), f"{name} ")


def test_the_insecure_key_in_reach(docker: Peer, doctor: Doctor, typed: Callable[..., None]) -> None:
    """An sshd that takes it, at a port that others reach: the address is named, and the command takes the key out."""
    name = docker.baseimage(options=["--publish", "0.0.0.0::22"])
    port = docker.inspect(name)["NetworkSettings"]["Ports"]["22/tcp"][0]["HostPort"]
    finding = _only(doctor(engine=docker), f"0.0.0.0:{port}", f"become root in {name}")
    assert finding["grade"] == "danger"
    typed(finding["remedy"], docker)
    assert not _about(doctor(engine=docker), name)


def test_the_insecure_key_out_of_reach(docker: Peer, doctor: Doctor, typed: Callable[..., None]) -> None:
    """Where this machine alone reaches it, a note; one that dockshell switched on is switched off again."""
    name = docker.baseimage(sshd=False, options=["--publish", "127.0.0.1::22"])
    until = time.monotonic() + 60
    while docker.sh("exec", name, "sv", "status", "/etc/service/sshd", check=False).returncode:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert not _about(doctor(name, engine=docker), "insecure key")
    typed(f"dockshell ssh enable {name}", docker)
    finding = _only(doctor(name, engine=docker), "insecure key")
    assert (finding["grade"], finding["remedy"]) == ("note", f"dockshell ssh disable {name}")
    typed(finding["remedy"], docker)
    assert not _about(doctor(name, engine=docker), "insecure key")


def test_a_daemon_on_open_tcp(world: World, doctor: Doctor, tmp_path: Path) -> None:
    """One that answers without TLS is found on this machine by itself; one that asks for a certificate is none."""
    tcp, tls = over_tcp(world, str(tmp_path)), over_tls(world, str(tmp_path))
    try:
        found = doctor(env={"DOCKER_HOST": tcp.address})
        place = tcp.address.removeprefix("tcp://")
        assert _only(found, f"listens on {place} without TLS", "become root")["grade"] == "danger"
        assert not _about(found, tls.address.removeprefix("tcp://"))
        assert _only(found, "docker", f"at {tcp.address}, by DOCKER_HOST")["grade"] == "ok"
        careless = {"DOCKER_HOST": tls.address, "DOCKER_TLS": "1", "DOCKER_CERT_PATH": str(tmp_path)}
        assert _only(doctor(env=careless), "whoever answers there is believed")["grade"] == "wrong"
        careful = {"DOCKER_HOST": tls.address, **tls.environment}
        assert not _about(doctor(env=careful), tls.address, "believed")
    finally:
        tcp.close()
        tls.close()
    assert not _about(doctor(), f"listens on {place}")


def test_an_engine_across_the_network_in_clear(docker: Peer, doctor: Doctor) -> None:
    """Spoken to without TLS it is a danger; one that doesn't answer doesn't hold us up."""
    networks = docker.inspect(docker.shared("busybox"))["NetworkSettings"]["Networks"]
    with socket.create_server((networks["bridge"]["Gateway"], 0)) as listener:
        address = "tcp://{}:{}".format(*listener.getsockname())
        began = time.monotonic()
        found = doctor(env={"DOCKER_HOST": address})
        assert time.monotonic() - began < 60
    assert _only(found, address, "whoever is on the way")["grade"] == "danger"
    assert _about(found, address, "does not answer")[0]["grade"] == "wrong"


def test_an_engine_that_hangs(doctor: Doctor) -> None:
    """It is given seconds, and that is said."""
    with Impostor([], silent=True).serving() as impostor:
        began = time.monotonic()
        finding = _only(doctor("web", env={"DOCKER_HOST": impostor.url}), impostor.url)
        assert time.monotonic() - began < 60
    assert finding["grade"] == "wrong" and "timed out" in finding["what"]


def test_a_socket_that_nobody_listens_at(doctor: Doctor, tmp_path: Path) -> None:
    """Its engine has to be started; a path with no socket is said to be none."""
    path = str(tmp_path / "engine.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    assert _only(doctor(env={"DOCKER_HOST": f"unix://{path}"}), "no engine answers", path)["grade"] == "wrong"
    os.unlink(path)
    assert _only(doctor(env={"DOCKER_HOST": f"unix://{path}"}), "no such socket", path)["grade"] == "wrong"


def test_a_socket_for_everybody(doctor: Doctor, typed: Callable[..., None]) -> None:
    """Whoever may write to it is root: a danger until its mode is mended."""
    with _pretended() as impostor:
        path = impostor.url.removeprefix("unix://")
        os.chmod(path, 0o666)
        env = {"DOCKER_HOST": impostor.url}
        assert not _about(doctor(env=env), "everybody on this machine")  # its directory lets nobody in
        os.chmod(os.path.dirname(path), 0o755)
        finding = _only(doctor(env=env), "everybody on this machine", path)
        assert finding["grade"] == "danger"
        typed(finding["remedy"].removeprefix("sudo "))
        assert not _about(doctor(env=env), "everybody on this machine")


def test_somebody_whom_the_socket_keeps_out(world: World, docker: Peer) -> None:
    """The remedy joins the socket's group; whoever is in it finds nothing wrong, and learns what root would have."""
    world.need_root()
    path = docker.url.removeprefix("unix://")
    let_in(os.path.dirname(path), os.path.dirname(world.scratch))
    group = os.stat(path).st_gid
    world.need(group, "the engine's socket has no group of its own")
    for groups, grade in (([65534], "wrong"), ([65534, group], "ok")):
        with person(65534, groups) as somebody:
            env = {**somebody.environment, "DOCKER_HOST": docker.url}
            done = subprocess.run(
                [*somebody.command, "doctor", "--json"], env=env, capture_output=True, check=False, timeout=60, cwd="/"
            )
        found = [each for each in json.loads(done.stdout) if each["subject"] in ("engines", "kernel")]
        assert _only(found, "at unix://", path)["grade"] == grade
        if grade == "wrong":
            assert re.match(r"sudo usermod -aG \w+ nobody && newgrp \w+$", _only(found, path)["remedy"])
        assert _only(found, "nsenter", "takes root")["grade"] == "note"


def test_an_engine_by_ssh(world: World, doctor: Doctor, tmp_path: Path) -> None:
    """The one in use is asked wherever it is, and its containers are looked at."""
    far = over_ssh(world, str(tmp_path))
    try:
        found = doctor(far.container, env={"DOCKER_HOST": far.address, **far.environment})
        assert _only(found, "docker", "at ssh://engine, by DOCKER_HOST")["grade"] == "ok"
        assert _only(found, "exec: open")["grade"] == "ok"
        assert _only(found, "nsenter: the engine is on another machine")["grade"] == "note"
        found = doctor(far.host, env={"DOCKER_HOST": far.address, **far.environment})
        assert _about(found, f"{far.host} has the engine's socket")
    finally:
        far.close()


def test_an_engine_without_root(world: World, doctor: Doctor) -> None:
    """Whoever takes its owner's account has not taken the host."""
    podman = world.rootless_podman
    name = podman.run("busybox", options=["-v", "/etc:/host/etc"])
    found = doctor(name, engine=podman)
    assert _only(found, "podman", podman.url, "without root")["grade"] == "ok"
    assert _only(found, f"{name} may write", "not the host's root")["grade"] == "note"


@pytest.fixture
def remapped(world: World) -> Iterator[Peer]:
    """A dockerd with --userns-remap."""
    world.need_root()
    client = world.need_program("docker")
    world.need_program("dockerd")
    place = os.path.join(world.scratch, "remapped")
    os.makedirs(place)
    daemon = start_docker(place, network=False, remapped=True)
    try:
        yield Peer("docker", daemon.url, [client, "-H", daemon.url], {}, place, print)
    finally:
        daemon.stop()
        remove_scratch(place)


def test_an_engine_with_other_users_inside(remapped: Peer, doctor: Doctor) -> None:
    """It has root itself, so who may write to its socket does; what its containers may do as root inside is little,
    but for one with --userns host, whose root is the host's."""
    mounted = ("--network", "none", "-v", "/etc:/host/etc")
    inside = remapped.run("busybox", options=mounted)
    outside = remapped.run("busybox", options=[*mounted, "--userns", "host"])
    os.chmod(remapped.url.removeprefix("unix://"), 0o666)
    found = doctor(engine=remapped)
    (told,) = (each for each in found if remapped.url in each["what"] and each["subject"] == "engines")
    assert told["grade"] == "ok" and "without root" not in told["what"] and "another user" in told["what"]
    assert _only(found, f"{inside} may write", "without rights on the host")["grade"] == "note"
    assert _only(found, f"{outside} may write")["grade"] == "danger"
    assert _only(found, f"{outside} is left out", "`--userns host`")["grade"] == "note"
    for name in (inside, outside):
        remapped.sh("rm", "--force", name)


def test_contexts(docker: Peer, doctor: Doctor, environment: dict[str, str], tmp_path: Path) -> None:
    """One of another machine is told of and left alone, though its ssh is to be had; one that is chosen and has no
    engine is wrong, and the command chooses the usual one."""
    (tmp_path / "ssh").write_text(f"#!/bin/sh\ntouch {tmp_path}/dialled\n")
    (tmp_path / "ssh").chmod(0o755)
    for name, host in (("far", "ssh://somebody@far.example"), ("gone", f"unix://{tmp_path}/none")):
        env = {**os.environ, **environment}
        subprocess.run(["docker", "context", "create", name, "--docker", f"host={host}"], env=env, check=True)
    env = {"PATH": f"{tmp_path}:{environment['PATH']}", "DOCKER_HOST": docker.url}
    found = doctor(env=env)
    assert _only(found, "far", "ssh://somebody@far.example", "was not asked")["grade"] == "note"
    assert _only(found, "none", "no such socket")["grade"] == "note"
    assert not (tmp_path / "dialled").exists()
    assert _only(doctor(env={"DOCKER_CONTEXT": "gone"}), "DOCKER_CONTEXT (gone)", "no such socket")["grade"] == "wrong"


@pytest.mark.parametrize(("version", "grade"), [("1.1.11", "danger"), ("1.1.11-0ubuntu2", "note"), ("1.3.3", "")])
def test_an_old_runc(doctor: Doctor, version: str, grade: str) -> None:
    """With the names of what is known of it; what a distribution built may have been mended."""
    with _pretended(Components=[{"Name": "runc", "Version": version}]) as impostor:
        found = _about(doctor(env={"DOCKER_HOST": impostor.url}), f"runc {version} of docker", "CVE-2024-21626")
    assert [each["grade"] for each in found] == ([grade] if grade else [])


def test_a_runc_that_debian_mended(world: World, docker: Peer, doctor: Doctor) -> None:
    """What the installed package's own changelog names as repaired isn't held against it."""
    changelog = "/usr/share/doc/runc/changelog.Debian.gz"
    world.need(os.path.exists(changelog), "runc is no package of Debian's here")
    with gzip.open(changelog, "rt", encoding="utf-8") as file:
        mended = file.read()
    told = " ".join(each["what"] for each in _about(doctor(engine=docker), "known ways out"))
    assert not [name for name in re.findall(r"CVE-\d+-\d+", told) if name in mended]


def test_an_old_engine(doctor: Doctor) -> None:
    """Its API is older than any that dockshell was tried with."""
    with _pretended(ApiVersion="1.24") as impostor:
        assert _only(doctor(env={"DOCKER_HOST": impostor.url}), "API 1.24", "older")["grade"] == "note"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions(doctor: Doctor, typed: Callable[..., None], shell: str) -> None:
    """Missing until the line is typed that sets them up."""
    env = {"SHELL": f"/bin/{shell}"}
    finding = _only(doctor(env=env), f"no completions for {shell}")
    assert finding["grade"] == "note"
    typed(finding["remedy"])
    assert _only(doctor(env=env), f"completions for {shell}, by ~/")["grade"] == "ok"


def test_completions_of_a_package(doctor: Doctor, environment: dict[str, str]) -> None:
    """Where an installation put them there is nothing to set up."""
    place = Path(environment["HOME"], ".local/share/bash-completion/completions/dockshell")
    place.parent.mkdir(parents=True)
    place.touch()
    assert _only(doctor(), f"completions for bash, by {place}")["grade"] == "ok"


def test_dockers_plugin(world: World, doctor: Doctor, environment: dict[str, str], typed: Callable[..., None]) -> None:
    """Not there, there, and there with a Python that is gone: the command mends it."""
    world.need_program("docker")
    typed(_only(doctor(), "`docker shell` is not set up")["remedy"])
    plugin = Path(environment["HOME"], ".docker/cli-plugins/docker-shell")
    assert _only(doctor(), f"`docker shell`, by {plugin}")["grade"] == "ok"
    plugin.write_text(re.sub(r"(?m)^python=.*$", "python=/gone/python3", plugin.read_text()))
    finding = _only(doctor(), f"what {plugin} starts is gone")
    assert finding["grade"] == "wrong"
    typed(finding["remedy"])
    assert _only(doctor(), f"`docker shell`, by {plugin}")["grade"] == "ok"


def test_a_dockshell_not_on_path(doctor: Doctor, environment: dict[str, str], typed: Callable[..., None]) -> None:
    """It is put there by the line, for the next shell."""
    env = {"PATH": "/usr/bin:/bin"}
    typed(_only(doctor(env=env), "no dockshell on PATH")["remedy"])
    where = subprocess.run(
        ["bash", "-c", ". ~/.bashrc; command -v dockshell"], env={**environment, **env}, capture_output=True, check=True
    )
    assert where.stdout.decode().strip() == f"{_BIN}/dockshell"


def test_byte_code_that_is_not_kept(doctor: Doctor, typed: Callable[..., None], tmp_path: Path) -> None:
    """It is made once and for all by the command."""
    env = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    finding = _only(doctor(env=env), "compiled anew")
    assert finding["grade"] == "note"
    typed(f"PYTHONPYCACHEPREFIX={tmp_path} {finding['remedy']}")
    assert not _about(doctor(env=env), "compiled anew")


def _without(call: int) -> None:
    """Binds this process to a filter that answers a system call as an older kernel does, with ENOSYS: seccomp(2)."""
    load, unless, error, allow = (0x20, 0, 0, 0), (0x15, 0, 1, call), (6, 0, 0, 0x50000 | 38), (6, 0, 0, 0x7FFF0000)
    calls = Calls()
    seccomp.install(calls, b"".join(struct.pack("HBBI", *each) for each in (load, unless, error, allow)))
    calls.end()
    calls.run()


@pytest.mark.parametrize(
    ("number", "name", "grade"), [(434, "pidfd_open", "wrong"), (437, "openat2", "wrong"), (429, "move_mount", "note")]
)
def test_an_older_kernel(world: World, environment: dict[str, str], number: int, name: str, grade: str) -> None:
    """A call that it lacks is named, with what doesn't work without it."""
    world.need_root()
    done = subprocess.run(
        [*COMMAND, "doctor", "--json"], env=environment, capture_output=True, check=False,
        preexec_fn=lambda: _without(number),
    )  # fmt: skip
    assert _only(json.loads(done.stdout), f"this kernel has no {name}, so ")["grade"] == grade


def test_a_root_that_lacks_rights(world: World, environment: dict[str, str]) -> None:
    """As in a container: the capability is named that nsenter takes."""
    world.need_root()
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", *COMMAND, "doctor", "--json"],
        env=environment, capture_output=True, check=False,
    )  # fmt: skip
    assert _only(json.loads(done.stdout), "this root lacks SYS_ADMIN")["grade"] == "note"


def test_processes_that_are_hidden(world: World) -> None:
    """proc's hidepid: said to whom it hides something."""
    world.need_root()
    hidden = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
    with person(65534) as somebody:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", hidden, "sh", *somebody.command, "doctor", "--json"],
            env=somebody.environment, capture_output=True, check=False, cwd="/",
        )  # fmt: skip
    assert _only(json.loads(done.stdout), "hidepid")["remedy"] == "sudo mount -o remount,hidepid=0 /proc"


def test_ssh_config(doctor: Doctor, environment: dict[str, str], typed: Callable[..., None]) -> None:
    """Not set up, set up for a dockshell that is gone, with another host key, or changed: each is told, and mended by
    its command; with the place that it was set up for."""
    config = Path(environment["HOME"], ".ssh", "config")
    finding = _only(doctor(), "TARGET.dockshell` is not set up")
    assert finding["grade"] == "note"
    typed(finding["remedy"])
    assert _only(doctor(), "is set up")["grade"] == "ok"
    typed("dockshell ssh-config --host unix:///elsewhere.sock --install")
    text = config.read_text()
    known_hosts = next(Path(environment["HOME"]).glob("**/known_hosts"))
    for says, spoil in (
        ("which is not there", lambda: config.write_text(text.replace(COMMAND[0], "/gone/dockshell"))),
        ("can't prove who answers", lambda: known_hosts.write_text("dockshell ssh-ed25519 AAAA\n")),
        (
            "not what this dockshell would put",
            lambda: config.write_text(text.replace("ForwardX11 no", "")),
        ),
    ):
        spoil()
        finding = _only(doctor(), says)
        assert finding["grade"] == "wrong"
        typed(finding["remedy"])
        assert _only(doctor(), "is set up")["grade"] == "ok"
        assert config.read_text() == text


def test_modes(doctor: Doctor, environment: dict[str, str], typed: Callable[..., None]) -> None:
    """Keys that others may read, a directory and a configuration that they may write to: the command mends each."""
    home = Path(environment["HOME"])
    typed("dockshell ssh-config --install")
    insecure = home / ".baseimage_docker_insecure_key"
    insecure.touch(0o600)
    key = next(home.glob("**/host_ed25519"))
    for path, mode in ((key, 0o644), (key.parent, 0o777), (home / ".ssh/config", 0o666), (insecure, 0o644)):
        path.chmod(mode)
        (finding,) = [each for each in doctor() if each["subject"] == "ssh" and each["grade"] == "wrong"]
        assert path.name in finding["what"]
        typed(finding["remedy"])
        assert not [each for each in doctor() if each["subject"] == "ssh" and each["grade"] != "ok"]
        assert not stat.S_IMODE(path.stat().st_mode) & 0o022


def test_settings_that_make_no_sense(doctor: Doctor, environment: dict[str, str]) -> None:
    """The config file's own sentence, with the line; none where they do make sense."""
    config = Path(environment["HOME"], ".config/dockshell/config.toml")
    config.parent.mkdir(parents=True)
    config.write_text('user = "app"\nnonsense = 1\n')
    finding = _only(doctor(), "config.toml")
    assert finding["grade"] == "wrong" and "nonsense" in finding["what"]
    config.write_text('user = "app"\n')
    assert _only(doctor(), "config.toml")["grade"] == "ok"


def test_no_tools(doctor: Doctor) -> None:
    """What isn't a static busybox is no tool: the toolbox's own words."""
    assert _only(doctor(env={"DOCKSHELL_BUSYBOX": "/etc/passwd"}), "no static program")["grade"] == "note"


def test_an_engines_words_are_not_obeyed(dockshell: Run, terminal: Callable[..., pexpect.spawn[bytes]]) -> None:
    """Escape sequences in what it tells reach no terminal; nor do rich's."""
    with _pretended(Version="\x1b[2J[red]29") as impostor:
        env = {"DOCKER_HOST": impostor.url}
        assert b"docker \\x1b[2J[red]29 (API" in dockshell("doctor", env=env).stdout
        child = terminal("doctor", env=env)
        child.expect(pexpect.EOF)
    assert b"\x1b[2J" not in child.before and b"\\x1b[2J[red]29" in child.before


def test_how_it_looks(docker: Peer, dockshell: Run, terminal: Callable[..., pexpect.spawn[bytes]]) -> None:
    """At a terminal in colours and by its width, but for commands, which stay one line each; none of that in a pipe."""
    name = docker.run("busybox", options=["-v", "/etc:/host/etc"])
    piped = dockshell("doctor", name, engine=docker)
    assert b"\x1b" not in piped.stdout and without_progress(piped.stderr) == b""
    text = piped.stdout.decode()
    headings = re.findall(r"^\w+$", text, re.MULTILINE)
    assert headings == ["engines", "kernel", "tools", "ssh", "shell", "danger", "target"]
    for columns, env in ((80, {}), (200, {"NO_COLOR": "1"})):
        child = terminal("doctor", name, engine=docker, dimensions=(24, columns), env=env)
        child.expect(pexpect.EOF)
        drawn = child.before.decode()
        assert ("\x1b[" in drawn) == (not env)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", drawn).replace("\r\n", "\n")
        assert " ".join(plain.split()) == " ".join(text.split())
        commands = [line for line in text.splitlines() if line.startswith(" " * 10)]
        assert all(len(line) <= columns or line in commands for line in plain.splitlines())
        assert all(line in plain.splitlines() for line in commands)
