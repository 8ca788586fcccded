"""The image `baseimage`: what `dockshell image build --ssh` makes of a Debian, and a user and programs that the tests
want. An engine builds it once, and its files are cached as one tar."""

from __future__ import annotations

import glob
import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.world.bootstrap import cached, run
from tests.world.debian import slim_tarball

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.world.peer import Peer

CONFIG = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
          "Cmd": ["/sbin/my_init"]}  # fmt: skip
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_ADDED = r"""
RUN apt-get update && apt-get install -y --no-install-recommends procps zsh tmux
RUN groupadd --gid 2001 staff2 \
    && groupadd --gid 2002 video2 \
    && useradd --create-home --uid 1000 --shell /bin/zsh --groups staff2,video2 app \
    && echo "PS1='%n@%m:%~%# '" >/home/app/.zshrc \
    && echo 'kept in a file' >/etc/container_environment/FROM_BASEIMAGE \
    && rm -rf /srv/mirror /var/cache/apt/* /var/lib/apt/lists/*
"""


def baseimage_tarball(peer: Peer, scratch: str, say: Callable[[str], None]) -> str:
    """The path of a tar of its files, built by the peer where the cache lacks it. Raises Unavailable where the Debian
    can't be made here, RuntimeError and AssertionError where the image can't."""
    digest = _digest()
    recipe = "\n".join((os.path.basename(slim_tarball("", scratch, say)), _ADDED, repr(CONFIG), digest))

    def make(root: str) -> None:
        say("dockshell builds the baseimage (half a minute, once: it is cached)")
        _build(peer, scratch, root)
        if _digest() != digest:
            raise RuntimeError("dockshell/image was changed while it was built from: run the tests again")

    path = cached("baseimage", recipe, scratch, make)
    for other in glob.glob(f"{os.path.dirname(path)}/baseimage-*"):
        if not other.startswith(path):
            os.unlink(other)  # it was made by what dockshell/image once was
    return path


def _build(peer: Peer, scratch: str, root: str) -> None:
    plain, whole = (f"dockshell-test/baseimage-{name}-{os.getpid()}" for name in ("plain", "whole"))
    words = [sys.executable, "-m", "dockshell", "image", "build", "--from", peer.image("slim"), "--ssh", "-t", plain]
    env = {"PATH": os.environ["PATH"], "HOME": scratch, "PYTHONPATH": _ROOT, "DOCKER_HOST": peer.url}
    done = subprocess.run(words, env=env, capture_output=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"dockshell image build failed: {done.stderr.decode(errors='replace')[-2000:]}")
    peer.adopt(plain)
    peer.build(whole, f"FROM {plain}\n{_ADDED}")
    assert peer.ask("image", "inspect", "--format", '{{join .Config.Cmd " "}}', whole) == " ".join(CONFIG["Cmd"])
    container = peer.ask("create", whole)
    try:
        peer.sh("export", "--output", f"{root}.export", container, timeout=120)
        os.makedirs(root)
        run(["tar", "--numeric-owner", "-C", root, "-xpf", f"{root}.export", "--exclude=.dockerenv"])
    finally:
        peer.sh("rm", "--force", container)
        if os.path.exists(f"{root}.export"):
            os.unlink(f"{root}.export")


def _digest() -> str:
    """Of all files of dockshell/image, by name and content."""
    digest = hashlib.sha256()
    for directory, below, names in os.walk(os.path.join(_ROOT, "dockshell", "image")):
        below[:] = sorted(name for name in below if name != "__pycache__")
        for name in sorted(names):
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                content = file.read()
            digest.update(f"{os.path.relpath(path, _ROOT)} {len(content)}\n".encode() + content)
    return digest.hexdigest()
