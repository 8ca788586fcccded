"""A real Debian for the `baseimage` image: debootstrap's work, cached as a tar, and on it a layout like
baseimage-docker's.

The cache is ${XDG_CACHE_HOME:-~/.cache}/dockshell-tests; a tar there is named after a hash of its recipe."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable

from tests.world.archive import Layer
from tests.world.unavailable import Unavailable

_INCLUDE = "openssh-server,runit,procps,zsh,tmux"
_FINISH = """
set -e
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
    suite = _suite()
    key = hashlib.sha256("\n".join((suite, os.uname().machine, _INCLUDE, _FINISH)).encode()).hexdigest()[:16]
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "dockshell-tests")
    path = os.path.join(cache, f"debian-{key}.tar")
    if os.path.exists(path):
        return path
    if os.geteuid() != 0 or not shutil.which("debootstrap") or not shutil.which("apt-get"):
        raise Unavailable("making the baseimage needs root and debootstrap on Debian or Ubuntu")
    say("debootstrap makes a Debian (a minute, once: it is cached)")
    os.makedirs(cache, exist_ok=True)
    root = os.path.join(scratch, "debian")
    partial = f"{path}.{os.getpid()}"
    try:
        _bootstrap(suite, root, scratch)
        leave = ["--exclude=./dev/*", "--exclude=./proc/*"]
        _run(["tar", "--numeric-owner", "--sort=name", *leave, "-C", root, "-cf", partial, "."])
        os.replace(partial, path)
    finally:
        shutil.rmtree(root, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
    return path


def _suite() -> str:
    """This machine's release (os-release(5)); empty where it says none."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


def _bootstrap(suite: str, root: str, scratch: str) -> None:
    """debootstrap in a mount namespace of its own: what it mounts goes with it, even when it is killed."""
    mirror, components = _mirror(suite)
    alone = ["unshare", "--mount", "--propagation", "private"]
    options = ["--variant=minbase", f"--include={_INCLUDE}", f"--components={','.join(components)}"]
    _run([*alone, "debootstrap", *options, suite, root, mirror])
    finish = os.path.join(scratch, "finish.sh")
    with open(finish, "w", encoding="ascii") as file:
        file.write(_FINISH)
    with open(finish, "rb") as script:
        _run(["chroot", root, "/bin/sh"], script.read())


def _mirror(suite: str) -> tuple[str, list[str]]:
    """The mirror and the components of the suite as this machine's apt has them configured (apt-get(8),
    indextargets)."""
    listing = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    lines = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    targets = [line.split() for line in lines]
    sites = [
        (site, component)
        for site, release, component in targets
        if release == suite and component in ("main", "universe")
    ]
    if not sites:
        raise Unavailable(f"apt is configured with no mirror of {suite}, which debootstrap needs")
    mirror = sites[0][0]
    return mirror, sorted({component for site, component in sites if site == mirror})


def _run(argv: list[str], stdin: bytes = b"") -> None:
    done = subprocess.run(argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} failed with {done.returncode}:\n" + done.stdout.decode(errors="replace")[-2000:])
