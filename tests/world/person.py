"""People who type `dockshell`: root, who runs the tests, and others, who have no rights but their groups'."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.world.unavailable import Unavailable

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PYTHON = "/usr/bin/python3"  # not all may look into a home directory, where a version manager's Python often lies


class Person(NamedTuple):
    """command: the words that start dockshell as that person. environment: theirs. place: a directory with which they
    may do what they like."""

    command: list[str]
    environment: dict[str, str]
    place: str


@contextlib.contextmanager
def person(uid: int, groups: Sequence[int] = (), guests: Sequence[str] = ()) -> Iterator[Person]:
    """Somebody with that number and these groups, the first of them their own, and with a copy of dockshell, for they
    may not read this one. guests: packages that they are to have too. Raises Unavailable where there is no Python for
    all, or another than ours for the guests. Takes root."""
    new_enough = [_PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if not os.path.exists(_PYTHON) or subprocess.run(new_enough, check=False).returncode:
        raise Unavailable("no Python for all")
    own, *others = groups or (uid,)
    rights = ["--clear-groups"] if not others else [f"--groups={','.join(map(str, others))}"]
    place = tempfile.mkdtemp()
    try:
        os.chown(place, uid, own)
        os.chmod(place, 0o755)
        library = os.path.join(place, "library")
        shutil.copytree(os.path.join(_ROOT, "dockshell"), os.path.join(library, "dockshell"))
        for guest in guests:
            _bring(guest, library)
        subprocess.run([_PYTHON, "-m", "compileall", "-q", library], check=True)
        environment = {"HOME": place, "PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        become = ["setpriv", f"--reuid={uid}", f"--regid={own}", *rights, "--inh-caps=-all"]
        # -P: what lies where the tests are run is not to be taken for the copy.
        command = [*become, _PYTHON, "-P", "-m", "dockshell"]
        yield Person(command, {**environment, "PYTHONPATH": library}, place)
    finally:
        _remove(place)


def _remove(place: str) -> None:
    """Removes what was theirs. A process of theirs that is about to end may still write there, to a cache."""
    until = time.monotonic() + 30
    while True:
        try:
            shutil.rmtree(place)
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


# What the guests bring along.
_BROUGHT = {"asyncssh": ("asyncssh", "cryptography", "cffi", "typing_extensions.py"), "dns": ("dns",)}


def _bring(guest: str, library: str) -> None:
    ours = "{}.{}".format(*sys.version_info[:2])
    asked = [_PYTHON, "-c", "import sys; print('{}.{}'.format(*sys.version_info[:2]))"]
    if subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() != ours:
        raise Unavailable(f"the Python for all is not a {ours} as ours is")
    place = sysconfig.get_path("platlib")
    for name in _BROUGHT[guest]:
        found = os.path.join(place, name)
        if os.path.isdir(found):
            shutil.copytree(found, os.path.join(library, name), dirs_exist_ok=True)
        else:
            shutil.copy(found, library)
    for path in glob.glob(os.path.join(place, "_cffi_backend*")):
        shutil.copy(path, library)


def let_in(directory: str, top: str) -> None:
    """Lets everybody pass through a directory and those above it, down from the one at the top, which is the tests'
    own."""
    while directory.startswith(top):
        os.chmod(directory, os.stat(directory).st_mode | 0o011)
        directory = os.path.dirname(directory)
