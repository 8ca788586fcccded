"""`dockshell __complete`: what the completion scripts ask. They hand over the words and show the answer; the thinking
is done here.

Asked: `-- PROGRAM WORD... LAST`, as typed up to the cursor. Answered: a line per candidate, `WORD` or
`WORD<tab>DESCRIPTION`, the likeliest first; or the single line `:files`, which asks for names of files (after the `=`,
where LAST is `--option=...`). A candidate that ends in one of `:/=` wants no blank behind it.

What engines tell is hostile, and completion puts it on a command line: only words of the characters in _SAFE that begin
with a letter or digit are offered, so no shell finds anything to expand or to run in them.
"""

from __future__ import annotations

import os
import sys

from dockshell import options
from dockshell.model import Target
from dockshell.resolve import Place
from dockshell.target import ENGINES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from signal import ITIMER_REAL, SIGALRM, setitimer, signal

    from dockshell.engines import Engine
    from dockshell.model import Container
    from dockshell.options import Arguments

    _Listing = Callable[[Place, str], Sequence[Container]]
else:
    from _signal import ITIMER_REAL, SIGALRM, setitimer, signal  # without the half of `signal` that needs enum

__all__ = ["candidates", "run"]

FILES = ":files"
_OPEN = (":", "/", "=")
_PATIENCE = 2.0  # seconds; who presses TAB doesn't wait longer for an engine that is stuck
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_SAFE = _LETTERS | frozenset("_.:/@=-")
_HEX = frozenset("0123456789abcdef")
_COMPOSE = ("project", "service", "container-number")  # the labels that Compose gives: com.docker.compose.*
# The verbs whose first word is a TARGET.
_SILENT = ("detach_keys", "latest", "version")  # the options that nobody needs to see
_ENTERING = ("shell", "exec", "ip", "pid", "proxy", "forward", *options.DROPINS)
_NOT_RUNNING = (("--stopped", "stopped"), ("--unpause", "paused"))  # whose TARGET is one in that state


def run(arguments: Arguments) -> int:
    """Prints the candidates → 0. Never says what went wrong: there is a half-typed line on the screen."""
    signal(SIGALRM, _late)
    setitimer(ITIMER_REAL, _PATIENCE)
    lines = []
    try:
        wanted = next((state for option, state in _NOT_RUNNING if option in arguments.words), "running")
        for word, description in candidates(arguments.words, lambda place, pinned: _listing(place, pinned, wanted)):
            lines.append(f"{word}\t{description}" if description else word)
    except Exception:
        pass  # an engine that is down, or late; what was found before it is offered
    setitimer(ITIMER_REAL, 0)
    sys.stdout.write("".join(line + "\n" for line in lines))
    return 0


def _late(signal: int, frame: object) -> None:
    raise TimeoutError


def candidates(words: Sequence[str], listing: _Listing) -> Iterator[tuple[str, str]]:
    """(word, description) for each candidate for the last of the words, the first of which is the program's name.

    listing: (where, which engine, empty for any) → the containers that are meant, newest first; asked once at the most.
    """
    if len(words) < 2:
        return
    typed = _Typed(os.path.basename(words[0]))
    for word in words[1:-1]:
        typed.take(word)
    last = words[-1]
    head, equals, _ = last.partition("=")
    named = options.option(head, typed.verb) if equals and last.startswith("--") else None
    given: Iterable[tuple[str, str]] = ()
    before = ""
    if typed.awaits or (named and typed.in_options):
        before = "" if typed.awaits else head + "="
        given = _values(typed.awaits or named, last.removeprefix(before), typed.verb)
    elif typed.in_options and last.startswith("-"):
        given = _spellings(typed)
    elif typed.verb == "cp":
        given = _operands(last, typed.place, listing)
    elif typed.count == 0:
        given = _first(typed, last, listing)
    elif typed.count == 1 and typed.verb == "ssh":
        given = _targets(last, typed.place, listing)
    for word, description in given:
        if word == FILES:
            yield word, description
        elif (before + word).startswith(last) and not (before + word == last and word.endswith(_OPEN)):
            yield before + word, description


