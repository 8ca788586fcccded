"""Terminals: the caller's own, and new ones in a container's devpts."""

from __future__ import annotations

import errno
import fcntl
import os
import termios
from struct import pack, unpack

from dockshell.model import Size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    _Settings = list[Any]

__all__ = ["END_OF_INPUT", "Raw", "control", "new_pty", "resize", "size"]

END_OF_INPUT = b"\x04"  # VEOF of a terminal in its usual settings: Ctrl-D
_FALLBACK = Size(80, 24)
_TIOCGPTPEER = 0x5441  # ioctl_tty(2): a descriptor of the other end, without a path that could be forged
_PTMX = os.makedev(5, 2)
_TIOCGPTN, _TIOCSPTLCK = 0x80045430, 0x40045431


def size(descriptor: int) -> Size:
    """The terminal's size; 80 by 24 where it has none or isn't one."""
    try:
        rows, columns, _, _ = unpack("HHHH", fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return _FALLBACK
    return Size(columns, rows) if columns and rows else _FALLBACK


def resize(descriptor: int, to: Size) -> None:
    """Sets a terminal's size; its foreground processes get SIGWINCH."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, pack("HHHH", to.rows & 0xFFFF, to.columns & 0xFFFF, 0, 0))


def new_pty(open_inside: Callable[[str, int], int], to: Size) -> tuple[int, int]:
    """A new pty of a container's own devpts → (our end, the command's end). open_inside(path, flags) opens a path in
    the container's root. Raises OSError where there is no devpts inside."""
    place = open_inside("/dev/pts/ptmx", os.O_PATH | os.O_NOFOLLOW)
    try:
        # A device's driver acts as soon as it is opened (a watchdog starts), and no device cgroup keeps us from it.
        if os.fstat(place).st_rdev != _PTMX:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        master = os.open(f"/proc/self/fd/{place}", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(place)
    try:
        # The number of a pty is only given by a true devpts: a node of the same name elsewhere fails here.
        fcntl.ioctl(master, _TIOCGPTN, bytes(4))
        fcntl.ioctl(master, _TIOCSPTLCK, pack("i", 0))
        peer = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        resize(master, to)
    except OSError:
        os.close(master)
        raise
    return master, peer


def control(descriptor: int) -> None:
    """Makes the terminal the controlling one of the calling process, which must lead a session: TIOCSCTTY of
    ioctl_tty(2)."""
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


class Raw:
    """`with Raw(descriptor):` the caller's terminal in raw mode (cfmakeraw of termios(3)), each key as it is typed;
    restored once, whatever ends it, a KILL included: a guardian sees to that. Typed-ahead input is kept both ways.
    farewell: what it then writes there besides, which who isn't killed writes himself."""

    def __init__(self, descriptor: int, farewell: bytes = b"") -> None:
        self._descriptor = descriptor
        self._farewell = farewell

    def __enter__(self) -> None:
        from dockshell.linux.guardian import Guardian  # only terminals take one

        before = termios.tcgetattr(self._descriptor)
        raw = _raw(before)
        self._custody = _Custody(os.dup(self._descriptor), before, raw, self._farewell)
        self._guardian = Guardian(self._custody, [self._custody.descriptor])
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, raw)

    def __exit__(self, *_: object) -> None:
        try:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._custody.before)
        except termios.error:
            pass  # the terminal went away, and its settings with it
        self._guardian.dismiss()
        self._guardian.close()
        os.close(self._custody.descriptor)


class _Custody:
    """The guardian's `Duty`. It leaves the terminal alone where that no longer is as we made it: then somebody has
    restored it already, as a shell does that was waiting for us."""

    def __init__(self, descriptor: int, before: _Settings, raw: _Settings, farewell: bytes) -> None:
        self.descriptor, self.before, self._raw, self._farewell = descriptor, before, raw, farewell

    def signal(self, number: int) -> bool:
        return False

    def end(self) -> None:
        try:
            if termios.tcgetattr(self.descriptor) == self._raw:
                os.write(self.descriptor, self._farewell)
                termios.tcsetattr(self.descriptor, termios.TCSANOW, self.before)
        except (OSError, termios.error):
            pass  # likewise


def _raw(settings: _Settings) -> _Settings:
    """The same in raw mode."""
    inputs, outputs, controls, locals_, *speeds, characters = settings
    inputs &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    outputs &= ~termios.OPOST
    locals_ &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    controls = (controls & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    characters = list(characters)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [inputs, outputs, controls, locals_, *speeds, characters]
