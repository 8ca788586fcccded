"""The README's picture: a real session, on an engine of its own, in a real terminal, as it was at its end.

`python -m pages.picture` prints what the session shows today."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple
from xml.etree import ElementTree

import pexpect
import pyte

from tests.world import Peer, World
from tests.world.own_docker import start_docker

__all__ = ["PATH", "alike", "play", "shown", "write"]

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "dockshell.svg")
_BIN = os.path.dirname(sys.executable)
_COLUMNS, _ROWS = 100, 60
_PROMPT = r"\[\e[1;32m\]$\[\e[m\] "
_TYPED = (
    "dockshell ls",
    "dockshell web                                # a login shell",
    "hostname; tty",
    "exit",
    "dockshell exec -u app api -- sh -c 'id -un; exit 3'; echo $?",
    "dockshell cp -r web:/etc/profile.d api:/srv/ # files, across",
    "dockshell exec 'shop-*' -- cat /etc/hostname # in many at once; one of them is a scratch image",
    "dockshell exec cache -- netstat -tln         # the tools come along, and nothing is left",
)
_WIDTH, _HEIGHT, _MARGIN = 8.4, 19, 16  # of a character, of a line, around all: in pixels
# Readable on its own dark ground, whatever the page around it is.
_GROUND, _INK = "#161b22", "#e6edf3"
_INKS = {
    "black": "#484f58", "red": "#ff7b72", "green": "#7ee787", "brown": "#e3b341", "blue": "#79c0ff",
    "magenta": "#d2a8ff", "cyan": "#76e3ea", "white": "#e6edf3", "brightblack": "#8b949e",
}  # fmt: skip
_FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_CHANGING = {r"\b[0-9a-f]{12}\b": "ID", r"\b\d+[smhdwy]\b": "AGE", r"\b\d+(\.\d+){3}\b": "ADDRESS", r" +": " "}


class Piece(NamedTuple):
    """Characters of a line that look alike. ink: a colour of SVG's."""

    text: str
    ink: str
    bold: bool


def play() -> list[list[Piece]]:
    """The lines that the session leaves on the screen. Raises Unavailable where no engine can be had."""
    with _engine() as docker, tempfile.TemporaryDirectory() as home:
        for image, tag in (("workshop", "shop/web:1.4"), ("busybox", "shop/api:2.0"), ("static", "shop/cache:7")):
            docker.sh("tag", docker.image(image), tag)
        _start(docker, "cache", "shop/cache:7", "/busybox", "httpd", "-f", "-p", "6379")
        _start(docker, "api", "shop/api:2.0")
        _start(docker, "web", "shop/web:1.4")
        env = {
            "HOME": home, "PATH": f"{_BIN}:{os.environ['PATH']}", "TERM": "xterm-256color", "LANG": "C.UTF-8",
            "DOCKER_HOST": docker.url, "PS1": _PROMPT, "HISTFILE": "",
        }  # fmt: skip
        bash: pexpect.spawn[bytes] = pexpect.spawn(
            "bash", ["--norc", "--noprofile"], env=env, cwd=home, dimensions=(_ROWS, _COLUMNS)
        )
        screen = pyte.Screen(_COLUMNS, _ROWS)
        stream = pyte.ByteStream(screen)
        _await_prompt(bash, screen, stream, below=-1)
        for typed in _TYPED:
            row = screen.cursor.y
            bash.sendline(typed)
            _await_prompt(bash, screen, stream, below=row)
        bash.close(force=True)
        return [_pieces(screen, row) for row in range(screen.cursor.y)]


@contextlib.contextmanager
def _engine() -> Iterator[Peer]:
    """One with nothing else in it, whatever runs on this machine."""
    with World() as world:
        world.need_root()
        client = world.need_program("docker")
        world.need_program("dockerd")
        daemon = start_docker(world.scratch)
        docker = Peer("docker", daemon.url, [client, "-H", daemon.url], {}, world.scratch, lambda text: None)
        try:
            yield docker
        finally:
            docker.close()
            daemon.stop()


