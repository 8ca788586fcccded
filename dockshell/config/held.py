"""What a config file says, taken apart. The hot path comes through here, and a list of sections that was read once is
kept (see load()): tomllib's import alone would take as long as a whole command."""

from __future__ import annotations

from dockshell.errors import printable
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dockshell.model import Container

__all__ = ["EVERYWHERE", "Config", "Section"]

EVERYWHERE = ""  # the kind of what stands above all sections
_MAGIC = frozenset("*?[")


@noun(frozen=True)
class Section:
    """kind: `container`, `image` or EVERYWHERE; glob: which of them; values: by the names of settings, lists as words
    with commas between."""

    kind: str
    glob: str
    values: Mapping[str, str | bool]

    def fits(self, container: Container | None) -> bool:
        """Does it hold for that container? None: for any."""
        if self.kind == EVERYWHERE:
            return True
        if container is None:
            return False
        return _matches(container.name if self.kind == "container" else container.image, self.glob)


class Config:
    """What a file says. sections: in the order in which each goes before those in front of it."""

    def __init__(self, path: str, sections: Sequence[Section]) -> None:
        self.path = path
        self.sections = sections

    def settings(self, container: Container | None = None) -> dict[str, tuple[str | bool, Section]]:
        """What holds for that container, or for any, by name, with the section that says so."""
        held: dict[str, tuple[str | bool, Section]] = {}
        for section in self.sections:
            if section.fits(container):
                held.update((name, (value, section)) for name, value in section.values.items())
        return held

    def on(self, name: str, container: Container | None = None) -> bool:
        """A switch; False where nobody set it."""
        return self.settings(container).get(name, (False,))[0] is True

    def origin(self, section: Section, name: str) -> str:
        """Where that section sets it: `PATH:LINE`."""
        from dockshell.config.file import line

        keys = (name,) if section.kind == EVERYWHERE else (section.kind, section.glob, name)
        return f"{printable(self.path)}:{line(self.path, keys)}"


def _matches(name: str, glob: str) -> bool:
    beginning = glob.removesuffix("*")
    if _MAGIC.isdisjoint(beginning):  # as nearly all are; the other kinds' import takes 8 ms
        return name.startswith(beginning) if beginning != glob else name == glob
    from fnmatch import fnmatchcase

    return fnmatchcase(name, glob)
