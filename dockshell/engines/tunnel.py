"""ssh:// addresses: OpenSSH's own program, joined to `docker system dial-stdio` at the other end, as Docker's client
does it; or to a port that the host at the other end reaches. All of a process's share one connection (master.py).

Why not paramiko, which the SDK would take: people's ~/.ssh/config (ProxyJump, Include, Match, certificates, hardware
keys, ControlMaster) and both known_hosts files count in full only for ssh itself. It runs in a session of its own,
without a terminal, so it never asks: a host that it doesn't know is refused, and Ctrl-C meant for the command doesn't
end it.
"""

from __future__ import annotations

import shlex
import socket
import subprocess
import tempfile
from typing import IO
from urllib.parse import unquote, urlsplit

from dockshell.engines.dial import Connection
from dockshell.engines.master import Master, mind_signals, shared
from dockshell.errors import EngineError, printable
from dockshell.model import noun

__all__ = ["Host", "channel", "connect", "host"]

_PATIENCE = 2.0  # seconds for an ssh whose connection has ended to end too
_HELLO = b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"


@noun(frozen=True)
class Host:
    """What an address says to ssh. argv: ssh and its options; name: the host's; command: what is to run there, one
    line for its shell."""

    argv: tuple[str, ...]
    name: str
    command: str


def connect(address: str, timeout: float, podman: str | None = None) -> Connection:
    """A connection through an ssh, over which the engine has answered once. podman: see host(). Raises EngineError,
    with what ssh said."""
    where = host(address, timeout, podman)
    connection = _ssh(address, where, (), (where.command,), timeout)
    try:
        connection.sendall(_HELLO)
        _skip_head(connection)
    except OSError as error:
        reason = "it took too long" if isinstance(error, TimeoutError) else connection.why()
        connection.close()
        raise EngineError(f"no engine answers at {printable(address)}: {reason}") from error
    return connection


def channel(address: str, target: str, port: int, timeout: float) -> Connection:
    """A connection from the engine's host to that port of the target, an IP address, by a channel of the SSH connection
    to that host (ssh(1), -W). Whether it came about shows when something is read: why() tells then. Raises
    EngineError."""
    ends = f"[{target}]:{port}" if ":" in target else f"{target}:{port}"
    return _ssh(address, host(address, timeout), ("-W", ends), (), timeout)


def _ssh(address: str, where: Host, options: tuple[str, ...], command: tuple[str, ...], timeout: float) -> Connection:
    """An ssh that runs the command there, or does what the options say, joined to a connection."""
    try:
        master = shared(address, where.argv, where.name)
        if master and not master.wait(timeout):
            ended = master.process.poll() is not None
            reason = _failure(255, _last(master.complaints)) if ended else "it took too long"
            master.end()
            raise EngineError(f"no engine answers at {printable(address)}: {reason}")
        argv = [*where.argv, *(master.options if master else ()), *options, "--", where.name, *command]
        return _joined(argv, master, timeout)
    except OSError as error:
        reason = "is not installed" if isinstance(error, FileNotFoundError) else f"does not start ({error.strerror})"
        raise EngineError(
            f"{printable(address)} needs OpenSSH's `ssh`, which {reason}: install it, or name the engine otherwise"
        ) from error


def _joined(argv: list[str], master: Master | None, timeout: float) -> Connection:
    """Raises OSError where ssh doesn't start."""
    ours, theirs = socket.socketpair()
    ours.settimeout(timeout)
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process; a pipe that nobody reads would stop it)
    try:
        process = subprocess.Popen(
            argv,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=complaints,
            start_new_session=True,
            preexec_fn=mind_signals,
        )
    except OSError:
        ours.close()
        complaints.close()
        raise
    finally:
        theirs.close()
    return Connection(ours, _Ssh(process, complaints, master))


def _skip_head(connection: Connection) -> None:
    """An answer to HEAD has nothing but a head (RFC 9110, 9.3.2). Read byte by byte, it leaves nothing of what follows
    in a buffer."""
    tail = b""
    while tail != b"\r\n\r\n":
        byte = connection.recv(1)
        if not byte:
            raise ConnectionAbortedError("it closed the connection")
        tail = tail[-3:] + byte


def host(address: str, timeout: float, podman: str | None = None) -> Host:
    """ssh://[USER@]HOST[:PORT][/SOCKET] → what to say to ssh. The path, if there is one, is that of the engine's socket
    over there. podman: that is Podman's service, which its own program reaches, and this is the private key's file,
    empty for ssh's own choice.

    Raises EngineError where the address isn't of that form.
    """
    try:
        parts = urlsplit(address)
        name, port, user = parts.hostname, parts.port, unquote(parts.username or "")
    except ValueError:
        name, port, user = None, None, ""
    if (
        not name
        or name.startswith("-")
        or user.startswith("-")
        or parts.password is not None
        or parts.query
        or parts.fragment
    ):
        raise EngineError(
            f"{printable(address)} is no engine's address: ssh://[USER@]HOST[:PORT] is one, without a password"
        )
    # The case of a host's name matters for ssh_config's Host patterns, and urlsplit lowers it.
    name = next((each for each in _spellings(parts.netloc) if each.lower() == name), name)
    argv = [
        "ssh",
        "-T",
        "-o",
        f"ConnectTimeout={max(1, int(timeout) - 1)}",
        "-o",
        "ClearAllForwardings=yes",
        "-o",
        "RemoteCommand=none",
    ]
    argv += ["-l", user] if user else []
    argv += ["-p", str(port)] if port else []
    argv += ["-i", podman] if podman else []
    remote = ["docker" if podman is None else "podman", "system", "dial-stdio"]
    if parts.path.strip("/"):
        remote[1:1] = ["--host" if podman is None else "--url", f"unix://{unquote(parts.path)}"]
    # What follows the host is pasted together by ssh and read by a shell over there (ssh(1)), hence the quotes.
    return Host(tuple(argv), name, shlex.join(remote))


def _spellings(netloc: str) -> tuple[str, ...]:
    place = netloc.rpartition("@")[2]
    return (place, place.rpartition(":")[0], place.partition("]")[0].lstrip("["))


class _Ssh:
    """A running ssh, the file that its complaints go to, and the master that it rides on."""

    def __init__(self, process: subprocess.Popen[bytes], complaints: IO[bytes], master: Master | None) -> None:
        self._process = process
        self._complaints = complaints
        self._master = master
        if master:
            master.take()

    def why(self) -> str:
        try:
            status = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return "ssh closed the connection"
        return _failure(status, _last(self._complaints))

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._complaints.close()
        if self._master:
            self._master.leave()
            self._master = None


def _last(complaints: IO[bytes]) -> str:
    """The last line in the file, printable."""
    complaints.seek(0)
    said = complaints.read(1 << 16).decode("utf-8", "replace").split("\n")
    return next((printable(line.strip()) for line in reversed(said) if line.strip()), "")


def _failure(status: int, last: str) -> str:
    if status == 255:  # ssh's own failures; any other is the remote command's (ssh(1))
        return f"ssh says {last or 'nothing'!r}; see that `ssh` alone gets there without a question"
    remedy = "see that the engine and its client are there"
    return f"over there `system dial-stdio` ended with {status}, {last or 'nothing'!r}; {remedy}"
