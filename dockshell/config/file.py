"""The file itself: TOML, with settings for every container at the top, and sections for some.

    user = "app"

    [image."debian:*"]
    shell = "bash"

    [container."web-*"]
    user = "www-data"

Of several values the most particular holds: a container's section goes before an image's, that before the top; of two
sections of a kind that both fit, the later one. What is said on the command line goes before all of them."""

from __future__ import annotations

import tomllib

from dockshell.config.held import EVERYWHERE, Section
from dockshell.config.keys import keys
from dockshell.errors import UsageError, printable
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

__all__ = ["SETTINGS", "Setting", "line", "read"]

KINDS = ("container", "image")  # of sections: by which of a container's facts they are found


@noun(frozen=True)
class Setting:
    """kinds: what TOML's value may be; absent: what holds where nobody set it, as a person would say it; help: one
    line. everywhere: it is about no container in particular, so that it stands above all sections only."""

    kinds: tuple[type, ...]
    absent: str
    help: str
    everywhere: bool = False


SETTINGS: Mapping[str, Setting] = {
    "via": Setting((str, list), "auto", "a way in, or a list of them in order"),
    "user": Setting((str,), "the container's", "NAME or UID, and :GROUP if need be"),
    "shell": Setting((str,), "the user's own", "the login shell, if it is there"),
    "tools": Setting((str,), "busybox", "what a toolbox brings: DIR, IMAGE or NAME"),
    "detach_key": Setting((str,), "none", "leaves a session, which goes on: ctrl-]"),
    "record": Setting((str,), "nowhere", "a directory for recordings of terminals"),
    "record_input": Setting((bool,), "no", "whether keys are recorded, too"),
    "pick": Setting((bool,), "no", "with no TARGET: picks from a list", everywhere=True),
}
_SPOKEN = {str: "a text in quotes", list: "a list of texts", bool: "true or false"}


def read(path: str) -> list[Section]:
    """The file at that path, its sections in the order in which each goes before those in front of it. Raises
    UsageError, which names the line."""
    text = _text(path)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{printable(path)} is no TOML: {printable(str(error))}") from None
    try:
        return list(_sections(table))
    except _Wrong as wrong:
        raise UsageError(f"{printable(path)}, line {_line(text, wrong.keys)}: {wrong}") from None


def line(path: str, keys: tuple[str, ...]) -> int:
    """The number of the line in that file that sets it. keys: where in the table. Raises UsageError."""
    return _line(_text(path), keys)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{printable(path)} can't be read: {why}") from None


class _Wrong(Exception):
    """keys: where in the table."""

    def __init__(self, keys: tuple[str, ...], why: str) -> None:
        super().__init__(why)
        self.keys = keys


def _sections(table: dict[str, Any]) -> Iterator[Section]:
    yield Section(EVERYWHERE, "", _values({name: each for name, each in table.items() if name not in KINDS}, ()))
    for kind in reversed(KINDS):
        globs = table.get(kind, {})
        if not isinstance(globs, dict):
            raise _Wrong((kind,), f'{kind} begins a section, as in [{kind}."web-*"]')
        for glob, values in globs.items():
            if not isinstance(values, dict):
                raise _Wrong((kind, glob), f'{kind} wants a name or a pattern, as in [{kind}."web-*"]')
            yield Section(kind, glob, _values(values, (kind, glob)))


def _values(table: dict[str, Any], within: tuple[str, ...]) -> dict[str, str | bool]:
    return {name: _value(name, value, within) for name, value in table.items()}


def _value(name: str, value: Any, within: tuple[str, ...]) -> str | bool:
    keys_to_it = (*within, name)
    setting = SETTINGS.get(name)
    if setting is None:
        import difflib

        near = difflib.get_close_matches(name, (*SETTINGS, *KINDS), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(SETTINGS)}"
        raise _Wrong(keys_to_it, f"no setting is called {printable(name)}: {hint}")
    if within and setting.everywhere:
        raise _Wrong(keys_to_it, f"{name} is about no container in particular: put it above all sections")
    if type(value) not in setting.kinds or (isinstance(value, list) and not all(type(each) is str for each in value)):
        raise _Wrong(keys_to_it, f"{name} takes {' or '.join(_SPOKEN[kind] for kind in setting.kinds)}")
    if name == "detach_key":
        try:
            keys(value)
        except ValueError as error:
            raise _Wrong(keys_to_it, f"{name}: {error}") from None
    return ",".join(value) if isinstance(value, list) else value


def _line(text: str, keys: tuple[str, ...]) -> int:
    """tomllib doesn't tell, so it is asked of ever more lines until it knows."""
    lines = [f"{each}\n" for each in text.split("\n")]  # TOML knows no other end of a line
    whole = 0  # so many lines are TOML, and don't hold it
    for count in range(1, len(lines) + 1):
        try:
            found: Any = tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue  # in the middle of a value
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if found is not None:
            break
        whole = count
    rest = enumerate(lines[whole:], whole + 1)
    return next((number for number, line in rest if line.strip() and line.strip()[0] != "#"), whole)
