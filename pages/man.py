"""The man page, made of the verbs and options as they are parsed (dockshell/options.py): man(7)."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping

from dockshell.options import DROPINS, ENTERING, OPTIONS, VERBS, Verb, option, taken

__all__ = ["PATH", "page", "write"]

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "man", "dockshell.1")
_COMMON = VERBS["latest"].options  # which has no other
_SESSION = tuple(field for field in ENTERING if field not in _COMMON)

_DESCRIPTION = """
dockshell opens a login shell or runs a command in a container: the newest that runs, or the one that is named. It takes
the best way in that is open: the container's own sshd, the kernel's namespaces, the engine's exec, or one of the latter
with programs that are brought along, where the container has no shell. On each of them a session is the same: the exit
code is the command's, signals reach it, nothing is left behind when dockshell ends, and the terminal is as it was.

Options end at TARGET; every later word is the command's, as with `docker exec`, each line of which works with its first
word changed.
"""
_TARGETS = {
    "NAME": "the container of that name; else the Compose service, of the project of the current directory before any "
    "other, and of its replicas the lowest that runs; else the container whose id begins so; else the one whose name "
    "begins so",
    "PROJECT/SERVICE, SERVICE:N": "Compose's project and service; the N-th replica; so do `-p` PROJECT and `--index` N",
    "label:KEY[=VALUE]": "the one with that label",
    "pid:N": "the one in which that process of the host runs, with an engine or without",
    "@latest": "the running container that was created last; so it is with no TARGET",
    "docker://, podman://, kernel://": "in front of any of these: of that engine only",
}
_EXIT = {
    "0-255": "the command's own; 128+N where signal N ended it, 137 also where its container stopped",
    "127": "the command is not there, or the interpreter or loader that it needs",
    "126": "the command can't be executed",
    "125": "dockshell never got in: no such container, none that runs, no way in, no engine",
    "2": "the words don't fit together",
    "1": "of `dockshell cp`: something was not copied, and has been named; of `dockshell doctor`: something is wrong; "
    "of `dockshell services`: it did not come about; of `dockshell env` with two: they differ",
    "3": "of `dockshell ssh status` and `dockshell services TARGET NAME status`: it is down",
}
_FILES = {
    "~/.config/dockshell/config.toml": "what is always to hold: see `dockshell config`",
    "~/.config/dockshell/tools": "names for programs to bring along: see `dockshell tools`",
    "~/.local/share/dockshell": "a key pair of your own for the ssh route, and the host key for `dockshell proxy`",
    "~/.cache/dockshell": "containers' passwd, and files of images that the engine keeps out of sight; may be deleted",
    "~/.ssh/config": "a block for *.dockshell, once `dockshell ssh-config --install` has put it there",
}
_ENVIRONMENT = {
    "DOCKER_HOST, DOCKER_CONTEXT, DOCKER_CONFIG": "where the engine is, as for `docker`",
    "DOCKER_API_VERSION, DOCKER_CUSTOM_HEADERS": "what goes with each request to the engine, as for `docker`",
    "CONTAINER_HOST, CONTAINER_CONNECTION, CONTAINER_SSHKEY": "where Podman's service is, as for `podman`, unless "
    "Docker's variables say where the engine is",
    "CONTAINERS_CONF, CONTAINERS_CONF_OVERRIDE, PODMAN_CONNECTIONS_CONF": "where Podman's connections are on file, as "
    "for `podman`",
    "DOCKER_TLS, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH": "how a tcp:// engine is spoken to, as for `docker`",
    "COMPOSE_PROJECT_NAME, COMPOSE_FILE, COMPOSE_PATH_SEPARATOR, PWD": "the Compose project whose services come first, "
    "as for `docker compose`; SUDO_UID: whose files count besides one's own",
    "DOCKSHELL_BUSYBOX": "a static busybox, for containers that have no shell; else one is looked for",
    "NO_COLOR": "if set, nothing is coloured: https://no-color.org",
    "TERM": "the kind of terminal; it goes into the session, with COLORTERM, and for a login shell LANG and LC_*",
    "SSH_AUTH_SOCK": "the ssh agent, for the ssh route",
    "BROWSER": "what `dockshell forward --open` opens",
    "SHELL, ZDOTDIR": "whose completions `dockshell doctor` looks for",
    "PATH": "where programs of this machine are looked for: ssh, busybox",
    "XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_CACHE_HOME, XDG_RUNTIME_DIR": "instead of ~/.config, ~/.local/share, ~/.cache "
    "and /run/user/UID",
}
# Those that roff makes something else of: groff_char(7). The first is in the others' names.
_CHARACTERS = {"\\": r"\(rs", "-": r"\-", "'": r"\(aq", '"': r"\(dq", "`": r"\(ga", "~": r"\(ti", "^": r"\(ha"}
_ALSO = "docker(1), podman(1), nsenter(1), ssh(1), ssh_config(5)"


def page() -> str:
    """The page's text."""
    lines = ['.TH DOCKSHELL 1 "" dockshell "User Commands"']
    lines += [".SH NAME", r"dockshell, docker\-bash, docker\-ssh \- a shell or a command in any container"]
    lines += [".SH SYNOPSIS", *_synopsis()]
    lines += [".SH DESCRIPTION", *_paragraphs(_DESCRIPTION)]
    lines += [".SH TARGET", *_items(_TARGETS)]
    lines += [".SH VERBS", _text("Before the verb or after it, each takes the options of every verb, below.")]
    for name, verb in VERBS.items():
        lines += _verb(name, verb)
    lines += [".SH OTHER NAMES"]
    for name, verb in DROPINS.items():
        lines += _verb(name, verb)
    lines += [".SH OPTIONS OF A SESSION", *_options(_SESSION)]
    lines += [".SH OPTIONS OF EVERY VERB", *_options((*_COMMON, "version"))]
    lines += [".SH EXIT STATUS", *_items(_EXIT)]
    lines += [".SH FILES", *_items(_FILES)]
    lines += [".SH ENVIRONMENT", *_items(_ENVIRONMENT)]
    lines += [".SH EXAMPLES", *_items({verb.example: verb.summary for verb in VERBS.values()})]
    lines += [".SH SEE ALSO", _text(_ALSO)]
    return "\n".join(lines) + "\n"


