"""--format's templates: `{name} {image}`, or in Docker's own notation `{{.Names}} {{json .Labels}}`, which is Go's."""

from __future__ import annotations

from dockshell.engines.json import encode
from dockshell.errors import UsageError, printable
from dockshell.listing.fields import TEXTS, WHOLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dockshell.listing.rows import Row

__all__ = ["Template"]

# What people know from `docker ps --format`: what it is here, and what `table` writes above it.
_DOCKERS = {
    "ID": ("id", "CONTAINER ID"),
    "Names": ("name", "NAMES"),
    "Image": ("image", "IMAGE"),
    "State": ("state", "STATE"),
    "Status": ("status", "STATUS"),
    "RunningFor": ("age", "CREATED"),
    "CreatedAt": ("created", "CREATED AT"),
    "Networks": ("networks", "NETWORKS"),
    "Ports": ("ports", "PORTS"),
    "Labels": ("labels", "LABELS"),
}
_TABLE = "table"
_JSON = "json"
# Of a table's columns, as Docker's tabwriter has them.
_LEAST, _PADDING = 10, 3


class Template:
    """A field's name in braces is replaced by its text, `\\t` and `\\n` are a tab and a new line; the rest stands for
    itself. Of Go's templates it knows `{{.Field}}`, `{{json .Field}}`, `{{json .}}` and a leading `table`; nothing else
    is understood: no attribute, no index, no other function. whole: ids in full. Raises UsageError."""

    def __init__(self, text: str, *, whole: bool = False) -> None:
        self._texts = WHOLE if whole else TEXTS
        self._parts: list[_Part] = []
        self.fields: set[str] = set()  # those that it shows
        self._table = text.startswith(_TABLE)
        rest = text.removeprefix(_TABLE).strip(" ") if self._table else text
        rest = rest.replace("\\t", "\t").replace("\\n", "\n")
        while (begin := rest.find("{")) >= 0:
            ending = "}}" if rest.startswith("{{", begin) else "}"
            end = rest.find(ending, begin)
            if end < 0:
                raise UsageError(f"--format: a brace in {printable(text)!r} is not closed")
            self._parts.append(_Part(rest[:begin]))
            self._parts.append(self._field(rest[begin + len(ending) : end], docker=ending == "}}"))
            rest = rest[end + len(ending) :]
        self._parts.append(_Part(rest))

    def filled(self, rows: Iterable[Row]) -> list[str]:
        """The lines for these rows. What a container says of itself can't end one, for it comes in printable
        characters, or as JSON."""
        lines = ["".join(part.text(row) for part in self._parts) for row in rows]
        return _aligned(["".join(part.heading for part in self._parts), *lines]) if self._table else lines

    def _field(self, words: str, *, docker: bool) -> _Part:
        name = words.strip()
        if docker:
            return self._dockers(name)
        if name not in TEXTS:
            raise UsageError(f"--format knows no field {printable(name)!r} in braces: there are {', '.join(TEXTS)}")
        return self._shown(name, name.upper())

    def _dockers(self, words: str) -> _Part:
        function, _, name = words.rpartition(" ")
        if function.strip() == _JSON and name == ".":
            self.fields |= {field for field, _ in _DOCKERS.values()}
            return _Part("JSON", lambda row: _encoded({each: self._texts[_DOCKERS[each][0]](row) for each in _DOCKERS}))
        known = _DOCKERS.get(name.removeprefix(".")) if name.startswith(".") else None
        if known and function.strip() in ("", _JSON):
            return self._shown(*known, as_json=bool(function))
        raise UsageError(
            f"--format does not know {printable(words)!r} in double braces: there are "
            f"{', '.join(f'.{each}' for each in _DOCKERS)}, and json in front of one, or of a single dot"
        )

    def _shown(self, field: str, heading: str, *, as_json: bool = False) -> _Part:
        self.fields.add(field)
        told = self._texts[field]
        return _Part(heading, (lambda row: _encoded(told(row))) if as_json else (lambda row: printable(told(row))))


class _Part:
    """Of a template. heading: what a table has above it; text: what it is for a row, None where it is the same."""

    def __init__(self, heading: str, text: Callable[[Row], str] | None = None) -> None:
        self.heading = heading
        self.text: Callable[[Row], str] = text or (lambda row: heading)


def _encoded(value: object) -> str:
    return encode(value).decode()


def _aligned(lines: Iterable[str]) -> list[str]:
    """What stands between tabs, as columns."""
    from dockshell.output.tables import justified

    return justified([line.split("\t") for line in lines], _PADDING, _LEAST)
