"""`podman system service`, started by the tests with storage, state and network of its own.

What it needed where it was tried (Podman 4.3): netavark for the network; runc, since crun refuses a machine with both
cgroup versions mounted; and limits written down in a containers.conf, since Podman asks for more than a root without
CAP_SYS_RESOURCE may give."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess

from tests.world.daemon import Daemon
from tests.world.scratch import new_bridge

# For how many seconds the service keeps an exec that has ended, and a process beside it: containers.conf(5). With the
# usual five minutes a thousand of them are there at a time, and whoever looks through /proc takes that much longer.
EXEC_KEPT = 60


def podman_command(scratch: str) -> list[str]:
    """The podman command that works on the same storage as the tests' service."""
    directory = os.path.join(scratch, "podman")
    runtime = ["--runtime", "runc"] if shutil.which("runc") else []
    return [
        "podman", "--root", f"{directory}/root", "--runroot", f"{directory}/run", "--tmpdir", f"{directory}/tmp",
        "--network-config-dir", f"{directory}/networks", "--cgroup-manager", "cgroupfs",
        "--events-backend", "file", *runtime,
    ]  # fmt: skip


def podman_environment(scratch: str) -> dict[str, str]:
    """What podman needs in its environment wherever it creates a container."""
    return {"CONTAINERS_CONF": os.path.join(scratch, "podman", "containers.conf")}


def start_podman(scratch: str) -> Daemon:
    """Starts the service as root. Raises RuntimeError with its log's tail where that fails."""
    directory = os.path.join(scratch, "podman")
    os.makedirs(f"{directory}/networks", exist_ok=True)
    with open(f"{directory}/containers.conf", "w", encoding="ascii") as file:
        file.write(f"[containers]\ndefault_ulimits = {json.dumps(default_limits())}\n")
        file.write('[network]\nnetwork_backend = "netavark"\n')
        file.write(f"[engine]\nexit_command_delay = {EXEC_KEPT}\n")
    bridge = f"dshp{os.getpid()}"
    address = new_bridge(scratch, bridge)
    network = {
        "name": "podman", "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9", "driver": "bridge",
        "network_interface": bridge, "subnets": [{"subnet": address.rpartition(".")[0] + ".0/24", "gateway": address}],
        "ipv6_enabled": False, "internal": False, "dns_enabled": False, "ipam_options": {"driver": "host-local"},
    }  # fmt: skip
    with open(f"{directory}/networks/podman.json", "w", encoding="ascii") as file:
        json.dump(network, file)
    command = podman_command(scratch)
    service = [*command, "system", "service", "--time=0", f"unix://{directory}/engine.sock"]
    return Daemon(service, directory, podman_environment(scratch))


def remove_containers(scratch: str) -> None:
    """Removes all containers of the tests' Podman, running or not, with their networks and mounts."""
    env = {**os.environ, **podman_environment(scratch)}
    subprocess.run(
        [*podman_command(scratch), "rm", "--all", "--force", "--time", "0"], env=env, capture_output=True, check=False
    )


def default_limits() -> list[str]:
    """The most that this process may give: its own hard limits. Podman itself first lowers its number of processes to
    pid_max."""
    with open("/proc/sys/kernel/pid_max", encoding="ascii") as file:
        pid_max = int(file.read())
    most = {"nofile": (resource.RLIMIT_NOFILE, 1 << 20), "nproc": (resource.RLIMIT_NPROC, pid_max)}
    limits = {name: min(resource.getrlimit(limit)[1] % 2**63, bound) for name, (limit, bound) in most.items()}
    return [f"{name}={limit}:{limit}" for name, limit in limits.items()]
