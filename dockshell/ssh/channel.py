"""A running command behind an SSH channel, as a Session."""

from __future__ import annotations

import os
import queue
import threading

from dockshell.errors import DockshellError, LoginError, SessionLost, printable
from dockshell.ssh import library, requests
from dockshell.ssh.attendant import Attendant
from dockshell.ssh.connect import PATIENCE, hang_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from paramiko import Channel, Transport

    from dockshell.model import Command, Size
    from dockshell.ssh.forwarding import Forwarding

__all__ = ["ChannelSession", "start"]

_CHUNK = 1 << 17
_END_OF_TRANSMISSION = b"\x04"  # what Ctrl-D sends, and a terminal takes for the end of its input: VEOF, termios(3)


def start(
    transport: Transport,
    line: bytes | None,
    command: Command,
    watched: int = 0,
    attended: bool = False,
    forwarding: Forwarding | None = None,
) -> ChannelSession:
    """Starts the line, or for None the user's login shell. watched: the container's first process, 0 for none to watch.
    attended: whether a second command may run beside it, an Attendant: not where the key has but one to run.
    forwarding: what is to be carried beside it, by the same connection.

    Takes the transport over, and closes it where this fails: raises LoginError, or what Forwarding.begin() raises.
    """
    paramiko = library.load()
    try:
        attendant = _attendant(transport) if attended else None
        channel = transport.open_session(timeout=PATIENCE)
        if forwarding:
            forwarding.begin(transport, channel)
        for name, value in command.languages if line is None else ():
            channel.set_environment_variable(name, value)
        if command.terminal is not None:
            channel.get_pty(dict(command.env).get("TERM", "xterm"), command.terminal.columns, command.terminal.rows)
        if line is None:
            channel.invoke_shell()
        else:
            channel.exec_command(line)
    except (paramiko.SSHException, OSError, EOFError) as error:
        hang_up(transport)
        raise LoginError(
            f"the sshd let us in but refused a session ({printable(str(error))}): "
            "see its log inside, or take another way with --via exec"
        ) from None
    except DockshellError:
        hang_up(transport)
        raise
    session = ChannelSession(transport, channel, attendant, terminal=command.terminal is not None, watched=watched)
    if not command.input:
        session.end_input()
    return session


def _attendant(transport: Transport) -> Attendant | None:
    try:
        return Attendant(transport)
    except library.load().ChannelException:
        return None


class _Bell:
    """paramiko rings it whenever a buffer was fed or closed. Only the reader makes it silent, before it looks into
    both buffers, so that no ring is lost between them. (The pipe that paramiko would make itself is cleared by
    whichever buffer ran empty.)"""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def set(self) -> None:
        if self.descriptor >= 0:
            os.eventfd_write(self.descriptor, 1)

    def clear(self) -> None:
        """Called by paramiko's buffers; see above."""

    def silence(self) -> None:
        try:
            os.eventfd_read(self.descriptor)
        except BlockingIOError:
            pass

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        os.close(descriptor)