class _Typed:
    """What the words before the last one said: as options.parse() reads them, but there is more to come, and nothing is
    an error.

    verb: empty while none was typed; awaits: the option whose value comes next; count: the words that were no options;
    said: the values.
    """

    def __init__(self, program: str) -> None:
        self.verb = program if program in options.DROPINS else ""
        self.awaits: options.Option | None = None
        self.count = 0
        self.said: dict[str, str] = {}
        self._ended = False

    @property
    def in_options(self) -> bool:
        """Might the next word be an option?"""
        return not self._ended and self.count == 0

    def take(self, word: str) -> None:
        if self.awaits:
            self._say(self.awaits, word)
        elif not self.in_options or word in ("", "-"):
            self.count += 1
        elif word == "--":
            self._ended = True
        elif word.startswith("--") and word != "--latest":
            name, equals, value = word.partition("=")
            self._say(options.option(name, self.verb), value if equals else None)
        elif word in ("-l", "--latest"):
            self.count += 1
        elif word.startswith("-"):
            self._letters(word[1:])
        elif not self.verb and word in options.VERBS:
            self.verb = word
        else:
            self.count += 1

    def _letters(self, letters: str) -> None:
        for number, letter in enumerate(letters, 1):
            found = options.option("-" + letter, self.verb)
            if found and found.value:
                self._say(found, letters[number:].removeprefix("=") if letters[number:] else None)
                return
            self._say(found, None)

    def _say(self, found: options.Option | None, value: str | None) -> None:
        self.awaits = found if found and found.value and value is None else None
        if found:
            self.said[found.field] = value or ""

    @property
    def place(self) -> Place:
        return Place(self.said.get("host", ""), self.said.get("context", ""))


def _spellings(typed: _Typed) -> Iterator[tuple[str, str]]:
    allowed = {**options.VERBS, **options.DROPINS}[typed.verb or "shell"].options
    for each in options.OPTIONS:
        if each.field in allowed and each.field not in _SILENT and (each.many or each.field not in typed.said):
            yield from ((name, each.help) for name in reversed(each.names))


def _values(option: options.Option | None, start: str, verb: str) -> Iterator[tuple[str, str]]:
    field = option.field if option else ""
    if field in ("key", "env_file"):
        yield FILES, ""
    elif field == "via":
        from dockshell.routes import ROUTES

        yield "auto", "the first that does"
        if verb == "forward":
            from dockshell.forward.ways import WAYS as ROUTES
        yield from ((name, "") for name in ROUTES)
    elif field == "cap":
        from dockshell.linux.capability_names import NAMES

        yield from ((name, "") for name in NAMES)
    elif field == "tools" and start.startswith(("/", ".")):
        yield FILES, ""
    elif field == "tools":
        from dockshell.tools import kept

        yield from ((name, what) for name, what in sorted(kept.names().items()) if _safe(name))
    elif field == "env_from":
        yield from (("config", "as configured"), ("init", "as process 1 was started"))
    elif field == "context":
        from dockshell.engines import contexts

        yield from ((name, "") for name in ("default", *contexts.names()) if _safe(name))
    elif field == "host":
        yield from (("unix://", "a socket"), ("tcp://", "host:port"), ("ssh://", "user@host"))
    elif field == "env" and start:
        yield from ((name, "") for name in sorted(os.environ) if _safe(name))
    elif option and not option.value:
        yield from (("true", ""), ("false", ""))


def _first(typed: _Typed, last: str, listing: _Listing) -> Iterator[tuple[str, str]]:
    """The first word that is no option: a verb, a TARGET, or the one word that the verb takes."""
    if not typed.verb and typed.in_options:
        yield from ((name, verb.summary) for name, verb in options.VERBS.items())
    if typed.verb == "init":
        yield from ((shell, "") for shell in ("bash", "zsh", "fish"))
    elif typed.verb == "tools":
        yield from (("list", "what is kept"), ("add", "a directory or an image"), ("remove", "a name"))
    elif typed.verb == "ssh":
        yield from (("enable", "starts it"), ("disable", "undoes that"), ("status", "is it on, and who gets in"))
    elif not typed.verb or typed.verb in _ENTERING:
        yield from _targets(last, typed.place, listing)


