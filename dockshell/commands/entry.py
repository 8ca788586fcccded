"""The options that entering verbs share → a Command and a Way, and in. The last place that knows Arguments."""

from __future__ import annotations

import os
from stat import S_ISCHR

from dockshell import config, entering
from dockshell.commands.looking import place, voice
from dockshell.entering import Way
from dockshell.errors import CommandNotFound, UsageError, printable
from dockshell.model import Command, replace
from dockshell.routes import Login

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dockshell.model import Size, Target
    from dockshell.options import Arguments
    from dockshell.recording import Recording
    from dockshell.resolve import Place
    from dockshell.ssh.forwards import Forward

__all__ = ["command", "enter", "variables_in", "way"]

_MOST_DESCRIPTORS = 1 << 10


def command(arguments: Arguments, words: Sequence[str]) -> Command:
    """words: the command's own, empty for a login shell. Raises UsageError, CommandNotFound."""
    if words and not words[0]:
        raise CommandNotFound("the name of the command is empty: give that of a program")
    input = not arguments.on("no_input") and arguments.on("interactive") is not False and not arguments.on("detach")
    terminal = _terminal(arguments, input)
    if terminal is None and _nothing(0):
        input = False  # the command reads an empty input either way; to attach one takes an engine 10 ms
    environment_from = arguments.text("env_from") or "config"
    if environment_from not in ("config", "init"):
        raise UsageError("--env-from takes config or init")
    return Command(
        argv=tuple(os.fsencode(word) for word in words),
        by_login=bool(arguments.on("login")),
        user=arguments.text("user"),
        env=(*(_terminal_variables() if terminal else ()), *_variables(arguments)),
        languages=tuple(
            (name, value) for name, value in os.environ.items() if name == "LANG" or name.startswith("LC_")
        ),
        environment_from=environment_from,
        directory=arguments.text("workdir"),
        terminal=terminal,
        input=input,
        detach=bool(arguments.on("detach")),
        privileged=bool(arguments.on("privileged")),
        capabilities=_capabilities(arguments),
        tools=arguments.text("tools"),
        preserved=_preserved(arguments),
        share=True,
    )


def way(arguments: Arguments) -> Way:
    """How to get in, as the options say. Raises UsageError."""
    port = arguments.text("port")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError("--port takes a number from 1 to 65535")
    forwards = _forwards(arguments)
    agent = _agent() if arguments.on("A") else ""
    if arguments.on("detach") and (forwards or agent):
        raise UsageError("-d leaves the command to itself, and what is forwarded ends with us: leave out one of them")
    timeout = _seconds(arguments.text("timeout"))
    if arguments.on("detach") and timeout:
        raise UsageError("-d leaves the command to itself, and nobody would be there to end it: leave out --timeout")
    spoken = voice(arguments)
    return Way(
        place=place(arguments),
        via=_via(arguments),
        verb=arguments.verb,
        login=Login(arguments.text("key"), int(port or 0), forwards, agent, spoken),
        voice=spoken,
        config=config.load(),
        recording=_recording(arguments),
        timeout=timeout,
        detach_key=_detach_key(arguments),
    )


def enter(arguments: Arguments, target: Target, command: Command, at: Place | None = None) -> int:
    """Runs the command in the container that the target names, or a stand-in for it, or while it is not paused, as the
    options say → the exit code. at: where it is, if not where they say. Raises DockshellError."""
    stopped, keep, unpause = (bool(arguments.on(name)) for name in ("stopped", "keep", "unpause"))
    if keep and not stopped:
        raise UsageError("--keep is about what is changed in a stand-in: it takes --stopped")
    taken = replace(way(arguments), place=at) if at else way(arguments)
    if not stopped and not unpause:
        return entering.enter(target, command, taken)
    if stopped and unpause:
        raise UsageError("--stopped leaves the container as it is, paused or not: leave out --unpause")
    if command.detach:
        raise UsageError("-d leaves the command to itself, and this lasts for a session: leave out one of them")
    if unpause:
        from dockshell.standin.paused import enter_paused

        return enter_paused(target, command, taken)
    if command.environment_from == "init":
        raise UsageError("--env-from init takes what process 1 was started with, and with --stopped there is none")
    from dockshell.standin.stopped import enter_stopped

    return enter_stopped(target, command, taken, keep)


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 1e9  # seconds, thirty years


def _seconds(said: str) -> float:
    """--timeout's value, as timeout(1) has it; 0 for none. Raises UsageError."""
    number = said[:-1] if said[-1:] in _UNITS else said
    if said and (number.strip("0123456789.") or number.count(".") > 1 or not number.strip(".")):
        raise UsageError(f"--timeout takes a number of seconds, or one with m, h or d; not {printable(said)!r}")
    return min(float(number) * _UNITS.get(said[-1], 1), _LONGEST) if said else 0.0


