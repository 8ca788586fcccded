"""dockerd, started by the tests: everything of it below one directory, a bridge of its own (so that it takes no other
dockerd's docker0 away), and no rule in the machine's packet filter. Containers have addresses that this machine
reaches, and published ports, but no way to the world outside."""

from __future__ import annotations

import os

from tests.world.daemon import Daemon
from tests.world.scratch import new_bridge


def start_docker(scratch: str, network: bool = True) -> Daemon:
    """Starts dockerd as root; without a network its containers have none but their own loopback, or the host's. Raises
    RuntimeError with its log's tail where that fails."""
    directory = os.path.join(scratch, "docker")
    os.makedirs(directory, exist_ok=True)
    config = os.path.join(directory, "daemon.json")
    with open(config, "w", encoding="ascii") as file:
        file.write("{}")
    bridge = f"dshd{os.getpid()}" if network else "none"
    if network:
        new_bridge(scratch, bridge)
    return Daemon(
        [
            "dockerd", "--config-file", config, "--host", f"unix://{directory}/engine.sock",
            "--pidfile", f"{directory}/pid", "--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec",
            "--bridge", bridge, "--iptables=false", "--ip6tables=false", "--ip-masq=false",
        ],
        directory,
    )  # fmt: skip
