"""`dockshell image`: an image worth logging in to, built, or written down as a Dockerfile."""

from __future__ import annotations

import os
import shlex
import sys
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from dockshell.commands.looking import place, voice
from dockshell.errors import EngineError, UsageError, printable
from dockshell.image import family, plan
from dockshell.image.context import entries, write_directory
from dockshell.image.making import Making
from dockshell.image.plan import Plan
from dockshell.image.recipe import MISSING, dockerfile, in_files
from dockshell.output.bars import Count
from dockshell.target import LATEST

if TYPE_CHECKING:
    from dockshell.engines import Engine
    from dockshell.options import Arguments
    from dockshell.voice import Voice

__all__ = ["run"]

_TOLD = 12  # lines of a step that failed


def run(arguments: Arguments) -> int:
    """Builds, or writes → 0. Raises UsageError and DockshellError."""
    action = arguments.words[0]
    if action not in ("build", "dockerfile"):
        raise UsageError(f"image takes build or dockerfile, not {printable(action)!r}: `dockshell image build -t base`")
    wanted = _plan(arguments)
    if action == "build":
        _build(arguments, wanted)
    else:
        _write(arguments, wanted)
    return 0


def _plan(arguments: Arguments) -> Plan:
    python = not arguments.on("no_python")
    found = Plan(
        base=arguments.text("from") or plan.BASE,
        ssh=bool(arguments.on("ssh")),
        cron=bool(arguments.on("cron")),
        syslog=bool(arguments.on("syslog")),
        python=python,
        services=plan.services(arguments.texts("service")),
        startup=plan.startup(arguments.texts("startup")),
        variables=plan.variables(arguments.texts("env")),
    )
    if found.startup and not python:
        raise UsageError("--startup takes my_init, which runs such files, and so Python: leave out one of the two")
    if in_files(found) and not python:
        names = ", ".join(name for name, _ in in_files(found))
        raise UsageError(
            f"a value of more than one line takes my_init, and so Python: leave out --no-python or {names}"
        )
    if any(c.isspace() or not c.isprintable() for c in found.base):
        raise UsageError(f"--from takes an image's name, as {plan.BASE}, not {printable(found.base)!r}")
    return found


def _build(arguments: Arguments, wanted: Plan) -> None:
    tag = arguments.text("tag")
    if not tag:
        raise UsageError("the image needs a name: `dockshell image build -t base`")
    if arguments.text("output"):
        raise UsageError("-o is for `dockshell image dockerfile`, which writes; build takes -t alone")
    making, spoken = Making(_engine(arguments)), voice(arguments)
    progress = _Told(spoken)
    try:
        base = making.base(wanted.base)
        if base is None:
            making.pull(wanted.base, progress)
            base = making.base(wanted.base)
        if base is None:
            raise EngineError(f"the engine pulled {printable(wanted.base)} and has it not: name another with --from")
        making.make(wanted, base, tag, progress)
    except EngineError:
        progress.failed()
        raise
    finally:
        progress.close()
    if not wanted.python:
        spoken.say(MISSING)
    then = f"`docker run -d --name web {printable(tag)}`, then `dockshell web`"
    more = (making.size(tag) - making.size(wanted.base)) / 1e6
    spoken.say(f"{printable(tag)} has {more:.1f} MB more than {printable(wanted.base)}: {then}")
    print(tag)


def _write(arguments: Arguments, wanted: Plan) -> None:
    if arguments.text("tag"):
        raise UsageError("-t names what is built: `docker build -t NAME .` where the Dockerfile is")
    try:
        base = Making(_engine(arguments)).base(wanted.base)
    except EngineError:
        base = None  # where there is no engine, a Dockerfile can be written all the same
    text = dockerfile(wanted, base or family.named(wanted.base), _command(arguments))
    directory = arguments.text("output")
    if directory:
        write_directory(directory, entries(wanted, text))
    else:
        sys.stdout.write(text)
    if not wanted.python:
        voice(arguments).say(MISSING)


def _command(arguments: Arguments) -> str:
    """What would make it again; a variable's value may be a secret, and stands below anyhow."""
    words = ["dockshell", "image", "dockerfile"]
    for field in ("from", "ssh", "cron", "syslog", "no_python", "service", "startup"):
        said = arguments.said.get(field)
        option = "--" + field.replace("_", "-")
        for value in said if isinstance(said, list) else [said] if said else []:
            words += [option] if value is True else [option, str(value)]
    return printable(shlex.join(words))


def _engine(arguments: Arguments) -> Engine:
    """The first that can be asked. Raises EngineError."""
    reasons = []
    for engine in place(arguments).engines(LATEST):
        reason = engine.refuses() if engine.api is not None else "it builds no images"
        if reason is None:
            return engine
        reasons.append(reason)
    raise EngineError("; ".join(reasons) or "there is no engine to build by: start one, or name one with -H")


class _Told:
    """How it goes, for people: at a terminal a bar, with -v and elsewhere a line for each step."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._since = monotonic()
        self._bar: Count | None = None
        self._drawn = os.isatty(2) and not voice.loud
        self._step = (0, 0, "")
        self._last: deque[str] = deque(maxlen=_TOLD)

    def step(self, number: int, total: int, words: str) -> None:
        words = " ".join(words.split())
        if words.startswith("ENV "):
            words = words.partition("=")[0]  # its value may be a secret
        self._step = (number, total, words)
        self._last.clear()
        if not self._drawn:
            self._voice.say(f"step {number} of {total}: {printable(words)[:100]}" if total else printable(words))
        self._draw()

    def line(self, text: str) -> None:
        self._last.append(text)
        self._voice.tell(printable(text))
        self._draw()

    def failed(self) -> None:
        """What the step said at last, for who has not seen it."""
        self.close()
        if not self._voice.loud:
            for line in self._last:
                self._voice.say(printable(line))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.hide()

    def _draw(self) -> None:
        number, total, words = self._step
        if self._drawn and total:
            self._bar = self._bar or Count(total, self._since)
            self._bar.show(number - 1, [words])
