"""One session of an SSH connection (RFC 4254, 6): a shell, a command, sftp or scp, which an errand runs.

Its bytes go through three pipes. A command that the nsenter route starts has the other ends of these for its own, so
that nothing stands between it and this process."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import asyncssh

from dockshell.bridge import scp
from dockshell.bridge.channel import Channel
from dockshell.bridge.errand import LONGEST_LINE, MOST_CELLS, Allowed, Errand
from dockshell.engines.json import decode, encode
from dockshell.errors import printable
from dockshell.linux import open_files
from dockshell.linux.descriptors import widened
from dockshell.model import replace

__all__ = ["SPARE", "Conversation", "Host"]

_CHUNK = 1 << 18
SPARE = 16  # descriptors that are kept free for all else that the process does
# RFC 4254, 6.10, without SIG.
_SIGNALS = {
    "ABRT": 6, "ALRM": 14, "FPE": 8, "HUP": 1, "ILL": 4, "INT": 2, "KILL": 9, "PIPE": 13, "QUIT": 3, "SEGV": 11,
    "TERM": 15, "USR1": 10, "USR2": 12,
}  # fmt: skip
_NAMES = {number: name for name, number in _SIGNALS.items()}


class Host:
    """Where a conversation takes place: one connection."""

    allowed: Allowed
    agent_path: bytes = b""

    def send(self, errand: Errand, descriptors: list[int]) -> Any:
        """Has an errand done → its control socket. Raises OSError."""
        raise NotImplementedError

    def began(self, conversation: Conversation, kind: str) -> None:
        """It runs something now: `shell`, `exec`, `sftp` or `scp`."""

    def ended(self, conversation: Conversation, code: int | None) -> None:
        """Its channel is closed; None where the command didn't come to an end."""

    def exhausted(self, kind: str, why: str) -> None:
        """One was refused, for something has run out here."""


