"""--format's templates: `{name} {image}`, or in Docker's own words `{{.Names}} {{.Image}}`."""

from __future__ import annotations

from dockshell.errors import UsageError, printable
from dockshell.listing.fields import TEXTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.listing.rows import Row

__all__ = ["Template"]

# What people know from `docker ps --format`, by what it is here.
_DOCKERS = {
    "ID": "id",
    "Names": "name",
    "Image": "image",
    "State": "state",
    "Status": "status",
    "RunningFor": "age",
    "CreatedAt": "created",
    "Networks": "networks",
    "Ports": "ports",
    "Labels": "labels",
}


class Template:
    """A field's name in braces is replaced by its text, `\\t` and `\\n` are a tab and a new line; the rest stands for
    itself. Nothing else is understood: no attribute, no index, no function. Raises UsageError."""

    def __init__(self, text: str) -> None:
        self._parts: list[tuple[str, str]] = []  # text that stands for itself, and the field that comes after it
        rest = text.replace("\\t", "\t").replace("\\n", "\n")
        while (begin := rest.find("{")) >= 0:
            ending = "}}" if rest.startswith("{{", begin) else "}"
            end = rest.find(ending, begin)
            if end < 0:
                raise UsageError(f"--format: a brace in {printable(text)!r} is not closed")
            self._parts.append((rest[:begin], _field(rest[begin + len(ending) : end], docker=ending == "}}")))
            rest = rest[end + len(ending) :]
        self._end = rest

    @property
    def fields(self) -> set[str]:
        """Those that it shows."""
        return {field for _, field in self._parts}

    def filled(self, row: Row) -> str:
        """A line for that row. What a container says of itself can't end it, for it comes in printable characters."""
        return "".join(before + printable(TEXTS[field](row)) for before, field in self._parts) + self._end


def _field(words: str, *, docker: bool) -> str:
    name = words.strip()
    if docker and name.startswith(".") and name[1:] in _DOCKERS:
        return _DOCKERS[name[1:]]
    if not docker and name in TEXTS:
        return name
    known = ", ".join(f".{each}" for each in _DOCKERS) if docker else ", ".join(TEXTS)
    raise UsageError(f"--format knows no field {printable(name)!r} in {'double ' * docker}braces: there are {known}")
