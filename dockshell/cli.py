"""argv in, exit code out. The only place where an error becomes words."""

from __future__ import annotations

import gc
import io
import os
import sys

from dockshell import options
from dockshell.errors import DockshellError
from dockshell.linux.signals import signal
from dockshell.voice import Voice

__all__ = ["docker_bash", "docker_shell", "docker_ssh", "main", "run"]


def main() -> None:
    """The command `dockshell`. Does not return: leaves with the exit code."""
    _live("dockshell")


def docker_bash() -> None:
    """The command `docker-bash CONTAINER [CMD...]`."""
    _live("docker-bash")


def docker_ssh() -> None:
    """The command `docker-ssh CONTAINER [CMD...]`."""
    _live("docker-ssh")


def docker_shell() -> None:
    """What Docker's command runs for `docker shell`: its plugin, which `dockshell init docker` puts in place."""
    _live("docker-shell")


def _live(program: str) -> None:
    # Until there is a session (relay.py): what is imported stays, and looking through it for what doesn't takes 1 ms.
    gc.disable()
    # What a supervisor may have us ignore: then no child of ours could be waited for (wait(2), ECHILD), nor one of the
    # programs that we start.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _leave(run(sys.argv[1:], program))


def run(words: list[str], program: str = "dockshell") -> int:
    """The words after the program's name → exit code. program: `dockshell`, `docker-shell` or a drop-in's name.
    Everything to be said has been said when it returns; with --debug an error shows where it came from."""
    _stand_in()
    debug = loud = False
    try:
        if program in options.DROPINS and not words:
            words = ["--help"]  # as the old ones have it, with 0
        if program == "docker-shell":
            from dockshell.commands import plugin

            plugin.follow()
            words = plugin.words(words)
        arguments = options.parse(words, program if program in options.DROPINS else "")
        debug = bool(arguments.on("debug"))
        loud = bool(arguments.on("verbose"))
        if directory := arguments.text("config"):
            os.environ["DOCKER_CONFIG"] = os.path.abspath(directory)
        code = _carry_out(arguments, words)
        if loud:
            _tell_passed_over()
        return code
    except BrokenPipeError:
        # Whoever read our output left; the rest of it is nobody's. stdout becomes /dev/null so that the flush at exit
        # has nothing to fail on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if debug:
            sys.excepthook(type(error), error, error.__traceback__)
            return error.exit_code if isinstance(error, DockshellError) else 125
        if loud:
            _tell_passed_over()
        return _explain(error)


def _tell_passed_over() -> None:
    """What was not believed since somebody else made it, and wasn't told yet."""
    from dockshell.linux.trusted import report

    report(Voice().say)


def _explain(error: Exception) -> int:
    """One clear sentence on stderr → the exit code that goes with it (errors.py)."""
    if isinstance(error, DockshellError):
        Voice().say(str(error))
        return error.exit_code
    if isinstance(error, OSError) and _is_full(error):
        Voice().say(f"the output could not be written: {error.strerror}")
        return 1
    if isinstance(error, OSError):
        from dockshell.linux import open_files

        if short := open_files.shortage(error):
            Voice().say(short)
            return 125
    Voice().say(
        f"something went wrong that should not have ({type(error).__name__}: {error}): "
        "run it again with --debug and report what it says"
    )
    return 125


def _is_full(error: OSError) -> bool:
    """Is it a disk's, which our output goes to?"""
    from errno import EDQUOT, EFBIG, ENOSPC

    return error.errno in (ENOSPC, EDQUOT, EFBIG)


def _carry_out(arguments: options.Arguments, words: list[str]) -> int:
    verb = arguments.verb
    if arguments.on("version"):
        from dockshell.commands import version

        return version.run(arguments)
    if arguments.on("help"):
        # `dockshell --help` is about all verbs; a shell's own help has to be asked for by name.
        print(options.usage(verb if verb in words or verb in options.DROPINS else ""))
        return 0
    module = "dropin" if verb in options.DROPINS else verb.strip("_").replace("-", "_")
    # Not by importlib, whose own import takes longer than that of most verbs.
    code: int = __import__("dockshell.commands." + module, fromlist=("run",)).run(arguments)
    return code


def _stand_in() -> None:
    """Opens what our caller closed of stdin, stdout and stderr, lest the next thing that is opened be taken for one of
    them."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # Python has no file for what was closed when it began.
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding != "utf-8":
        sys.stdout.reconfigure(errors="backslashreplace")  # as Python has it for stderr: not every locale has a …


def _leave(code: int) -> None:
    """Ends the process at once: taking the interpreter apart takes 3 ms, and there is nothing in it that the kernel
    doesn't free. What was written is flushed first; where that fails, the exit code says so as it would have."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        code = code or 1
        if _is_full(error):
            _explain(error)
    os._exit(code)
