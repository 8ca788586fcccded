"""A real Debian for the `baseimage` image, and on it a layout like baseimage-docker's."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.world.archive import Layer
from tests.world.bootstrap import debian_tar

_INCLUDE = "openssh-server,runit,procps,zsh,tmux"
_WORKSHOP = "git,python3,rsync,strace"
_FINISH_WORKSHOP = """
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /usr/share/doc /usr/share/man /usr/share/locale
useradd --create-home --uid 1000 --shell /bin/bash app
"""
# What images made of it may ask for: `dockshell image` itself, the pages' walk-through, other supervisors.
_MIRRORED = (
    "python3-minimal,runit,openssh-server,cron,busybox-syslogd,tini,memcached,nginx-light,curl,"
    "zsh,tmux,procps,s6,supervisor"
)
_FINISH_SLIM = "rm -rf /var/cache/apt/* /var/lib/apt/lists/* /usr/share/doc /usr/share/man /usr/share/locale"
_FINISH = """
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /usr/share/doc /usr/share/man /usr/share/locale
rm -rf /var/log/* /etc/ssh/ssh_host_*
rm -rf /etc/service /etc/sv/ssh
groupadd --gid 8377 docker_env
groupadd --gid 2001 staff2
groupadd --gid 2002 video2
useradd --create-home --uid 1000 --shell /bin/zsh --groups staff2,video2 app
echo "PS1='%n@%m:%~%# '" > /home/app/.zshrc
"""
_HERE = os.path.join(os.path.dirname(__file__), "baseimage")
_FILES = {
    "sbin/my_init": ("my_init", 0o755),
    "etc/my_init.d/00_regen_ssh_host_keys.sh": ("regen_ssh_host_keys", 0o755),
    "etc/service/sshd/run": ("sshd_run", 0o755),
    "usr/sbin/enable_insecure_key": ("enable_insecure_key", 0o755),
    "etc/insecure_key.pub": ("insecure_key.pub", 0o644),
}


def baseimage_layer() -> Layer:
    """What baseimage-docker adds: an init, a service for sshd that is switched off, the insecure key, the container's
    environment."""
    layer = Layer()
    for path in ("etc/my_init.d", "etc/service", "etc/service/sshd"):
        layer.directory(path)
    layer.directory("etc/container_environment", 0o700)
    for path, (name, mode) in _FILES.items():
        with open(os.path.join(_HERE, name), "rb") as file:
            layer.file(path, file.read(), mode)
    layer.file("etc/service/sshd/down", b"")
    layer.file("var/log/lastlog", b"")  # without it sshd complains at every terminal that it opens
    layer.file("etc/container_environment/FROM_BASEIMAGE", b"kept in a file\n")
    layer.file("etc/container_environment.sh", b"", 0o640, (0, 8377))
    layer.file("etc/container_environment.json", b"{}", 0o640, (0, 8377))
    layer.link("etc/profile.d/container_environment.sh", "/etc/container_environment.sh")
    return layer


def debian_tarball(scratch: str, say: Callable[[str], None]) -> str:
    """The path of the Debian's tar, made first where the cache lacks it. Raises Unavailable where it can't be made
    here."""
    return debian_tar("", _INCLUDE, _FINISH, scratch, say)


def workshop_tarball(scratch: str, say: Callable[[str], None]) -> str:
    """The same of the workshop's."""
    return debian_tar("", _WORKSHOP, _FINISH_WORKSHOP, scratch, say)


def slim_tarball(suite: str, scratch: str, say: Callable[[str], None]) -> str:
    """The same of a small Debian without anything added, whose apt needs no network. suite: as debian_tar() has it."""
    return debian_tar(suite, "ca-certificates", _FINISH_SLIM, scratch, say, _MIRRORED)
