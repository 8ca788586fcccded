"""dockerd, started by the tests: everything of it below one directory, a bridge of its own (so that it takes no other
dockerd's docker0 away), and no rule in the machine's packet filter. Containers have addresses that this machine
reaches, and published ports, but no way to the world outside."""

from __future__ import annotations

import os

from tests.world.daemon import Daemon
from tests.world.scratch import new_bridge

_REMAPPED = "daemon"  # a user whom every machine has
# Runs its other words in a mount namespace where /etc/subuid and /etc/subgid are the file that it is given, and /mnt is
# the directory, to which that user may pass.
_WITH_SUBIDS = """
for each in /etc/subuid /etc/subgid; do [ -e $each ] || : >$each; mount --bind "$1" $each; done
mount --bind "$2" /mnt; shift 2; exec "$@"
"""


def start_docker(scratch: str, network: bool = True, remapped: bool = False) -> Daemon:
    """Starts dockerd as root; without a network its containers have none but their own loopback, or the host's.
    remapped: root inside them is another user outside (--userns-remap). Raises RuntimeError with its log's tail where
    that fails."""
    directory = os.path.join(scratch, "docker")
    os.makedirs(directory, exist_ok=True)
    config = os.path.join(directory, "daemon.json")
    with open(config, "w", encoding="ascii") as file:
        file.write("{}")
    bridge = f"dshd{os.getpid()}" if network else "none"
    if network:
        new_bridge(scratch, bridge)
    data, before, further = f"{directory}/data", list[str](), list[str]()
    if remapped:
        subids = os.path.join(directory, "subids")
        with open(subids, "w", encoding="ascii") as file:
            file.write(f"{_REMAPPED}:1000000:65536\n")
        os.makedirs(data)
        before = ["unshare", "--mount", "sh", "-ec", _WITH_SUBIDS, "sh", subids, data]
        data, further = "/mnt", [f"--userns-remap={_REMAPPED}"]
    return Daemon(
        [
            *before, "dockerd", *further, "--config-file", config, "--host", f"unix://{directory}/engine.sock",
            "--pidfile", f"{directory}/pid", "--data-root", data, "--exec-root", f"{directory}/exec",
            "--bridge", bridge, "--iptables=false", "--ip6tables=false", "--ip-masq=false",
        ],
        directory,
    )  # fmt: skip
