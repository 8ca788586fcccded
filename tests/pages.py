"""The pages that people read, README.md and docs/*.md, taken apart.

A page's ```console blocks are sessions: a line after `$ ` is typed, the lines below it are what it says, in order;
`...` stands for anything, `^C` for Ctrl-C once it has said that much. A command with ` &` at its end goes on beside the
next ones. Blocks of ```sh are commands that can't be run where the tests run.

A comment says which containers a page is about: `<!-- containers: web scratch=static shop-api-2 -->`. Each is NAME or
NAME=IMAGE (tests/world/images.py; busybox); it gets the host name NAME and the label app=NAME, PROJECT-SERVICE-NUMBER
the labels of Compose, and a `static` serves its files on port 8080; `none` for a page without any. In the same way
`<!-- images: NAME=IMAGE -->`. `<!-- made: NAME -->` names containers and images that the page itself makes. The block
below a `<!-- file: PATH -->` is what that file is to have in it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from tests.world import Peer

__all__ = ["PAGES", "ROOT", "Line", "Page"]

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_SEPARATORS = frozenset(";|&()<>")


class Line(NamedTuple):
    """command: what is typed. shown: what the page shows below it."""

    command: str
    shown: tuple[str, ...]

    @property
    def interrupted(self) -> bool:
        """Whether it goes on until Ctrl-C."""
        return "^C" in self.shown

    @property
    def beside(self) -> bool:
        """Whether the next commands run beside it."""
        return " ".join(shlex.split(self.command, comments=True)).endswith("&")

    @property
    def awaited(self) -> int:
        """How many lines it is to have said before Ctrl-C, or before the next command."""
        return max(1, sum(line not in ("^C", "...") for line in self.shown))

    def said(self, output: str) -> str | None:
        """The first of the shown lines that the output lacks, if any. Blanks count as one, however many there are."""
        rest = iter(" ".join(line.split()) for line in output.splitlines())
        for line in self.shown:
            pattern = ".*".join(re.escape(part) for part in " ".join(line.split()).split("..."))
            if line not in ("^C", "...") and not any(re.fullmatch(pattern, said) for said in rest):
                return line
        return None


class Page:
    """name: its path in the checkout."""

    def __init__(self, name: str) -> None:
        self.name = name
        with open(os.path.join(ROOT, name), encoding="utf-8") as file:
            self.text = file.read()

    def blocks(self, language: str) -> list[str]:
        """The code blocks of that language."""
        return re.findall(rf"^```{language}\n(.*?)^```", self.text, re.DOTALL | re.MULTILINE)

    @property
    def lines(self) -> list[Line]:
        """What is typed, with what it says."""
        found: list[Line] = []
        for block in self.blocks("console"):
            for line in filter(None, block.splitlines()):
                if line.startswith("$ "):
                    found.append(Line(line.removeprefix("$ "), ()))
                else:
                    found[-1] = Line(found[-1].command, (*found[-1].shown, line))
        return found

    @property
    def commands(self) -> list[str]:
        """Every line of code that is a command, run or not."""
        quoted = [line for block in self.blocks("sh") for line in block.splitlines() if line]
        return [line.command for line in self.lines] + quoted

    def start(self, peer: Peer) -> None:
        """Starts the containers that the page is about, and makes its images."""
        for word in self._about("images"):
            name, _, image = word.partition("=")
            peer.sh("tag", peer.image(image), name)
        for word in self._about("containers", "web"):
            name, _, image = word.partition("=")
            labels = ["--label", f"app={name}", *_compose(name)]
            serve = ("/busybox", "httpd", "-f", "-p", "8080") if image == "static" else ()
            peer.run(image or "busybox", *serve, name=name, options=["--hostname", name, *labels])

    def clear(self, peer: Peer) -> None:
        """Takes its images' names away, and what it made. (The containers that were started for it go as every test's
        do.)"""
        made = self._about("made")
        for name in made:
            peer.sh("rm", "--force", "--volumes", name, check=False)
        for name in (*made, *(word.partition("=")[0] for word in self._about("images"))):
            peer.sh("rmi", name, check=False)

    def _about(self, what: str, otherwise: str = "") -> list[str]:
        found = re.search(rf"<!-- {what}: (.*?) -->", self.text)
        return [word for word in (found[1] if found else otherwise).split() if word != "none"]

    @property
    def files(self) -> dict[str, str]:
        """Path and content of each file that the page has one write."""
        return dict(re.findall(r"^<!-- file: (\S+) -->\n```\w*\n(.*?)^```", self.text, re.DOTALL | re.MULTILINE))

    @property
    def anchors(self) -> set[str]:
        """What a link may name after a #, as GitHub makes it of the headings."""
        prose = re.sub(r"^```.*?^```", "", self.text, flags=re.DOTALL | re.MULTILINE)
        headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    @property
    def links(self) -> list[str]:
        """Where its links and pictures lead, but for other sites."""
        prose = re.sub(r"^```.*?^```", "", self.text, flags=re.DOTALL | re.MULTILINE)
        found = re.findall(r"\]\(([^)\s]+)\)|(?:src|href|srcset)=\"([^\"]+)\"", prose)
        return [link for pair in found for link in pair if link and "://" not in link]


def _compose(name: str) -> Iterator[str]:
    parts = name.split("-")
    if len(parts) == 3 and parts[2].isdigit():
        for key, value in zip(("project", "service", "container-number"), parts, strict=True):
            yield from ("--label", f"com.docker.compose.{key}={value}")


def spoken(line: str, programs: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """The commands in a line of shell that start one of the programs, each with its words."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    command: list[str] = []
    for word in [*lexer, ";"]:
        if not set(word) <= _SEPARATORS:
            command.append(word)
            continue
        while command and ("=" in command[0] or command[0] in ("sudo", "time")):
            del command[0]
        if command and command[0] in programs:
            yield command[0], command[1:]
        command = []


PAGES = (
    "README.md",
    *sorted(f"docs/{name}" for name in os.listdir(os.path.join(ROOT, "docs")) if name.endswith(".md")),
)
