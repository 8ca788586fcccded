"""`docker shell`: what Docker's command hands over to its plugin → dockshell's own words, and an end with it.

Docker's command runs a plugin with its own options in front, as they were typed, and waits for it:
https://github.com/docker/cli/blob/master/cli-plugins/manager/manager.go. With a terminal both get what is typed there;
what is sent to Docker's command alone it doesn't pass on. A newer one (28, not 20.10) closes a connection to tell its
plugin to end."""

from __future__ import annotations

import fcntl
import os
from _socket import AF_UNIX, MSG_DONTWAIT, MSG_PEEK, SOCK_STREAM, socket

from dockshell.errors import UsageError, printable
from dockshell.linux.libc import prctl
from dockshell.linux.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["follow", "words"]

_PR_SET_PDEATHSIG = 1
_NEWS = signal.SIGRTMIN + 5  # of Docker's command; nobody else sends it
# Docker's options that take a value, and what we call them.
_VALUED = {
    "-H": "-H", "--host": "-H", "-c": "-c", "--context": "-c", "--config": "--config", "-l": "--log-level",
    "--log-level": "--log-level", "--tlscacert": "--tlscacert", "--tlscert": "--tlscert", "--tlskey": "--tlskey",
}  # fmt: skip
_SWITCHES = {"-D": "--debug", "--debug": "--debug", "--tls": "--tls", "--tlsverify": "--tlsverify"}


def words(given: Sequence[str]) -> list[str]:
    """What a plugin is given → what dockshell would be.

    Raises UsageError for options of Docker's that can't be passed on."""
    rest = list(given)
    completing = rest[:1] == ["__complete"]
    if completing:
        rest.pop(0)
    before = _options(rest)
    if rest[:1] == ["help"]:
        rest = [*rest[1:], "--help"]
    if rest[:1] != ["shell"]:
        raise UsageError("this is a plugin of Docker's command: type `docker shell`, or `dockshell`")
    return ["__complete-docker", "--", "dockshell", *before, *rest] if completing else [*before, *rest]


def _options(rest: list[str]) -> list[str]:
    """Takes Docker's own options off the front of `rest` → ours."""
    ours = []
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
        if name in _SWITCHES:
            ours.append(_SWITCHES[name] + equals + value)
        elif name in _VALUED:
            value = value.removeprefix("=") if equals or value else rest.pop(0) if rest else ""
            ours += [_VALUED[name], value]
        else:
            raise UsageError(
                f"docker's {printable(name)} is not passed on: put it behind `shell` if it is meant for dockshell"
            )
    return ours


def follow() -> None:
    """From now on we end with Docker's command, whatever ends it: as by KILL where it is gone, and by TERM where it
    tells us to."""
    docker = os.getppid()
    connection = _connected()

    def act(number: int, frame: object) -> None:
        # Told of the thread's end that started us, too, which isn't the process's: prctl(2), PR_SET_PDEATHSIG.
        if os.getppid() != docker:
            os.kill(os.getpid(), signal.SIGKILL)
        elif connection and _closed(connection):
            connection.close()
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(_NEWS, act)
    prctl(_PR_SET_PDEATHSIG, _NEWS)
    if connection:
        # No thread and no loop of ours has to wait for it: fcntl(2), F_SETSIG.
        fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(connection, fcntl.F_SETSIG, _NEWS)
        fcntl.fcntl(connection, fcntl.F_SETFL, fcntl.fcntl(connection, fcntl.F_GETFL) | os.O_ASYNC)


def _connected() -> socket | None:
    """The connection that Docker's command closes in the end; None where it has none to offer."""
    address = os.environ.get("DOCKER_CLI_PLUGIN_SOCKET", "")
    if not address:
        return None
    connection = socket(AF_UNIX, SOCK_STREAM)
    try:
        connection.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError:
        connection.close()
        return None
    return connection


def _closed(connection: socket) -> bool:
    try:
        return connection.fileno() >= 0 and not connection.recv(1, MSG_PEEK | MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
