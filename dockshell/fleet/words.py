"""The words that mean many containers → what to look for. Pure.

LIST    = PART {"," PART}
PART    = [ENGINE "://"] PATTERN | TARGET       TARGET: target.py's grammar
PATTERN = a name with `*`, `?` or `[...]` in it, as a shell reads them"""

from __future__ import annotations

from dockshell import target as targets
from dockshell.errors import UsageError, printable
from dockshell.model import noun
from dockshell.target import several

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockshell.model import Container, Target

__all__ = ["Marks", "Pattern", "marks", "parse"]


@noun(frozen=True)
class Pattern:
    """Containers whose name fits a glob. engine: its name, empty for any."""

    glob: str
    engine: str = ""

    def __str__(self) -> str:
        return (f"{self.engine}://" if self.engine else "") + self.glob

    def fits(self, container: Container) -> bool:
        from fnmatch import fnmatchcase

        return fnmatchcase(container.name, self.glob)


@noun(frozen=True)
class Marks:
    """Containers with all of these labels (`KEY` or `KEY=VALUE`), and of one of these Compose services (`SERVICE` or
    `PROJECT/SERVICE`) where any is named."""

    labels: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    engine = ""

    def __str__(self) -> str:
        said = [f"--label {each}" for each in self.labels] + [f"--service {each}" for each in self.services]
        return " ".join(said) or "--all"

    def fits(self, container: Container) -> bool:
        labelled = all(targets.labelled(container, each) for each in self.labels)
        served = not self.services or any(
            targets.serves(container, project, service)
            for project, _, service in (each.rpartition("/") for each in self.services)
        )
        return labelled and served


def parse(word: str) -> tuple[Target | Pattern, ...]:
    """What stands in TARGET's place → its parts. Raises UsageError."""
    if not several(word):
        return (targets.parse(word),)
    parts = word.split(",")
    if not all(parts):
        raise UsageError(f"{printable(word)!r} has nothing between two commas: a list is TARGET,TARGET or web,api-*")
    return tuple(_part(each) for each in parts)


def _part(word: str) -> Target | Pattern:
    engine, pinned, glob = word.rpartition("://")
    if not several(word):
        return targets.parse(word)
    if pinned and engine not in targets.ENGINES:
        raise UsageError(
            f"{printable(engine)!r} is no engine: a name may begin with {'://, '.join(targets.ENGINES)}://"
        )
    return Pattern(glob.removeprefix("/"), engine)


def marks(labels: Sequence[str], services: Sequence[str]) -> Marks:
    """What --label and --service say. Raises UsageError where they can't be those of any container."""
    for each in labels:
        targets.parse(f"label:{each}")
    for each in services:
        named = targets.parse(each)
        if named.kind != "name" or named.engine or named.replica:
            raise UsageError(f"--service takes a service's name, or project/service; not {printable(each)!r}")
    return Marks(tuple(labels), tuple(services))