def _start(docker: Peer, service: str, image: str, *command: str) -> None:
    """A container as Compose starts it, of a project called shop."""
    labels = {"project": "shop", "service": service, "container-number": "1"}
    options = [word for key, value in labels.items() for word in ("--label", f"com.docker.compose.{key}={value}")]
    docker.run(image, *command, name=f"shop-{service}-1", options=["--hostname", service, *options])


def _await_prompt(bash: pexpect.spawn[bytes], screen: pyte.Screen, stream: pyte.ByteStream, below: int) -> None:
    """Until the cursor stands behind a prompt, of bash or of a shell inside, below that row. Raises TimeoutError."""
    until = time.monotonic() + 20
    while screen.cursor.y <= below or not re.fullmatch(r".*[$#] ", screen.display[screen.cursor.y][: screen.cursor.x]):
        if time.monotonic() > until:
            raise TimeoutError("\n".join(screen.display))
        with contextlib.suppress(pexpect.TIMEOUT):
            stream.feed(bash.read_nonblocking(1 << 16, timeout=0.1))


def _pieces(screen: pyte.Screen, row: int) -> list[Piece]:
    cells = [screen.buffer[row][column] for column in range(len(screen.display[row].rstrip()))]
    alike = groupby(cells, key=lambda cell: (_INKS.get(cell.fg, _INK), cell.bold))
    return [Piece("".join(cell.data for cell in group), ink, bold) for (ink, bold), group in alike]


def _drawing(lines: list[list[Piece]]) -> str:
    """The lines as SVG. Each piece has the width that it should, whatever font there is."""
    width, height = _COLUMNS * _WIDTH + 2 * _MARGIN, len(lines) * _HEIGHT + 2 * _MARGIN
    svg = ElementTree.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        width=f"{width:g}",
        height=f"{height:g}",
    )
    ElementTree.SubElement(svg, "title").text = "dockshell, in a terminal"
    ElementTree.SubElement(svg, "rect", width="100%", height="100%", rx="8", fill=_GROUND)
    ground = ElementTree.SubElement(svg, "g", {"font-family": _FONTS, "font-size": "14", "fill": _INK})
    for number, line in enumerate(lines):
        text = ElementTree.SubElement(
            ground, "text", {"xml:space": "preserve", "y": f"{_MARGIN + number * _HEIGHT + 14}"}
        )
        column = 0
        for piece in line:
            room = {"x": f"{_MARGIN + column * _WIDTH:g}", "textLength": f"{len(piece.text) * _WIDTH:g}"}
            looks = {"fill": piece.ink} if piece.ink != _INK else {}
            looks |= {"font-weight": "bold"} if piece.bold else {}
            ElementTree.SubElement(text, "tspan", room | looks).text = piece.text
            column += len(piece.text)
        text.tail = "\n"
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def shown() -> list[str]:
    """The lines of text in the picture that is there; none where there is none."""
    if not os.path.exists(PATH):
        return []
    texts = ElementTree.parse(PATH).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(text.itertext()) for text in texts]


def alike(lines: list[str]) -> list[str]:
    """The lines without what is new each time: ids, ages, addresses, the room that these take, and which of several
    commands at once is first."""
    for pattern, word in _CHANGING.items():
        lines = [re.sub(pattern, word, line) for line in lines]
    return sorted(line.strip() for line in lines)


def _words(lines: list[list[Piece]]) -> list[str]:
    """What the lines say."""
    return ["".join(piece.text for piece in line) for line in lines]


def write() -> None:
    """Draws it to PATH, unless what is there shows as much."""
    played = play()
    if alike(shown()) != alike(_words(played)):
        with open(PATH, "w", encoding="utf-8") as file:
            file.write(_drawing(played))


if __name__ == "__main__":
    print("\n".join(_words(play())))
