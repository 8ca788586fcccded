"""What the nsenter route has to know of a container to give a newcomer the same confinement, and whether it can."""

from __future__ import annotations

import os

from dockshell.linux import cgroup, limits, sealed
from dockshell.linux.credentials import NEEDED, Capabilities, lacking, last_capability
from dockshell.linux.labels import label_of
from dockshell.linux.namespaces import Namespaces
from dockshell.linux.process import Process
from dockshell.linux.rootfs import RootFiles
from dockshell.linux.seccomp import program_of
from dockshell.routes import Refusal

__all__ = ["Facts"]

_YAMA = "/proc/sys/kernel/yama/ptrace_scope"


class Facts:
    """What has to be known of the container's first process before it is joined. process: that one, held. Raises
    Refusal, OSError."""

    def __init__(self, process: Process) -> None:
        if why := sealed.refuses():
            raise Refusal(why)
        self.process = process
        self.namespaces = Namespaces(process.pid)
        self.files = RootFiles(process.pid)
        status = self.process.status()
        self.capabilities = Capabilities.of(status)
        self.last_capability = last_capability()
        self.limits = limits.parse(self.process.read("limits"))
        self._check_rights(status)
        self.no_new_privileges = status.get("NoNewPrivs") == "1"
        self.oom_score = int(self.process.read("oom_score_adj"))
        self.label = label_of(_optional(self.process, "attr/current"))
        own = Process(os.getpid())
        self.cgroups = cgroup.places(self.process.cgroups(), own.cgroups())
        self.sets_groups = _optional(self.process, "setgroups") != "deny\n" if "user" in self.namespaces else True
        self.filter = _filter(process.pid) if status.get("Seccomp") == "2" else b""
        if not self.process.alive():
            raise Refusal("it ended just now")

    def check_addition(self, capabilities: int) -> None:
        """Raises Refusal where this process has no such capabilities to give: a bit mask."""
        lacks = capabilities & ~self.own
        if lacks and "user" not in self.namespaces:
            from dockshell.linux.capability_names import spelled

            raise Refusal(f"this process lacks what --cap asks for ({spelled(lacks)})")

    def _check_rights(self, status: dict[str, str]) -> None:
        self.joins_user = False
        self.own = ours = int(Process(os.getpid()).status()["CapEff"], 16)
        missing = lacking(ours, NEEDED)
        if missing and self.namespaces.owned():
            self.joins_user = True  # whoever made a user namespace has every right in it
            if status.get("Seccomp") == "2":  # ptrace(2), PTRACE_SECCOMP_GET_FILTER: CAP_SYS_ADMIN in the first one
                raise Refusal(
                    "its seccomp filter, which has to be the command's too, may be read by root alone: use sudo"
                )
            return
        if missing and os.geteuid():
            raise PermissionError
        if missing:
            raise Refusal(f"this process lacks the capability {missing[0]}")
        if "user" not in self.namespaces and self.capabilities.bounding & ~ours:
            raise Refusal("the container has capabilities that this process lacks")
        # What keeps those inside from tracing who enters (credentials.not_dumpable) doesn't hold for CAP_SYS_PTRACE:
        # ptrace(2). Of who has every capability there is nothing to keep.
        if (
            "user" not in self.namespaces
            and not lacking(self.capabilities.bounding, {19: "SYS_PTRACE"})
            and ours & ~self.capabilities.bounding
        ):
            raise Refusal("whoever has the capability SYS_PTRACE in there could take over a process that enters")
        high = limits.beyond_reach(self.limits)
        if high and lacking(ours, {24: "SYS_RESOURCE"}):
            raise Refusal(
                f"its limit of {high[0].removeprefix('Max ')} is above ours, "
                "and this process lacks the capability SYS_RESOURCE"
            )
        if status.get("Seccomp") == "2" and Process(os.getpid()).status().get("Seccomp") != "0":
            raise Refusal("its seccomp filter can't be read by a process that is under one itself")


def _filter(pid: int) -> bytes:
    try:
        return program_of(pid)
    except PermissionError:
        try:
            with open(_YAMA, "rb") as file:
                setting = file.read().strip()
        except FileNotFoundError:
            setting = b""
        if setting == b"3":
            raise Refusal(
                "kernel.yama.ptrace_scope=3 forbids reading its seccomp filter, which has to be the command's too: "
                "set it to 1 in /etc/sysctl.d and reboot"
            ) from None
        raise


def _optional(process: Process, name: str) -> str:
    """A file of /proc that not every kernel has, or that can't be read where its subject is off."""
    try:
        return process.read(name)
    except OSError:
        return ""
