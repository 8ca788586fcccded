"""ssh:// addresses: OpenSSH's own program, joined to `docker system dial-stdio` at the other end, as Docker's client
does it.

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
from dockshell.errors import EngineError, printable

__all__ = ["connect", "words"]

_PATIENCE = 2.0  # seconds for an ssh whose connection has ended to end too
_HELLO = b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"


def connect(address: str, timeout: float) -> Connection:
    """A connection through an ssh, over which the engine has answered once. Raises EngineError, with what ssh said."""
    argv = words(address, timeout)
    ours, theirs = socket.socketpair()
    ours.settimeout(timeout)
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process; a pipe that nobody reads would stop it)
    try:
        process = subprocess.Popen(
            argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=complaints, start_new_session=True
        )
    except OSError as error:
        ours.close()
        complaints.close()
        reason = "is not installed" if isinstance(error, FileNotFoundError) else f"does not start ({error.strerror})"
        raise EngineError(
            f"{printable(address)} needs OpenSSH's `ssh`, which {reason}: install it, or name the engine otherwise"
        ) from error
    finally:
        theirs.close()
    connection = Connection(ours, _Ssh(process, complaints))
    try:
        connection.sendall(_HELLO)
        _skip_head(connection)
    except OSError as error:
        reason = "it took too long" if isinstance(error, TimeoutError) else connection.why()
        connection.close()
        raise EngineError(f"no engine answers at {printable(address)}: {reason}") from error
    return connection


def _skip_head(connection: Connection) -> None:
    """An answer to HEAD has nothing but a head (RFC 9110, 9.3.2). Read byte by byte, it leaves nothing of what follows
    in a buffer."""
    tail = b""
    while tail != b"\r\n\r\n":
        byte = connection.recv(1)
        if not byte:
            raise ConnectionAbortedError("it closed the connection")
        tail = tail[-3:] + byte


def words(address: str, timeout: float) -> list[str]:
    """ssh://[USER@]HOST[:PORT][/SOCKET] → the command line. The path, if there is one, is that of the engine's socket
    over there.

    Raises EngineError where the address isn't of that form.
    """
    try:
        parts = urlsplit(address)
        host, port, user = parts.hostname, parts.port, unquote(parts.username or "")
    except ValueError:
        host, port, user = None, None, ""
    if (
        not host
        or host.startswith("-")
        or user.startswith("-")
        or parts.password is not None
        or parts.query
        or parts.fragment
    ):
        raise EngineError(
            f"{printable(address)} is no engine's address: ssh://[USER@]HOST[:PORT] is one, without a password"
        )
    # The case of a host's name matters for ssh_config's Host patterns, and urlsplit lowers it.
    host = next((each for each in _spellings(parts.netloc) if each.lower() == host), host)
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
    remote = ["docker", "system", "dial-stdio"]
    if parts.path.strip("/"):
        remote[1:1] = ["--host", f"unix://{unquote(parts.path)}"]
    # What follows the host is pasted together by ssh and read by a shell over there (ssh(1)), hence the quotes.
    return [*argv, "--", host, shlex.join(remote)]


def _spellings(netloc: str) -> tuple[str, ...]:
    place = netloc.rpartition("@")[2]
    return (place, place.rpartition(":")[0], place.partition("]")[0].lstrip("["))


class _Ssh:
    """A running ssh, and the file that its complaints go to."""

    def __init__(self, process: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
        self._process = process
        self._complaints = complaints

    def why(self) -> str:
        try:
            status = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return "ssh closed the connection"
        self._complaints.seek(0)
        said = self._complaints.read(1 << 16).decode("utf-8", "replace").split("\n")
        last = next((printable(line.strip()) for line in reversed(said) if line.strip()), "")
        if status == 255:  # ssh's own failures; any other is the remote command's (ssh(1))
            return f"ssh says {last or 'nothing'!r}; see that `ssh` alone gets there without a question"
        remedy = "see that Docker's client and engine are there"
        return f"over there `docker system dial-stdio` ended with {status}, {last or 'nothing'!r}; {remedy}"

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._complaints.close()
