"""argv in, exit code out. The only place where an error becomes words."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from dockshell import options
from dockshell.errors import DockshellError

__all__ = ["docker_bash", "docker_ssh", "main", "run"]


def main() -> None:
    """The command `dockshell`. Does not return: leaves with the exit code."""
    _leave(run(sys.argv[1:]))


def docker_bash() -> None:
    """The command `docker-bash CONTAINER [CMD...]`."""
    _leave(_guarded(["docker-bash", *sys.argv[1:]]))


def docker_ssh() -> None:
    """The command `docker-ssh CONTAINER [CMD...]`."""
    _leave(_guarded(["docker-ssh", *sys.argv[1:]]))


def run(words: list[str]) -> int:
    """The words after the program's name → exit code. Everything to be said has been said when it returns."""
    return _guarded(["dockshell", *words])


def _guarded(words: list[str]) -> int:
    """The ladder from exceptions to exit codes (errors.py) and one clear line on stderr."""
    debug = "--debug" in words
    _stand_in()
    try:
        return _dispatch(words[0], words[1:])
    except DockshellError as error:
        if debug:
            raise
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output left; the rest of it is nobody's. stdout becomes /dev/null so that the flush at exit
        # has nothing to fail on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except Exception as error:
        if debug:
            raise
        say(
            f"something went wrong that should not have ({type(error).__name__}: {error}): "
            "run it again with --debug and report what it says"
        )
        return 125


def _dispatch(program: str, words: list[str]) -> int:
    if program != "dockshell":
        from dockshell.commands import dropin

        return dropin.run(program, words)
    arguments = options.parse(words)
    if arguments.on("version"):
        from dockshell import __version__

        print(f"dockshell {__version__}")
        return 0
    if arguments.on("help"):
        # `dockshell --help` is about all verbs; a shell's own help has to be asked for by name.
        print(options.usage(arguments.verb if arguments.verb in words else ""))
        return 0
    verb = import_module("dockshell.commands." + arguments.verb.strip("_"))
    code: int = verb.run(arguments)
    return code


def _stand_in() -> None:
    """Opens what our caller closed of stdin, stdout and stderr, lest the next thing that is opened be taken for one of
    them."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def say(sentence: str) -> None:
    """One line of dockshell's own on stderr."""
    sys.stderr.write(f"dockshell: {sentence}\n")
    sys.stderr.flush()


def _leave(code: int) -> None:
    """Ends the process at once: taking the interpreter apart takes 3 ms, and there is nothing in it that the kernel
    doesn't free. What was written is flushed first; where that fails, the exit code says so as it would have."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 1
    os._exit(code)
