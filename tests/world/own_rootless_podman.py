"""A person's own Podman, without root: `podman system service` run by a user who is nobody else, in the user namespace
that podman makes for them. Their containers have no network.

The user and their ranges of subordinate ids (subuid(5)) are in files that only the service sees as /etc/passwd and so
on, in a mount namespace of its own: this machine's stay as they are."""

from __future__ import annotations

import json
import os

from tests.world.daemon import Daemon
from tests.world.own_podman import EXEC_KEPT, default_limits
from tests.world.person import let_in

USER = 64123
_FILES = {
    "passwd": f"root:x:0:0::/root:/bin/sh\ndockshell:x:{USER}:{USER}::/:/bin/sh\n",
    "group": f"root:x:0:\ndockshell:x:{USER}:\n",
    "subuid": f"{USER}:{USER << 4}:65536\n",
    "subgid": f"{USER}:{USER << 4}:65536\n",
}
# newuidmap(1) wants to find the user in passwd.
_START = f"""
directory=$1
shift
mount --make-rprivate /
for name in {" ".join(_FILES)}; do mount --bind "$directory/etc/$name" "/etc/$name"; done
# With --ipc=host it shares this one, which a machine without systemd may lack.
mkdir -p /dev/mqueue
cd "$directory"
exec setpriv --reuid={USER} --regid={USER} --clear-groups --inh-caps=-all --pdeathsig TERM "$@"
"""


def start_rootless_podman(scratch: str) -> Daemon:
    """Starts the service, which takes root. Raises RuntimeError with its log's tail where that fails."""
    directory = os.path.join(scratch, "user")  # a short name: podman takes no runroot of more than 50 letters
    os.makedirs(f"{directory}/etc")
    for name, content in _FILES.items():
        with open(f"{directory}/etc/{name}", "w", encoding="utf-8") as file:
            file.write(content)
    with open(f"{directory}/containers.conf", "w", encoding="ascii") as file:
        file.write(f'[containers]\nnetns = "none"\ndefault_ulimits = {json.dumps(default_limits())}\n')
        file.write(f'[engine]\nlock_type = "file"\nexit_command_delay = {EXEC_KEPT}\n')
    for name in ("own", "home"):
        os.mkdir(f"{directory}/{name}", 0o700)
        os.chown(f"{directory}/{name}", USER, USER)
    os.chown(directory, USER, USER)
    let_in(directory, os.path.dirname(scratch))
    podman = [
        "podman", "--root", f"{directory}/root", "--runroot", f"{directory}/run",
        "--tmpdir", f"{directory}/tmp", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
        "--runtime", "runc", "--storage-driver", "overlay",
        "system", "service", "--time=0", f"unix://{directory}/engine.sock",
    ]  # fmt: skip
    env = {**rootless_environment(scratch), "HOME": f"{directory}/home", "XDG_RUNTIME_DIR": f"{directory}/own"}
    env["XDG_CACHE_HOME"] = f"{directory}/home/.cache"  # the caller's own may be out of that person's reach
    return Daemon(["unshare", "--mount", "sh", "-ec", _START, "sh", directory, *podman], directory, env)


def rootless_environment(scratch: str) -> dict[str, str]:
    """What podman needs in its environment, be it the service or who asks it."""
    return {"CONTAINERS_CONF": os.path.join(scratch, "user", "containers.conf")}