def write() -> None:
    """Writes it to PATH."""
    with open(PATH, "w", encoding="ascii") as file:
        file.write(page())


def _synopsis() -> Iterator[str]:
    lines = ["dockshell [OPTIONS] [TARGET]", "dockshell VERB [OPTIONS] ..."]
    lines += [f"{name} [OPTIONS] {verb.words}" for name, verb in DROPINS.items()]
    for line in lines:
        name, _, words = line.partition(" ")
        yield from ([] if line == lines[0] else [".br"])
        yield f"{_bold(name)} {_escaped(words)}"


def _verb(name: str, verb: Verb) -> Iterator[str]:
    spoken = name if name in DROPINS else f"dockshell {name}"
    yield f".SS {_quoted(f'{spoken} {verb.words}'.rstrip())}"
    summary = f"{verb.summary[0].upper()}{verb.summary[1:]}."
    own = [field for field in verb.options if field not in _COMMON]
    if set(_SESSION[:3]) <= set(own):
        summary += " It takes the options of a session, below."
        own = [field for field in own if field not in _SESSION]
    yield _text(summary)
    yield from _options(own, name)
    if verb.note:
        yield from (".PP", *_paragraphs(verb.note))


def _options(fields: Iterable[str], verb: str = "") -> Iterator[str]:
    """As items, in the order of the table; of those that are spelled alike, the verb's."""
    wanted = set(fields)
    for each in OPTIONS:
        if each.field in wanted and (taken(each, verb) if verb else not each.only):
            names = [name for name in each.names if not verb or option(name, verb) is each]
            yield from (".TP", _spelled(names, each.value), _text(each.help))


def _spelled(names: Iterable[str], value: str) -> str:
    spelled = ", ".join(map(_bold, names))
    return f"{spelled} \\fI{_escaped(value)}\\fR" if value else spelled


def _items(items: Mapping[str, str]) -> Iterator[str]:
    for term, text in items.items():
        yield from (".TP", _bold(term), _text(text))


def _paragraphs(text: str) -> Iterator[str]:
    paragraphs = text.strip().split("\n\n")
    for paragraph in paragraphs:
        if paragraph != paragraphs[0]:
            yield ".PP"
        yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    """Prose, with its `code` in bold; a line for each sentence, as roff wants it, and no long ones."""
    parts = re.split(r"`([^`]*)`", text)
    set_out = "".join(_bold(part) if number % 2 else _escaped(part) for number, part in enumerate(parts))
    sentences = re.split(r"(?<=\.) ", set_out)
    lines = [line for each in sentences for line in textwrap.wrap(each, 78, break_on_hyphens=False)]
    return "\n".join(rf"\&{line}" if line.startswith(".") else line for line in lines)


def _bold(text: str) -> str:
    return rf"\fB{_escaped(text)}\fR"


def _quoted(text: str) -> str:
    """As one argument of a macro."""
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    for character, name in _CHARACTERS.items():
        text = text.replace(character, name)
    return text