class Conversation(asyncssh.SSHServerSession[bytes]):
    """The session behind one channel."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._channel: Channel | None = None
        self._errand = Errand("command")
        self._kind = ""
        self._terminal = False
        self._control: Any = None
        self._input = -1
        self._outputs: dict[int, int | None] = {}
        self._pending = bytearray()
        self._last = False  # is the end of input to follow what is pending?
        self._full = self._jammed = False
        self._code: int | None = None

    def connection_made(self, chan: Any) -> None:
        self._channel = chan

    def pty_requested(self, term_type: str, term_size: Any, term_modes: Any) -> bool:
        columns, rows = (
            size if 0 < size <= MOST_CELLS else usual for size, usual in zip(term_size, (80, 24), strict=False)
        )
        kind = (("TERM", term_type),) if term_type.isprintable() and 0 < len(term_type) < 64 else ()
        self._errand = replace(self._errand, terminal=(columns, rows), env=kind)
        self._terminal = True
        return True

    def shell_requested(self) -> bool:
        return self._asked("shell", b"")

    def exec_requested(self, command: str) -> bool:
        return self._asked("exec", self._channel.line if self._channel else b"")

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "sftp" and self._asked("sftp", b"")

    def _asked(self, kind: str, line: bytes) -> bool:
        if len(line) > LONGEST_LINE or b"\0" in line:
            return False
        self._errand = replace(self._errand, what="files" if kind == "sftp" else "command", line=line)
        # What is made of it is the steward's to say (errand.py, permitted); this is what it is called.
        forced = self._host.allowed.line
        runs = forced if forced is not None else line if kind == "exec" else b""
        self._kind = "scp" if scp.words_of(runs) else "exec" if forced is not None else kind
        return True

    def session_started(self) -> None:
        channel = self._channel
        assert channel is not None
        env = (*self._errand.env, *channel.variables.items())
        if self._host.agent_path:
            env = (*env, ("SSH_AUTH_SOCK", self._host.agent_path.decode("utf-8", "surrogateescape")))
        given: list[int] = []
        try:
            open_files.need(SPARE)
            self._input = self._piped(given, theirs=0)
            for kind in (None, asyncssh.EXTENDED_DATA_STDERR):
                self._outputs[self._piped(given, theirs=1)] = kind
            widened(self._input)
            self._control = self._host.send(replace(self._errand, env=env), given)
        except OSError as error:
            if short := open_files.shortage(error):
                self._host.exhausted(self._kind, short)
            self._say(short or "the session could not be started: connect anew")
            self._finish(125, 0)
            return
        finally:
            for descriptor in given:
                os.close(descriptor)
        self._host.began(self, self._kind)
        self._loop.add_reader(self._control.fileno(), self._hear)
        self._listen()

    def _piped(self, given: list[int], theirs: int) -> int:
        """A new pipe → our end of it; the other, which pipe() has at that place, is to be given away."""
        ends = os.pipe()
        given.append(ends[theirs])
        os.set_blocking(ends[1 - theirs], False)
        return ends[1 - theirs]

    def _listen(self) -> None:
        """Reads on, or not while what was read already has nowhere to go."""
        for descriptor in self._outputs:
            if self._full or self._jammed:
                self._loop.remove_reader(descriptor)
            else:
                self._loop.add_reader(descriptor, self._read, descriptor)

    def _read(self, descriptor: int) -> bool:
        """Passes on what there is → may there be more?"""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if data and self._channel:
            self._channel.write(data, self._outputs[descriptor])
            return True
        self._loop.remove_reader(descriptor)
        del self._outputs[descriptor]
        os.close(descriptor)
        return False

    def _hear(self) -> None:
        """What the errand tells, or its end."""
        try:
            told = self._control.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            told = b""
        word = decode(told) if told else {"code": 137}
        if "error" in word:
            self._say(str(word["error"]))
            if word.get("exhausted"):
                self._host.exhausted(self._kind, str(word["error"]))
        self._finish(int(word["code"]), int(word.get("signal", 0)))

    def _finish(self, code: int, signal: int) -> None:
        """What was written before the end arrives; what others write who hold its pipes is no longer ours to wait
        for."""
        self._code = code
        for descriptor in list(self._outputs):
            while descriptor in self._outputs and self._read(descriptor):
                pass
        channel = self._channel
        if channel is None:
            return
        if signal in _NAMES:
            channel.exit_with_signal(_NAMES[signal])
        else:
            channel.exit(code)
        self._let_go()

    def _say(self, sentence: str) -> None:
        if self._channel:
            end = "\r\n" if self._terminal else "\n"
            text = f"dockshell: {printable(sentence)}{end}".encode()
            self._channel.write(text, None if self._terminal else asyncssh.EXTENDED_DATA_STDERR)

    def data_received(self, data: bytes, datatype: Any) -> None:
        if self._input < 0:
            return
        if not self._pending:
            try:
                data = data[os.write(self._input, data) :]
            except BlockingIOError:
                pass
            except OSError:
                self._end_input()  # it reads no more, which is no error
                return
        if data:
            if not self._pending:
                self._loop.add_writer(self._input, self._write)
                if self._channel:
                    self._channel.pause_reading()
            self._pending += data

    def _write(self) -> None:
        try:
            del self._pending[: os.write(self._input, self._pending)]
        except BlockingIOError:
            return
        except OSError:
            self._pending.clear()
            self._last = True
        if not self._pending:
            self._loop.remove_writer(self._input)
            if self._last:
                self._end_input()
            if self._channel:
                self._channel.resume_reading()

    def eof_received(self) -> bool:
        self._last = True
        if not self._pending:
            self._end_input()
        return True

    def _end_input(self) -> None:
        if self._input >= 0:
            self._loop.remove_writer(self._input)
            os.close(self._input)
            self._input = -1

    def signal_received(self, signal: str) -> None:
        number = _SIGNALS.get(signal.removeprefix("SIG"))
        if number:
            self._tell({"signal": number})

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._terminal and 0 < width <= MOST_CELLS and 0 < height <= MOST_CELLS:
            self._tell({"size": [width, height]})

    def break_received(self, msec: int) -> bool:
        return False

    def _tell(self, word: dict[str, Any]) -> None:
        if self._control:
            try:
                self._control.send(encode(word))
            except OSError:
                pass  # it has just ended, or takes no more of them for now

    def pause_writing(self) -> None:
        self._full = True
        self._listen()

    def resume_writing(self) -> None:
        self._full = False
        self._listen()

    def jam(self, jammed: bool) -> None:
        """Nothing goes out on the whole connection; or it does again."""
        self._jammed = jammed
        if self._control:
            self._listen()

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel = None
        self._let_go()
        self._host.ended(self, self._code)

    def _let_go(self) -> None:
        """Closes our ends; the errand, where it still runs, ends by that."""
        self._end_input()
        for descriptor in self._outputs:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        self._outputs.clear()
        if self._control:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
