"""What of a container's configuration would let whoever is root inside take its host over. Pure.

By the engine's own inspect: https://docs.docker.com/engine/api/v1.41/#operation/ContainerInspect; what the capabilities
give is in capabilities(7)."""

from __future__ import annotations

import os

from dockshell.errors import printable
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

__all__ = ["Risk", "has_hosts_users", "risks"]

_SOCKETS = ("docker.sock", "podman.sock", "containerd.sock", "crio.sock")
# Where engines' sockets are: a mount that can't be written to still lets one connect to a socket in it.
_WITH_SOCKETS = ("/", "/run", "/var/run", "/run/podman", "/run/containerd")
# Who writes to these is root at the host's next login, start or job.
_HOSTS_OWN = (
    "/", "/bin", "/boot", "/etc", "/etc/cron.d", "/etc/passwd", "/etc/shadow", "/etc/ssh", "/etc/sudoers",
    "/etc/sudoers.d", "/etc/systemd", "/lib", "/lib64", "/proc", "/root", "/root/.ssh", "/sbin", "/sys", "/usr",
    "/usr/bin", "/usr/lib", "/usr/local", "/usr/local/bin", "/usr/sbin", "/var", "/var/lib", "/var/lib/containerd",
    "/var/lib/containers", "/var/lib/docker", "/var/spool/cron",
)  # fmt: skip
_SECRETS = ("/etc", "/etc/shadow", "/root", "/root/.ssh", "/var/lib/docker", "/var/lib/containers")
_CAPABILITIES = {
    "ALL": "holds every right that root has",
    "SYS_ADMIN": "lets it mount the host's disks",
    "SYS_MODULE": "lets it put code into the kernel",
    "DAC_READ_SEARCH": "lets it open any file of the host by its handle",
    "SYS_RAWIO": "lets it write to the machine's memory and devices",
}
_DISKS = ("sd", "hd", "vd", "xvd", "nvme", "mmcblk", "dm-", "md", "mapper", "loop")
_MEMORY = ("mem", "kmem", "port", "kcore")


@noun(frozen=True)
class Risk:
    """grade: `danger` where it is enough to take the host over, else `note`. why: the sentence's second half, after the
    container's name; cause: the option that it should have been started without."""

    grade: str
    why: str
    cause: str


def risks(facts: Mapping[str, Any], engine: str = "") -> Iterator[Risk]:
    """facts: the engine's answer to inspect, which may hold anything. engine: the path of its own socket."""
    host = _table(facts.get("HostConfig"))
    if host.get("Privileged") is True:
        yield Risk("danger", "is privileged: root inside is root outside", "--privileged")
        return  # which has all that follows in it
    for each in _tables(facts.get("Mounts")):
        yield from _mounted(each, engine)
    yield from _capabilities(host)
    yield from _devices(host)
    yield from _unconfined(host)


def _mounted(mount: Mapping[str, Any], engine: str) -> Iterator[Risk]:
    source, inside = str(mount.get("Source", "")), printable(str(mount.get("Destination", "")))
    if mount.get("Type") != "bind" or not source.startswith("/"):
        return
    source = os.path.normpath(source)
    shown, writable = printable(source), mount.get("RW") is not False
    cause = f"-v {shown}:{inside}"
    if source == engine or os.path.basename(source) in _SOCKETS or os.path.basename(inside) in _SOCKETS:
        yield Risk("danger", f"has the engine's socket {shown}: who talks to it is root on the host", cause)
    elif source in _WITH_SOCKETS:
        yield Risk("danger", f"has the host's {shown}, and the engine's socket in it: who talks to it is root", cause)
    elif writable and source in _HOSTS_OWN:
        yield Risk("danger", f"may write to the host's {shown}, and so can run what it likes as root there", cause)
    elif source in _SECRETS:
        yield Risk("note", f"may read the host's {shown}, with the secrets in it", cause)


def _capabilities(host: Mapping[str, Any]) -> Iterator[Risk]:
    added = host.get("CapAdd")
    names = [str(each).upper().removeprefix("CAP_") for each in added] if isinstance(added, list) else []
    for name in names:
        if name in _CAPABILITIES:
            yield Risk("danger", f"has the capability {name}, which {_CAPABILITIES[name]}", f"--cap-add {name}")
    if "SYS_PTRACE" in names and host.get("PidMode") == "host":
        why = "sees the host's processes and has the capability SYS_PTRACE: it can take any of them over"
        yield Risk("danger", why, "--pid host")
    elif host.get("PidMode") == "host":
        yield Risk("note", "sees the host's processes, their words and, as root, their environment", "--pid host")


def _devices(host: Mapping[str, Any]) -> Iterator[Risk]:
    for each in _tables(host.get("Devices")):
        path = os.path.normpath(str(each.get("PathOnHost", "")))
        name = path.removeprefix("/dev/")
        cause = f"--device {printable(path)}"
        if name in _MEMORY:
            yield Risk("danger", f"has {printable(path)}: it can write to the kernel's memory", cause)
        elif path == "/dev" or name.startswith(_DISKS):
            yield Risk("danger", f"has the host's disk {printable(path)}: it can write to any file there", cause)
    rules = host.get("DeviceCgroupRules")
    for rule in rules if isinstance(rules, list) else ():
        if str(rule).startswith(("a", "b")):
            cause = f"--device-cgroup-rule {printable(str(rule))!r}"
            yield Risk("danger", "may make itself a device for the host's disks, and write to any file there", cause)


def _unconfined(host: Mapping[str, Any]) -> Iterator[Risk]:
    said = host.get("SecurityOpt")
    options = [str(each).replace(":", "=") for each in said] if isinstance(said, list) else []
    for option in options:
        if option in ("seccomp=unconfined", "apparmor=unconfined"):
            why = f"runs with {option}: less keeps it from what is weak in the kernel"
            yield Risk("note", why, f"--security-opt {option}")
    if _is_left_out(host):
        yield Risk("note", "is left out of the engine's user namespace: root inside is root outside", "--userns host")


def has_hosts_users(facts: Mapping[str, Any]) -> bool:
    """facts: as of risks(). Is root inside the host's root, where the engine makes it another user for the others?"""
    return _is_left_out(_table(facts.get("HostConfig")))


def _is_left_out(host: Mapping[str, Any]) -> bool:
    return host.get("UsernsMode") == "host"


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _tables(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
