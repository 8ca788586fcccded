"""Files that somebody else wrote."""

from __future__ import annotations

import codecs
import json
import os
import tempfile
from typing import Any, cast

from dockshell import identity
from dockshell.bridge import authorized, names
from dockshell.config import file as config_file
from dockshell.errors import UsageError, UserError
from dockshell.model import Command, Container, Size
from dockshell.recording import Recording, Tape
from dockshell.ssh import authorized as ssh_authorized
from dockshell.voice import Voice

__all__ = ["asciicast", "authorized_keys", "config", "passwd", "resolv_conf"]

_PLACE = tempfile.TemporaryDirectory(prefix="dockshell-fuzz-")


def authorized_keys(data: bytes) -> None:
    """What `serve` lets in by, and what an sshd inside does: nothing is raised, and a line is either an entry or has a
    reason that can be printed."""
    entries, reasons = authorized.parse(data)
    numbers = [each.line for each in entries] + [number for number, _ in reasons]
    assert len(set(numbers)) == len(numbers) <= data.count(b"\n") + 1
    assert all(reason.isprintable() for _, reason in reasons)
    for each in entries:
        assert each.kind and each.blob and each.valid("192.0.2.1", 0.0) in (True, False)
        assert each.comes_from("2001:db8::1%eth0") in (True, False) and each.admits("web") in (True, False)
    assert all(ssh_authorized.parse(data))


def passwd(data: bytes) -> None:
    """A line as -u has it, and then a passwd and a group, with a NUL between: who that is, in numbers that setuid(2)
    takes, or UserError."""
    words, _, files = data.partition(b"\n")
    users, _, groups = files.partition(b"\0")
    try:
        found = identity.resolve(os.fsdecode(words), users, groups, ("staff", "7"))
    except UserError as error:
        assert str(error).isprintable()
    else:
        assert all(0 <= number < (1 << 32) - 1 for number in (found.uid, found.gid, *found.groups))
        assert found.groups[0] == found.gid and found.home
        assert not set(found.name + found.home + found.shell) & set(":\n")
    for content in (users, groups):
        assert all(0 <= number < (1 << 32) - 1 and name for number, name in identity.names(content).items())


class _Inside:
    """The engine and the `Files` of a container that has these."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self._contents = contents

    def files(self, container: Container) -> _Inside:
        return self

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        return self._contents.get(path)


def resolv_conf(data: bytes) -> None:
    """A resolv.conf, a hosts and a hostname, with a NUL between each: within all bounds, and nothing is raised."""
    contents = dict(zip(("/etc/resolv.conf", "/etc/hosts", "/etc/hostname"), data.split(b"\0"), strict=False))
    found = names.Names(Container(id="x", name="web", engine=cast(Any, _Inside(contents))))
    conf = found._conf
    assert 1 <= len(conf.servers) <= 3 and all(map(names.is_address, conf.servers))
    assert len(conf.domains) <= 32 and len(" ".join(conf.domains)) <= 2048
    assert conf.ndots <= 15 and 1 <= conf.timeout <= 5 and 1 <= conf.attempts <= 5
    assert all(map(names.is_address, found._in_hosts("web")))
    assert "web.example" in conf.candidates("web.example")
    found._resolver()


def config(data: bytes) -> None:
    """The config file: sections, whose values are of the kinds that settings have, or UsageError."""
    path = os.path.join(_PLACE.name, "config.toml")
    with open(path, "wb") as file:
        file.write(data)
    try:
        sections = config_file.read(path)
    except UsageError as error:
        assert str(error).isprintable()
        return
    for each in sections:
        for name, value in each.values.items():
            assert name in config_file.SETTINGS and type(value) in (str, bool)
            config_file.line(path, (*((each.kind, each.glob) if each.kind in config_file.KINDS else ()), name))


def asciicast(data: bytes) -> None:
    """What is written of a session, which comes in pieces of a byte's length: lines of JSON, that have the same text in
    them. It is not read anywhere."""
    size, data = (data[0] or 1 if data else 1), data[1:]
    path = os.path.join(_PLACE.name, "recording.cast")
    if os.path.exists(path):
        os.unlink(path)
    container = Container(id="x", name=data[:9].decode("utf-8", "surrogateescape"), engine=cast(Any, None))
    tape = Tape(Recording(path, input=True), container, Command(terminal=Size(80, 24)), Voice())
    for at in range(0, len(data), size):
        tape.output(data[at : at + size])
        tape.typed(data[at : at + size])
        tape.resized(Size(size, at & 0xFFFF))
    tape.close()
    with open(path, "rb") as file:
        head, *events = (json.loads(line) for line in file.read().removesuffix(b"\n").split(b"\n"))
    assert head["version"] == 2
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(data)
    for kind in "oi":
        assert "".join(said for _, each, said in events if each == kind) == text
    assert [when for when, _, _ in events] == sorted(when for when, _, _ in events)
