"""The bridge beside a real sshd in the same container: the same client, the same key, the same files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

from benchmarks.stage import Stage
from benchmarks.timing import Line

__all__ = ["command", "files"]


def command(stage: Stage) -> tuple[Line, Line]:
    """One command through either."""
    config, container = _set_up(stage)
    ssh = (stage.program("ssh"), "-F", config)
    return (
        Line((*ssh, f"{container}.dockshell", "true"), "ssh web.dockshell true"),
        Line((*ssh, "sshd", "true"), "ssh root@IP true"),
    )


def files(protocol: str, direction: str) -> Callable[[Stage], tuple[Line, Line]]:
    """One large file, by `sftp` or by `scp`, `up` or `down`."""

    def lines(stage: Stage) -> tuple[Line, Line]:
        config, container = _set_up(stage)
        here = _large(stage)
        return (
            _moved(stage, config, f"{container}.dockshell", protocol, direction, here, "web.dockshell"),
            _moved(stage, config, "sshd", protocol, direction, here, "root@IP"),
        )

    return lines


def _moved(stage: Stage, config: str, host: str, protocol: str, direction: str, here: str, shown: str) -> Line:
    there = "/root/large"
    if protocol == "sftp":
        typed = f"put {here} {there}" if direction == "up" else f"get {there} {here}.back"
        shell = f"echo '{typed}' | exec {stage.program('sftp')} -q -F '{config}' -b - {host}"
        return Line((stage.program("sh"), "-c", shell), f"sftp {shown}: {typed.split()[0]}")
    words = (here, f"{host}:{there}") if direction == "up" else (f"{host}:{there}", f"{here}.back")
    spelled = f"scp large {shown}:" if direction == "up" else f"scp {shown}:large ."
    return Line((stage.program("scp"), "-q", "-F", config, *words), spelled)


def _large(stage: Stage) -> str:
    """A file of the stage's size, here and in the container."""
    path = os.path.join(stage.env["HOME"], "large")
    if not os.path.exists(path):
        with open(path, "wb") as file:
            for _ in range(stage.size >> 20):
                file.write(os.urandom(1 << 20))
        config, _ = _set_up(stage)
        subprocess.run([stage.program("scp"), "-q", "-F", config, path, "sshd:/root/large"], env=stage.env, check=True)
    return path


def _set_up(stage: Stage) -> tuple[str, str]:
    """The configuration for both, and the container: a baseimage whose sshd takes a key of the stage's own."""
    container = stage.docker.shared("baseimage")
    config, key = stage.file("bridge_config"), stage.file("bridge_key")
    if os.path.exists(config):
        return config, container
    subprocess.run([stage.program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with open(f"{key}.pub", "rb") as file:
        stage.docker.sh("exec", "-i", container, "sh", "-c", "cat >> /root/.ssh/authorized_keys", input=file.read())
    networks = stage.docker.inspect(container)["NetworkSettings"]["Networks"].values()
    address = next(network["IPAddress"] for network in networks if network["IPAddress"])
    listed = stage.docker.ask("exec", container, "sh", "-c", "cat /etc/ssh/ssh_host_ed25519_key.pub")
    known = stage.file("bridge_known_hosts")
    with open(known, "w", encoding="ascii") as file:
        file.write(f"{address} {' '.join(listed.split()[:2])}\n")
    ours = [stage.ours("dockshell"), "ssh-config"]
    block = subprocess.run(ours, env=stage.env, capture_output=True, text=True, check=True).stdout
    with open(config, "w", encoding="utf-8") as file:
        file.write(block)
        file.write(
            f"Host sshd\n  HostName {address}\n  User root\n  UserKnownHostsFile {known}\n"
            f"Host *\n  BatchMode yes\n  IdentityFile {key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
        )
    return config, container
