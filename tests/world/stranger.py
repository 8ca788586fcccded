"""A machine as somebody has it who meets dockshell for the first time: a small Debian with its own Python and nothing
that the tests install. No engine, no client of one, no busybox, and of the shells none but /bin/sh."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from typing import NamedTuple

from tests.world.bootstrap import cached, run, unpack
from tests.world.debian import workshop_tarball
from tests.world.own_docker26 import docker26_tarball
from tests.world.unavailable import Unavailable

SUITES = {"bookworm": "3.11", "trixie": "3.13"}  # Debian 12 and 13, and the Python that each has
USER = 1000
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_HIDDEN = ("bash", "busybox", "docker*", "podman*", "containerd*", "runc", "crun", "zsh", "fish", "tmux", "ctr", "ps")
_CHECKOUT = ("dev", "dockshell", "pyproject.toml", "README.md", "LICENSE", "scripts", "completions", "man")
# pivot_root, not chroot: in a changed root nobody may make a user namespace, user_namespaces(7). exec keeps the pid.
_ENTER = """
root=$1 become=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
for each in proc dev sys; do mount --rbind "/$each" "$each"; done
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
pivot_root . mnt
cd /
umount -l /mnt
cd /home/stranger/dockshell
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv $become env "$@"
"""


class Machine(NamedTuple):
    """directory: its root directory, as the tests see it. suite: which Debian it is."""

    directory: str
    suite: str

    def words(self, who: str, *words: str, **environment: str) -> list[str]:
        """The words that run a command there, in the checkout; who: root, or stranger, who may make user namespaces and
        nothing else."""
        become = "--clear-groups"
        if who != "root":
            become = f"--reuid={USER} --regid={USER} --clear-groups --inh-caps=-all"
        given = {
            "HOME": "/root" if who == "root" else "/home/stranger",
            "TERM": "xterm-256color",
            **_PIP,
            **environment,
        }
        named = [f"{name}={value}" for name, value in given.items()]
        return ["unshare", "--mount", "sh", "-ec", _ENTER, "sh", self.directory, become, *named, *words]


_PIP = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/srv/wheels", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def make_machine(suite: str, directory: str, scratch: str, say: Callable[[str], None]) -> Machine:
    """Lays one out in a directory that isn't there yet, with a checkout in the stranger's home that was never used, and
    the packages of PyPI that it asks for. Raises Unavailable where the Debian or the packages can't be had."""
    tar = docker26_tarball(scratch, say) if suite == "trixie" else workshop_tarball(scratch, say, suite)
    unpack(tar, directory)
    places = " ".join(f"{place}/{name}" for place in ("/usr/bin", "/usr/sbin") for name in _HIDDEN)
    finish = f"""
        rm -f {places}
        id -u {USER} >/dev/null 2>&1 && userdel -r $(id -nu {USER}) >/dev/null 2>&1 || :
        useradd --create-home --uid {USER} --shell /bin/sh stranger
    """
    run(["chroot", directory, "/bin/sh", "-e"], finish.encode())
    checkout = os.path.join(directory, "home/stranger/dockshell")
    os.mkdir(checkout)
    for name in _CHECKOUT:
        source = os.path.join(_ROOT, name)
        if os.path.isdir(source):
            shutil.copytree(source, f"{checkout}/{name}", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, checkout)
    run(["chown", "-R", f"{USER}:{USER}", checkout])
    unpack(wheels(SUITES[suite], scratch, say), os.path.join(directory, "srv/wheels"))
    return Machine(directory, suite)


def wheels(python: str, scratch: str, say: Callable[[str], None]) -> str:
    """The path of a tar of the wheels that this checkout needs with that Python."""
    with open(os.path.join(_ROOT, "pyproject.toml"), "rb") as file:
        project = tomllib.load(file)
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"], "editables"]

    def make(directory: str) -> None:
        say(f"the packages of PyPI that dockshell needs with Python {python} are fetched (once: they are cached)")
        words = ["-m", "pip", "--disable-pip-version-check", "download", "-q", "--only-binary=:all:"]
        fetch = [sys.executable, *words, f"--python-version={python}", "-d", directory, *wanted]
        done = subprocess.run(fetch, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise Unavailable(f"the packages of PyPI for Python {python} can't be had: {done.stderr.strip()[-300:]}")

    return cached("wheels", "\n".join([python, *wanted]), scratch, make)
