"""Real Debians: with tools, and small ones on which images are built."""

from __future__ import annotations

from collections.abc import Callable

from tests.world.bootstrap import debian_tar

_WORKSHOP = "git,python3,python3-venv,rsync,strace"
_FINISH_WORKSHOP = """
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /usr/share/doc /usr/share/man /usr/share/locale
useradd --create-home --uid 1000 --shell /bin/bash app
"""
# What images made of it may ask for: `dockshell image` itself, the pages' walk-through, other supervisors.
_MIRRORED = (
    "python3-minimal,runit,openssh-server,cron,busybox-syslogd,tini,memcached,nginx-light,curl,"
    "zsh,tmux,procps,s6,supervisor,daemontools"
)
_FINISH_SLIM = "rm -rf /var/cache/apt/* /var/lib/apt/lists/* /usr/share/doc /usr/share/man /usr/share/locale"


def workshop_tarball(scratch: str, say: Callable[[str], None], suite: str = "") -> str:
    """The path of the workshop's tar, made first where the cache lacks it. suite: as debian_tar() has it. Raises
    Unavailable where it can't be made here."""
    return debian_tar(suite, _WORKSHOP, _FINISH_WORKSHOP, scratch, say)


def slim_tarball(suite: str, scratch: str, say: Callable[[str], None]) -> str:
    """The same of a small Debian without anything added, whose apt needs no network. suite: as debian_tar() has it."""
    return debian_tar(suite, "ca-certificates", _FINISH_SLIM, scratch, say, _MIRRORED)