def _via(arguments: Arguments) -> str:
    """Who asks for tools gets them, also where there is a shell inside."""
    said = arguments.text("via")
    if not arguments.text("tools") or said == "toolbox":
        return said
    if said not in ("", "auto"):
        raise UsageError(f"--tools is for the way in that brings them: leave out --via {printable(said)}")
    return "toolbox"


def _recording(arguments: Arguments) -> Recording | None:
    path, input = arguments.text("record"), bool(arguments.on("record_input"))
    if not path and not input:
        return None
    if not path:
        raise UsageError("--record-input is about a recording: it takes --record FILE")
    if arguments.on("detach"):
        raise UsageError("-d leaves the command to itself, and there is nothing to record: leave out one of them")
    from dockshell.recording import Recording

    return Recording(path, input)


def _detach_key(arguments: Arguments) -> bytes | None:
    """--detach-keys, where an empty one means none at all, as podman has it; None for what is configured."""
    said = arguments.said.get("detach_keys")
    if not isinstance(said, str):
        return None
    from dockshell.config.keys import keys

    try:
        return keys(said) if said else b""
    except ValueError as error:
        raise UsageError(f"--detach-keys: {printable(str(error))}") from None


def _preserved(arguments: Arguments) -> tuple[int, ...]:
    """--preserve-fds and --preserve-fd: descriptors that our caller handed to us, and none that is our own."""
    count, lists = arguments.text("preserve_fds"), arguments.texts("preserve_fd")
    if not count and not lists:
        return ()
    numbers = [number for each in lists for number in each.split(",")]
    if not all(each.isascii() and each.isdigit() and len(each) < 8 for each in (count or "0", *numbers)):
        raise UsageError("--preserve-fds takes a count, and --preserve-fd numbers with commas between")
    wanted = sorted({*range(3, 3 + min(int(count or 0), _MOST_DESCRIPTORS)), *map(int, numbers)} - {0, 1, 2})
    for number in wanted:
        try:
            ours = not os.get_inheritable(number)
        except OSError:
            ours = True
        if ours:
            raise UsageError(f"descriptor {number} is to be preserved, but is not open: `{number}<FILE` opens it")
    return tuple(wanted)


def _capabilities(arguments: Arguments) -> int:
    said = arguments.texts("cap")
    if not said:
        return 0
    from dockshell.linux.capability_names import mask

    return mask(said)


def _forwards(arguments: Arguments) -> Sequence[Forward]:
    said = [(kind, words) for kind in "LRD" for words in arguments.texts(kind)]
    if not said:
        return ()
    from dockshell.ssh import forwards

    return [forwards.parse(kind, words) for kind, words in said]


def _agent() -> str:
    """The socket of the caller's agent."""
    path = os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise UsageError(
            "-A passes an agent on, and there is none (SSH_AUTH_SOCK is not set): start one with ssh-agent"
        )
    return path


def _terminal(arguments: Arguments, input: bool) -> Size | None:
    wanted = arguments.on("tty")
    if arguments.on("no_tty") or wanted is False or (arguments.on("detach") and not wanted):
        return None
    if not wanted and not (input and os.isatty(0) and os.isatty(1)):
        return None
    from dockshell.linux import terminals

    return terminals.size(next((number for number in (0, 1, 2) if os.isatty(number)), 0))


def _nothing(descriptor: int) -> bool:
    """Is it /dev/null?"""
    facts = os.fstat(descriptor)
    return S_ISCHR(facts.st_mode) and facts.st_rdev == os.makedev(1, 3)


def _terminal_variables() -> Iterable[tuple[str, str]]:
    return [(name, os.environ[name]) for name in ("TERM", "COLORTERM") if os.environ.get(name)]


def _variables(arguments: Arguments) -> Iterable[tuple[str, str]]:
    """--env-file's lines first, so that -e has the last word, as with docker exec."""
    for path in arguments.texts("env_file"):
        yield from variables_in(path)
    for words in arguments.texts("env"):
        yield from _variable(words)


def variables_in(path: str) -> Iterable[tuple[str, str]]:
    """What a file of K=V or K a line sets, in Docker's way: no quotes, `#` begins a line that doesn't count. Raises
    UsageError."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            lines = file.read().removeprefix("\ufeff").split("\n")
    except OSError as error:
        raise UsageError(f"--env-file {printable(path)} can't be read: {error.strerror}") from None
    for line in (line.removesuffix("\r") for line in lines):
        if line.strip() and not line.lstrip().startswith("#"):
            yield from _variable(line.lstrip())


def _variable(words: str) -> Iterable[tuple[str, str]]:
    name, equals, value = words.partition("=")
    if not name or any(c.isspace() for c in name) or "\0" in words:
        raise UsageError(f"{printable(words)!r} sets no variable: K=V does, or K to pass on the caller's")
    if equals:
        yield name, value
    elif name in os.environ:
        yield name, os.environ[name]
    elif name.endswith("*"):  # all that begin so: podman-exec(1), --env
        yield from ((each, value) for each, value in os.environ.items() if each.startswith(name[:-1]))
