"""`dockshell ssh-config`: what ~/.ssh/config needs for `ssh TARGET.dockshell`."""

from __future__ import annotations

import os
import stat
import sys

from dockshell.commands.looking import voice
from dockshell.errors import DockshellError, UsageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments
    from dockshell.voice import Voice

__all__ = ["program", "run"]

_LARGEST = 1 << 24  # bytes; nobody's configuration is larger, but /dev/zero is


def run(arguments: Arguments) -> int:
    """Prints the block, puts it into ~/.ssh/config, or takes it out → 0. Raises UsageError, DockshellError."""
    if arguments.on("install") and arguments.on("remove"):
        raise UsageError("--install or --remove: one of the two")
    from dockshell.ssh import own

    path = own.ssh_file("config")
    if path != os.path.join(os.path.expanduser("~"), ".ssh", "config") and (
        arguments.on("install") or arguments.on("remove")
    ):
        voice(arguments).say(f"HOME is not the home directory of your account, where ssh looks: {printable(path)}")
    if arguments.on("remove"):
        _remove(path, voice(arguments))
        return 0
    from dockshell.bridge import hostkey, ssh_config

    place = [
        word for name in ("host", "context") if arguments.text(name) for word in (f"--{name}", arguments.text(name))
    ]
    block = ssh_config.block(program(), hostkey.known_hosts(), place)
    if arguments.on("install"):
        _install(path, block, voice(arguments))
    else:
        print(block, end="")
    return 0


def program() -> list[str]:
    """The words that start this very dockshell, from any directory. They execute nothing that lies in the current one:
    sys.argv[0] without a slash (`python -c`, `python dockshell`) is no path that the kernel executed."""
    path = os.path.abspath(sys.argv[0])
    if "/" in sys.argv[0] and os.path.isfile(path) and os.access(path, os.X_OK):
        return [path]
    # -P: else a directory called dockshell, wherever ssh is typed, would be taken for it.
    return [sys.executable, "-P", "-m", "dockshell"]


def _install(path: str, block: str, voice: Voice) -> None:
    from dockshell.bridge import ssh_config

    content = _content(path)
    try:
        wanted = ssh_config.installed(content, block)
    except DockshellError as error:
        raise DockshellError(f"{printable(path)}: {error}") from None
    if wanted == content:
        voice.say(f"{printable(path)} has the block for *.dockshell already")
        return
    _write(path, wanted)
    done = "replaced in" if content is not None and ssh_config.found(content) else "added to"
    voice.say(f"the block for *.dockshell is {done} {printable(path)}: `ssh TARGET.dockshell` works now")


def _remove(path: str, voice: Voice) -> None:
    from dockshell.bridge import ssh_config

    content = _content(path)
    try:
        block = ssh_config.found(content or b"")
        if content is None or block is None:
            voice.say(f"{printable(path)} has no block for *.dockshell")
            return
        left = ssh_config.removed(content)
    except DockshellError as error:
        raise DockshellError(f"{printable(path)}: {error}") from None
    if not left and ssh_config.made_for_it(block):
        try:
            os.unlink(os.path.realpath(path))
        except OSError as error:
            raise _failed(path, error) from None
        voice.say(f"{printable(path)} is removed: it was made for the block for *.dockshell and held nothing else")
        return
    _write(path, left)
    voice.say(f"the block for *.dockshell is taken out of {printable(path)}")


def _content(path: str) -> bytes | None:
    """The file's content, None for no file. Raises DockshellError."""
    try:
        # Not to wait where it is a FIFO.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DockshellError(f"{printable(path)} is no file: move it away, and another is made")
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DockshellError(f"{printable(path)} can't be read ({error.strerror}): see whose it is") from None
    if len(content) > _LARGEST:
        raise DockshellError(f"{printable(path)} is larger than any configuration: see what it is")
    return content


def _write(path: str, content: bytes) -> None:
    """The whole file or nothing of it, with the mode and owner that it had, where a link to it leads. Raises
    DockshellError."""
    target = os.path.realpath(path)
    unfinished = f"{target}.dockshell-{os.getpid()}"
    try:
        if not os.path.exists(os.path.dirname(path)):
            os.mkdir(os.path.dirname(path), 0o700)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                if os.path.exists(target):
                    facts = os.stat(target)
                    if (facts.st_uid, facts.st_gid) != (os.geteuid(), os.getegid()):
                        os.fchown(descriptor, facts.st_uid, facts.st_gid)
                    os.fchmod(descriptor, stat.S_IMODE(facts.st_mode))
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.rename(unfinished, target)
        except OSError:
            os.unlink(unfinished)
            raise
    except OSError as error:
        raise _failed(path, error) from None


def _failed(path: str, error: OSError) -> DockshellError:
    return DockshellError(
        f"{printable(path)} can't be changed ({error.strerror}): put in by hand what `dockshell ssh-config` prints"
    )
