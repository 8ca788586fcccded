"""A newer Docker, on control groups of version 2 alone, beside whatever Docker this machine has: Debian trixie's
docker.io 26.1 in a root of its own.

It sees another machine: a mount namespace whose root is that Debian's and whose /sys/fs/cgroup is version 2 with
nothing beside it (its containers then have a cgroup namespace each, and are entered by clone3's CLONE_INTO_CGROUP), and
a network namespace where it may have a docker0. Its processes are this machine's like any others, its socket is in this
run's directory, which has the same name there, and its containers' addresses are reached through a pair of veths.

Where the machine itself has given the controllers to version 1, version 2 is without them: containers are confined no
less, but limits of memory or processes are ignored there."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.world.bootstrap import debian_tar, unpack
from tests.world.daemon import Daemon
from tests.world.scratch import free_subnet, ip

_INCLUDE = "docker.io,iproute2,python3,python3-venv"  # Python: for stranger.py
_FINISH = """
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /usr/share/doc /usr/share/man /usr/share/locale
"""
# Not a bare chroot: what an exec starts there would see the machine's files. The veth is made in here because the
# machine may have no `ip` that can.
_START = """
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
root=$1 directory=$2 parent=$3 link=$4 prefix=$5
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount --rbind /proc ./proc
mount --rbind /dev ./dev
mount -t sysfs sysfs ./sys
mount -t cgroup2 cgroup2 ./sys/fs/cgroup
mount -t tmpfs tmpfs ./run
mkdir -p ".$directory"
mount --bind "$directory" ".$directory"
pivot_root . mnt
cd /
umount -l /mnt
ip link add eth0 type veth peer name "$link" netns "$parent"
ip addr add "$prefix.2/30" dev eth0
ip link set eth0 up
ip link set lo up
ip route add default via "$prefix.1"
echo 1 > /proc/sys/net/ipv4/ip_forward
exec dockerd --host "unix://$directory/engine.sock" --pidfile "$directory/pid" --data-root "$directory/data" \
    --exec-root "$directory/exec" --bip "$prefix.129/25" --iptables=false --ip6tables=false --ip-masq=false
"""


def docker26_tarball(scratch: str, say: Callable[[str], None]) -> str:
    """The path of the Debian's tar, made first where the cache lacks it. Raises Unavailable where it can't be made."""
    return debian_tar("trixie", _INCLUDE, _FINISH, scratch, say)


def start_docker26(scratch: str, say: Callable[[str], None]) -> Daemon:
    """Starts it as root. Raises Unavailable where no such Debian can be had, RuntimeError with its log's tail where it
    does not start."""
    directory, root = os.path.join(scratch, "docker26"), os.path.join(scratch, "docker26-root")
    unpack(docker26_tarball(scratch, say), root)
    os.makedirs(directory)
    link, prefix = f"dshv{os.getpid()}", free_subnet(28)
    start = ["unshare", "--mount", "--net", "sh", "-ec", _START, "sh"]
    daemon = Daemon([*start, root, directory, str(os.getpid()), link, prefix], directory)
    ip("addr", "add", f"{prefix}.1/30", "dev", link)
    ip("link", "set", link, "up")
    ip("route", "add", f"{prefix}.128/25", "via", f"{prefix}.2")
    return daemon