class ChannelSession:
    """The `Session` of one channel. Its memory is bounded by the channel's window both ways.

    Three threads: paramiko's fills the buffers; one of our own carries input, since a channel can't be polled for
    writing; the third sends sizes and signals, since those are asked for from signal handlers, which must not wait for
    locks that the interrupted code holds.

    afterwards: what close() is to call in the end.
    """

    def __init__(
        self, transport: Transport, channel: Channel, attendant: Attendant | None, *, terminal: bool, watched: int
    ) -> None:
        self._transport = transport
        self._channel = channel
        self._attendant = attendant
        self._terminal = terminal
        self._bell = _Bell()
        self._ready: tuple[int, ...] = (self._bell.descriptor,)
        self._watch = _watch(watched)
        if self._watch is not None:
            self._ready += (self._watch,)
        channel.in_buffer.set_event(self._bell)  # type: ignore[arg-type]
        channel.in_stderr_buffer.set_event(self._bell)  # type: ignore[arg-type]
        source, self._input = os.pipe()
        os.set_blocking(self._input, False)
        self._last = b"\n"
        self.afterwards: Callable[[], None] = lambda: None
        self._errands: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._feed, args=(source,), daemon=True),
            threading.Thread(target=self._run_errands, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def ready(self) -> Sequence[int]:
        return self._ready

    def receive(self, descriptor: int) -> Iterable[tuple[int, bytes]]:
        if descriptor == self._watch:
            self._container_ended()
            return ()
        self._bell.silence()
        channel = self._channel
        closed = channel.closed
        arrived = []
        if channel.recv_ready():
            arrived.append((1, channel.recv(_CHUNK)))
        if channel.recv_stderr_ready():
            arrived.append((2, channel.recv_stderr(_CHUNK)))
        if arrived:
            self._bell.set()  # there may be more, or the end
        elif closed:
            self._ready = ()
            if self._code() is None:
                raise SessionLost(
                    "the connection broke under the session: see with `dockshell ls` whether the container still runs"
                )
        return arrived

    @property
    def input(self) -> int | None:
        return self._input if self._input >= 0 else None

    def send(self, data: bytes) -> int:
        if self._input < 0:
            return 0
        try:
            taken = os.write(self._input, data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            self._close_input()
            return 0
        self._last = data[:taken][-1:]
        return taken

    def unread(self) -> int | None:
        return None

    def end_input(self) -> None:
        if self._terminal and self._input >= 0:
            # Within a line the first Ctrl-D only hands over what was typed of it.
            count = 1 if self._last in b"\n\r\x04" else 2
            os.set_blocking(self._input, True)
            try:
                os.write(self._input, _END_OF_TRANSMISSION * count)
            except BrokenPipeError:
                pass
        self._close_input()

    def resize(self, size: Size) -> None:
        self._errands.put(lambda: self._channel.resize_pty(size.columns, size.rows))

    def signal(self, number: int) -> bool:
        if number not in requests.SIGNALS.values() or not self._ready:
            return False
        self._errands.put(lambda: self._send(number))
        return True

    def unkept(self) -> str:
        if self._attendant:
            return ""
        return "ssh: the sshd lets us run nothing beside the command: signals and its end are as the sshd has them"

    def wait(self) -> int:
        code = self._code()
        if code is None:
            raise SessionLost(
                "the connection broke under the session: see with `dockshell ls` whether the container still runs"
            )
        return code

    def ended_by(self) -> int:
        return requests.ended_by(self._channel) or 0

    def close(self) -> None:
        self._errands.put(None)
        self._close_input()
        if self._channel.closed and self._attendant:
            self._attendant.dismiss()
        hang_up(self._transport)  # without that, the sign for the attendant to end the command
        for thread in self._threads:
            thread.join(1)
        self._ready = ()
        self._bell.close()
        if self._watch is not None:
            os.close(self._watch)
            self._watch = None
        self.afterwards()

    def _code(self) -> int | None:
        ended_by = requests.ended_by(self._channel)
        if ended_by is not None:
            return 128 + ended_by
        status: int = self._channel.exit_status
        return status & 0xFF if status >= 0 else None

    def _feed(self, source: int) -> None:
        """Carries input from the pipe to the channel, waiting for its window."""
        try:
            while data := os.read(source, 1 << 16):
                self._channel.sendall(data)
            if not self._terminal:
                self._channel.shutdown_write()
        except (OSError, EOFError, library.load().SSHException):
            pass  # the channel is closed, and receive() tells that
        finally:
            os.close(source)

    def _run_errands(self) -> None:
        while errand := self._errands.get():
            try:
                errand()
            except (OSError, EOFError, library.load().SSHException):
                continue  # likewise

    def _send(self, number: int) -> None:
        if not (self._attendant and self._attendant.send(number)):
            requests.send_signal(self._channel, number)

    def _close_input(self) -> None:
        descriptor, self._input = self._input, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _container_ended(self) -> None:
        """Its first process is gone, and by that every other. The kernel closes their connections, but where the
        network went first nothing of that reaches us, so the connection gets a moment for what is still on its way and
        is then closed from here."""
        self._ready = self._ready[:1]
        closing = threading.Timer(0.5, hang_up, (self._transport,))
        closing.daemon = True
        closing.start()


def _watch(pid: int) -> int | None:
    """A pidfd, which polls readable when the process ends (pidfd_open(2)); None where it can't be had."""
    try:
        return os.pidfd_open(pid) if pid else None
    except OSError:
        return None
