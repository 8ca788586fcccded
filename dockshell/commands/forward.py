"""`dockshell forward`: a container's ports and Unix sockets, here."""

from __future__ import annotations

import os

from dockshell.commands.looking import place, target, voice
from dockshell.errors import UsageError, printable
from dockshell.linux import open_files
from dockshell.linux.signals import signal
from dockshell.resolve import resolve_running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments
    from dockshell.voice import Voice

__all__ = ["run"]

_USAGE = "dockshell forward --open web 8080:80"


def run(arguments: Arguments) -> int:
    """Forwards until it is told to end → 0, or until the container stops → 137. Prints a line for each forward once it
    listens. Raises UsageError, DockshellError."""
    from dockshell.forward import words
    from dockshell.forward.forwarding import Forwarding, Wish

    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C, so that what is there by then is cleared away
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    rest = arguments.words[1:]
    for each in rest:
        if each.startswith("-"):
            raise UsageError(f"{printable(each)} comes too late: options stand before TARGET, as in `{_USAGE}`")
    forwards = [words.parse(each) for each in rest]
    told = voice(arguments)
    container = resolve_running(target(arguments), place(arguments), told)
    forwarding = Forwarding(container, Wish(forwards, arguments.text("user"), arguments.text("via") or "auto"), told)
    try:
        print("\n".join(forwarding.lines), flush=True)
        if arguments.on("open") and forwarding.url:
            _open(forwarding.url, told)
        return forwarding.run()
    finally:
        forwarding.close()


def _open(url: str, voice: Voice) -> None:
    """In the caller's browser; where there is none, or it would run as root for somebody else, the URL is said."""
    import subprocess
    import sys
    import webbrowser

    if os.geteuid() == 0 and ("SUDO_UID" in os.environ or not os.environ.get("BROWSER")):
        voice.say(f"open {url} in a browser of yours: as root none is started")
        return
    try:
        webbrowser.get()
    except webbrowser.Error:
        voice.say(f"open {url} in a browser: none was found here (BROWSER can name one)")
        return
    # By another process, for some browsers return only when they end; in a session of its own, for it is to outlive us.
    # -I: a webbrowser.py in the current directory is not executed.
    argv = [sys.executable, "-I", "-m", "webbrowser", url]
    nothing = subprocess.DEVNULL
    subprocess.Popen(
        argv, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True, preexec_fn=open_files.restore_limit
    )
