"""`dockshell __complete`: what the completion scripts ask. They hand over the words and show the answer; the thinking
is done here, and in completing/.

Asked: `[AFTER] -- PROGRAM WORD... LAST [WORD...]`, unquoted, LAST as typed up to the cursor and AFTER words behind it.
Answered: a line per candidate, `WORD` or `WORD<tab>DESCRIPTION`, the likeliest first; or the single line `:files`,
which asks for names of files (after the `=`, where LAST is `--option=...`). A candidate that ends in one of `:/=` wants
no blank behind it. A path inside may have any visible characters in it: it is the scripts who quote."""

from __future__ import annotations

import sys

from dockshell import options
from dockshell.completing.offering import FILES, OPEN
from dockshell.completing.targets import View, several, targets
from dockshell.completing.typed import Typed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from signal import ITIMER_REAL, SIGALRM, setitimer, signal

    from dockshell.options import Arguments
else:
    from _signal import ITIMER_REAL, SIGALRM, setitimer, signal  # without the half of `signal` that needs enum

__all__ = ["candidates", "run"]

_PATIENCE = 2.0  # seconds; who presses TAB doesn't wait longer for an engine that is stuck
# The options that nobody needs to see.
_SILENT = ("latest", "version", "parallel", "compatibility", "log_level")
_COMMANDING = ("exec", *options.DROPINS)  # behind whose TARGET a command stands
# Those whose first word is a TARGET.
_NAMING = ("shell", "ip", "pid", "proxy", "forward", "doctor", "services", "env", "config", *_COMMANDING)
_CHOOSING = ("all", "label", "service", "pick")  # the options that stand in for TARGET
_NOT_RUNNING = (("stopped", "stopped"), ("unpause", "paused"))  # the options whose TARGET is one in that state
_ACTIONS = ("up", "down", "restart", "status", "log")  # what services takes behind NAME
_FIRST = {
    "help": tuple((name, verb.summary) for name, verb in options.VERBS.items()),
    "init": (("bash", ""), ("zsh", ""), ("fish", ""), ("docker", "`docker shell`")),
    "tools": (("list", "what is kept"), ("add", "a directory or an image"), ("remove", "a name")),
    "image": (("build", "by an engine"), ("dockerfile", "prints what it is made by, or writes it")),
    "ssh": (("enable", "starts it"), ("disable", "undoes that"), ("status", "is it on, and who gets in")),
}


class _Late(BaseException):
    """No Exception: whoever goes on to the next engine after an error, TimeoutError too, doesn't after this."""


def run(arguments: Arguments) -> int:
    """Prints the candidates → 0. Never says what went wrong: there is a half-typed line on the screen."""
    signal(SIGALRM, _late)
    setitimer(ITIMER_REAL, _PATIENCE)
    lines = []
    try:
        try:
            for word, description in candidates(*_cut(arguments.words)):
                lines.append(f"{word}\t{description}" if description else word)
        finally:
            setitimer(ITIMER_REAL, 0)
    except (Exception, _Late):
        pass  # an engine that is down, or late; what was found before it is offered
    sys.stdout.write("".join(line + "\n" for line in lines))
    return 0


def _late(signal: int, frame: object) -> None:
    raise _Late