def _operands(last: str, place: Place, listing: _Listing) -> Iterator[tuple[str, str]]:
    """What cp takes: files, and containers with the colon behind which theirs are."""
    if last.startswith((".", "/")):
        yield FILES, ""
        return
    containers = [(word, what) for word, what in _targets(last, place, listing) if what.startswith("container")]
    yield from ((f"{word}:", what) for word, what in containers)
    if not any(word.startswith(last) for word, _ in containers) or not last:
        yield FILES, ""


def _targets(last: str, place: Place, listing: _Listing) -> Iterator[tuple[str, str]]:
    pin, pinned, what = last.partition("://")
    if pinned and pin not in ENGINES:
        return
    before = pin + pinned if pinned else ""
    what = what if pinned else last
    if what:  # not before anything was typed: the containers' names are to stand alone then
        yield f"{before}@latest", "the newest running container"
        yield f"{before}label:", "KEY or KEY=VALUE"
        yield f"{before}pid:", "a process of this host"
        yield from ((f"{engine}://", "of that engine") for engine in ENGINES if not pinned)
    if what.startswith(("@", "pid:")):
        return
    containers = listing(place, pin if pinned else "")
    found = dict(_labelled(containers) if what.startswith("label:") else _named(containers, what))
    if what and set(what) <= _HEX and not any(word.startswith(what) for word in found):
        found = {each.id if len(what) > len(each.short) else each.short: _description(each) for each in containers}
    yield from ((before + word, description) for word, description in found.items() if _safe(word))


def _named(containers: Sequence[Container], what: str) -> Iterator[tuple[str, str]]:
    """Names; then Compose's services, with their project once anything is typed, with replicas once a `:` is."""
    for each in containers:
        yield each.name, _description(each)
    names = {each.name for each in containers}
    for each in containers:
        project, service, number = (str(each.labels.get(f"com.docker.compose.{part}", "")) for part in _COMPOSE)
        for word in (service, f"{project}/{service}") if service and project else ():
            if word not in names and (what or word == service):
                yield word, "service" + _plain(f" of {project}" if word == service else "")
            if ":" in what and number:
                yield f"{word}:{number}", _description(each)


def _labelled(containers: Sequence[Container]) -> Iterator[tuple[str, str]]:
    for each in containers:
        for key, value in each.labels.items():
            yield f"label:{key}={value}", _plain(each.name)


def _description(container: Container) -> str:
    return "container" + _plain(f" of {container.image}" if container.image else "")


def _safe(word: str) -> bool:
    return word[:1] in _LETTERS and bool(word) and _SAFE.issuperset(word) and len(word) <= 200


def _plain(text: str) -> str:
    return "".join(c for c in text[:60] if c in _SAFE or c == " ")


def _listing(place: Place, pinned: str, wanted: str) -> list[Container]:
    """Of the first engine in which any container is in that state: one request to each engine asked."""
    from dockshell.errors import DockshellError

    for engine in place.engines(Target("latest", engine=pinned)):
        try:
            if found := [each for each in _listed(engine, wanted) if _is(each, wanted)]:
                return found
        except DockshellError:
            continue
    return []


def _is(container: Container, wanted: str) -> bool:
    return container.state == wanted or (wanted == "stopped" and container.state not in ("running", "paused"))


def _listed(engine: Engine, wanted: str) -> list[Container]:
    if engine.api is None:
        return engine.all()
    from dockshell.engines.docker import DockerEngine, from_listing, is_ours

    known = DockerEngine(engine.api)
    found = []
    for facts in engine.api.containers(everything=wanted != "running"):
        try:
            found.append(from_listing(facts, known))
        except Exception:
            continue  # one that makes no sense doesn't hide the others
    theirs = [each for each in found if not is_ours(each)]
    return sorted(theirs, key=lambda each: each.created, reverse=True)
