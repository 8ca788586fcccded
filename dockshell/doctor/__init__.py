"""What is wrong or dangerous on this machine or with a container, and the command that mends it.

A file for each subject, each with a function `findings`. What another room knows is not known here again: a refusal is
shown in the words of whoever refuses. Nothing is changed, nothing leaves the machine but to the engine in use, and
whatever may hang is given seconds."""

from __future__ import annotations

from dockshell.doctor import containers, daemons, engines, kernel, runtimes, shell, ssh, tools
from dockshell.doctor import target as targets
from dockshell.doctor.finding import Finding
from dockshell.errors import EngineError
from dockshell.resolve import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dockshell.doctor.engines import Met
    from dockshell.model import Container, Target
    from dockshell.resolve import Place

__all__ = ["examine"]


def examine(place: Place, target: Target | None, program: Sequence[str]) -> Iterator[Finding]:
    """Everything that there is to say, subject by subject, as it is found out. target: that container alone, and every
    way into it; None: all that run. program: the words that start this dockshell.

    Raises UsageError; for a target NotFound and Ambiguous, before anything else is said."""
    met = engines.meet(place)
    answering = engines.Answering(place, met)
    container, unanswered = None, ""
    if target:
        try:
            container = resolve(target, answering)
        except EngineError as error:
            unanswered = str(error)
    yield from engines.findings(met, place)
    yield from kernel.findings()
    yield from tools.findings()
    yield from ssh.findings()
    yield from shell.findings(program)
    yield from _machine(met)
    if target is None:
        yield from containers.findings(met)
    elif container:
        yield from _one(container, met)
        yield from targets.findings(target, answering)
    elif any(each.engine and each.used for each in met):  # else that was said above
        yield Finding("target", "wrong", unanswered)


def _machine(met: list[Met]) -> Iterator[Finding]:
    """The dangers that no container is needed for."""
    yield from daemons.findings(met)
    for each in met:
        if each.engine:
            yield from runtimes.findings(each.version, f"{each.engine.name} at {each.engine.address}", each.local)


def _one(container: Container, met: list[Met]) -> Iterator[Finding]:
    """Nobody but its engine knows how a container was made."""
    for each in met:
        if each.engine and each.engine.address == container.engine.address:
            yield from containers.of_one(container.id, each)