def _cut(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The words up to the cursor, and those behind it."""
    if words[1:2] != ["--"] or not words[0].isdigit():
        return words, ()
    words, after = words[2:], int(words[0])
    return words[: len(words) - after], words[len(words) - after :]


def candidates(words: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(word, description) for each candidate for the last of the words, the first of which is the program's name; after
    are those behind the cursor."""
    if len(words) < 2:
        return
    typed, whole, last = Typed(words[:-1]), Typed([*words, *after]), words[-1]
    view = View(whole, next((state for option, state in _NOT_RUNNING if option in whole.said), "running"))
    head, equals, _ = last.partition("=")
    named = options.option(head, typed.verb) if equals and last.startswith("--") and typed.in_options else None
    given: Iterable[tuple[str, str]] = ()
    before = ""
    if wanted := typed.awaits or named:
        before = "" if typed.awaits else head + "="
        given = _values(wanted, last.removeprefix(before), whole, view)
    elif typed.in_options and last.startswith("-"):
        given = _spellings(typed)
    elif typed.verb == "cp":
        given = _copied(last, view)
    elif not typed.operands:
        given = _first(typed, last, view)
    else:
        given = _further(typed, last, view)
    for word, description in given:
        if word == FILES:
            yield word, description
        elif (before + word).startswith(last) and not (before + word == last and word.endswith(OPEN)):
            yield before + word, description


def _spellings(typed: Typed) -> Iterator[tuple[str, str]]:
    for each in options.OPTIONS:
        known = (each.field not in _SILENT or each.only) and options.taken(each, typed.verb or "shell")
        if known and (each.many or each.field not in typed.said):
            yield from ((name, each.help) for name in reversed(each.names))


def _values(option: options.Option, start: str, whole: Typed, view: View) -> Iterator[tuple[str, str]]:
    """What the option takes; a user or a directory in the container that the line names, or else in the newest."""
    if option.field not in ("user", "chown", "workdir"):
        from dockshell.completing.values import values

        yield from values(option, start, whole.verb, view)
        return
    from dockshell.completing import inside

    container = view.container(_meant(whole))
    user, colon, _ = start.partition(":")
    if option.field == "workdir":
        found = inside.paths(container, start or "/") if start[:1] in ("", "/") else ()
        yield from ((path, what) for path, what in found if path.endswith("/"))
    elif colon:
        yield from ((f"{user}:{name}", what) for name, what in inside.groups(container))
    else:
        yield from inside.users(container)


def _meant(whole: Typed) -> str:
    """The words of the TARGET, as far as there is one on the line; cp's is where the copies go."""
    if whole.verb == "cp":
        from dockshell.copy.words import split

        return next((words for words, path in map(split, reversed(whole.operands)) if path), "@latest")
    first = "" if any(option in whole.said for option in _CHOOSING) else "".join(whole.operands[:1])
    return first.partition(",")[0] or "@latest"


def _first(typed: Typed, last: str, view: View) -> Iterator[tuple[str, str]]:
    """The first word that is no option: a verb, a TARGET, or the one word that the verb takes."""
    if not typed.verb and typed.in_options:
        yield from ((name, verb.summary) for name, verb in options.VERBS.items())
    if typed.verb in _FIRST:
        yield from _FIRST[typed.verb]
    elif any(option in typed.said for option in _CHOOSING):
        return
    elif typed.verb == "exec" and "," in last:
        yield from several(last, view)
    elif not typed.verb or typed.verb in _NAMING:
        yield from targets(last, view)


def _further(typed: Typed, last: str, view: View) -> Iterator[tuple[str, str]]:
    """What follows the first word. Of a command inside nothing is known but the paths in its words."""
    from dockshell.completing import inside

    if typed.verb == "ssh" and len(typed.operands) == 1:
        yield from targets(last, view)
    elif typed.verb == "tools" and typed.operands == ["remove"]:
        from dockshell.completing.values import kept_tools

        yield from kept_tools()
    elif typed.verb == "tools" and typed.operands == ["add"] and last.startswith(("/", ".")):
        yield FILES, ""
    elif typed.verb == "services" and len(typed.operands) < 3:
        yield from ((action, "") for action in _ACTIONS)
        if len(typed.operands) == 1:
            services = inside.paths(view.container(typed.operands[0]), "/etc/service/")
            yield from ((path.split("/")[3], "service") for path, _ in services if path.endswith("/"))
    elif typed.verb == "forward":
        before = last[: last.rfind(":") + 1]
        yield from ((before + port, what) for port, what in inside.ports(view.container(typed.operands[0])))
    elif typed.verb in _COMMANDING and last.startswith("/"):
        yield from inside.paths(view.container(_meant(typed)), last)


def _copied(last: str, view: View) -> Iterator[tuple[str, str]]:
    """What cp takes: files here, containers with the colon behind which theirs are, and what is there."""
    if last.startswith((".", "/")):
        yield FILES, ""
        return
    from dockshell.copy.words import split

    words, path = split(last)
    if "/" not in path:
        found = [(f"{word}:", what) for word, what in targets(last, view) if what.startswith("container")]
        yield from found
        if ":" not in last and (not last or not any(word.startswith(last) for word, _ in found)):
            yield FILES, ""
    if ":" in last:
        from dockshell.completing.inside import paths

        before = last.removesuffix(path)
        yield from ((before + each, what) for each, what in paths(view.container(words), path or "/"))
