"""One SSH connection to a host for all that a process wants of it: a master of OpenSSH's own multiplexing
(ssh_config(5), ControlMaster), so that a command takes one handshake and not one for each channel.

It ends with the last connection that rides on it, and with the process, KILL included: the kernel sends it TERM then
(prctl(2), PR_SET_PDEATHSIG), and a guardian removes its directory. A process that is forked off has a master of its
own, since it may outlive us. Who has a ControlPath for the host in their own configuration has thought of that
themselves: theirs is used as ssh alone would use it."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time

from dockshell.linux import open_files
from dockshell.linux.guardian import Guardian
from dockshell.linux.libc import prctl
from dockshell.linux.signals import FORWARDED
from dockshell.linux.trusted import believed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

__all__ = ["Master", "mind_signals", "shared"]

_PR_SET_PDEATHSIG = 1
_PATIENCE = 2.0  # seconds for an ssh that is told to end
_STEP = 0.005  # seconds between two looks
# sun_path holds 108 bytes (unix(7)), and ssh first listens at a name that is 17 longer.
_LONGEST = 80


class Master:
    """A running one. options: what makes another ssh use it. complaints: what it says, as a file."""

    def __init__(self, argv: Sequence[str], host: str, complaints: IO[bytes]) -> None:
        """argv: ssh and its options, without the host. Raises OSError where ssh isn't there, or there is no place for
        its socket."""
        self.complaints = complaints
        self._directory = _private_directory()
        self._riders = 0
        self._guardian = Guardian(_Removal(self._directory))
        self._path = os.path.join(self._directory, "s")
        self.options = ("-o", f"ControlPath={self._path}", "-o", "ControlMaster=no")
        words = [*argv, "-N", "-o", f"ControlPath={self._path}", "-o", "ControlMaster=yes", "-o", "ControlPersist=no"]
        us = os.getpid()

        def end_with_us() -> None:
            mind_signals()
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != us:
                os._exit(255)  # we are gone already

        try:
            self.process = subprocess.Popen(
                [*words, "--", host],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                start_new_session=True,
                preexec_fn=end_with_us,
            )
        except BaseException:
            self._clean_up()
            raise

    def wait(self, limit: float) -> bool:
        """Waits until it listens; limit: seconds. False where it has ended instead, or takes longer."""
        until = time.monotonic() + limit
        while not os.path.exists(self._path):
            if self.process.poll() is not None or time.monotonic() > until:
                return False
            time.sleep(_STEP)
        return True

    def listens(self) -> bool:
        """Does it still serve?"""
        return self.process.poll() is None and os.path.exists(self._path)

    def take(self) -> None:
        """One more rides on it."""
        self._riders += 1

    def leave(self) -> None:
        """One fewer; with the last it ends."""
        self._riders -= 1
        if self._riders <= 0:
            self.end()

    def end(self) -> None:
        """Ends it. May be called again."""
        _masters.pop(next((key for key, each in _masters.items() if each is self), ("", 0)), None)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._clean_up()

    def _clean_up(self) -> None:
        self.complaints.close()
        self._guardian.close()


def mind_signals() -> None:
    """For a child that is to end by TERM: a guardian, which may be who starts it, ignores that and hands it on. Nor is
    it to have our own limit of open files."""
    open_files.restore_limit()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    for number in FORWARDED:
        signal.signal(number, signal.SIG_DFL)


# By address and process.
_masters: dict[tuple[str, int], Master] = {}


def shared(address: str, argv: Sequence[str], host: str) -> Master | None:
    """This process's master for that address, started if there is none yet; whether it gets there is for wait() to
    tell. None where the person has their own way of sharing connections to it. Raises OSError where ssh isn't there."""
    key = address, os.getpid()
    found = _masters.get(key)
    if found and found.listens():
        return found
    if found:
        del _masters[key]
    if _configured(argv, host):
        return None
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process; a pipe that nobody reads would stop it)
    try:
        made = _masters[key] = Master(argv, host, complaints)
    except BaseException:
        complaints.close()
        raise
    return made


def _configured(argv: Sequence[str], host: str) -> bool:
    """Does the person's configuration say where connections to the host are shared? `ssh -G` tells, and connects to
    nobody."""
    done = subprocess.run(
        [*argv, "-G", "--", host], stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True, check=False
    )
    lines = (line.split(None, 1) for line in done.stdout.decode("utf-8", "replace").lower().splitlines())
    return any(words[0] == "controlpath" and words[-1] != "none" for words in lines if len(words) == 2)


def _private_directory() -> str:
    """A new one for ourselves alone (0700), with a path that is short enough. Raises OSError."""
    failure = OSError("no directory is left")
    for base in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):
        if (
            base.startswith("/")
            and _kept_by_us(base)
            and len(os.fsencode(base)) < _LONGEST - len("/dockshell-01234567/s")
        ):
            try:
                return tempfile.mkdtemp(prefix="dockshell-", dir=base)
            except OSError as error:
                failure = error
    raise failure


def _kept_by_us(base: str) -> bool:
    """Can nobody else put another directory in the place of one that we make there?"""
    try:
        facts = os.stat(base)
    except OSError:
        return False
    return believed(facts.st_uid) and (not facts.st_mode & 0o022 or bool(facts.st_mode & stat.S_ISVTX))


class _Removal:
    """The guardian's `Duty`: the directory goes."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def signal(self, number: int) -> bool:
        return True

    def end(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
        # The master may only now be told of our end, and it too removes its socket.
        time.sleep(_STEP)
        shutil.rmtree(self._directory, ignore_errors=True)
