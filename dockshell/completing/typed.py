"""What a half-typed line says, as options.parse() reads it; but there is more to come, and nothing is an error."""

from __future__ import annotations

import os

from dockshell import options
from dockshell.resolve import Place
from dockshell.target import as_service, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockshell.model import Target
    from dockshell.target import Project

__all__ = ["Typed"]


class Typed:
    """words: the program's name and what follows it.

    verb: empty while none was typed; awaits: the option whose value comes next; operands: the words that are no
    options; said: the options' fields with their last values; in_options: might the next word be an option?"""

    def __init__(self, words: Sequence[str]) -> None:
        program = os.path.basename(words[0])
        self.verb = program if program in options.DROPINS else ""
        self.awaits: options.Option | None = None
        self.operands: list[str] = []
        self.said: dict[str, str] = {}
        self._ended = False
        for word in words[1:]:
            self._take(word)

    @property
    def in_options(self) -> bool:
        return not self._ended and (not self.operands or self.verb in options.MIXED)

    @property
    def place(self) -> Place:
        """Where it says to look."""

        def look() -> Project:
            from dockshell.compose import here

            return here(self.said.get("project", ""), self.said.get("file", ""))

        url, connection, identity = (self.said.get(name, "") for name in ("url", "connection", "identity"))
        if url or connection or identity:
            return Place(url, connection, look=look, podman=identity)
        return Place(self.said.get("host", ""), self.said.get("context", ""), look=look)

    @property
    def of_project(self) -> bool:
        """Does it name a Compose project, so that TARGET can be nothing but one of its services?"""
        return bool(self.said.get("project") or self.said.get("file"))

    def target(self, words: str) -> Target:
        """What the words name on this line. Raises UsageError."""
        found, project, index = parse(words), self.said.get("project", ""), self.said.get("index", "")
        return as_service(found, project, index, named=self.of_project) if self.of_project or index else found

    def _take(self, word: str) -> None:
        if self.awaits and not self.verb and options.before_verb(self.awaits.names[0][1:], word):
            self.awaits = None  # docker's -D, which takes no value
        if self.awaits:
            self._say(self.awaits, word)
        elif word == "--" and not self._ended:
            self._ended = True
        elif not self.in_options or word in ("", "-"):
            self.operands.append(word)
        elif word in ("-l", "--latest") and self.verb == "exec":
            self.operands.append("@latest")
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            self._say(options.option(name, self.verb), value if equals else None)
        elif word.startswith("-"):
            self._letters(word[1:])
        elif not self.verb and word in options.VERBS:
            self.verb = word
        else:
            self.operands.append(word)

    def _letters(self, letters: str) -> None:
        for number, letter in enumerate(letters, 1):
            found = options.before_verb(letter, letters[number:] or "0") if not self.verb else None
            found = found or options.option("-" + letter, self.verb)
            if found and found.value:
                self._say(found, letters[number:].removeprefix("=") if letters[number:] else None)
                return
            self._say(found, None)

    def _say(self, found: options.Option | None, value: str | None) -> None:
        self.awaits = found if found and found.value and value is None else None
        if found:
            self.said[found.field] = value or ""
