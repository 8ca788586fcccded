"""Who may come in by `dockshell serve`: a file of public keys in OpenSSH's own format (sshd(8), AUTHORIZED_KEYS FILE
FORMAT), with options that say where to and as whom.

    # comment
    ssh-ed25519 AAAA… ann@laptop
    container="web,api-*,!api-secret",user="app" ssh-ed25519 AAAA… bob@desk
    restrict,command="/srv/deploy",container="shop-*",from="10.0.0.0/8",expiry-time="20301231Z" ssh-rsa AAAA… ci

    container="GLOBS"        the containers, by name: `*`, `?`, a `!` in front for those that are left out after all
    user="USER"              the user inside, as -u has it (the container's own)
    command="LINE"           what runs, whatever is asked for; that comes as SSH_ORIGINAL_COMMAND
    no-forwarding            no ports, no Unix sockets, no agent
    from="PATTERNS"          the client's address: addresses, networks (10.0.0.0/8), globs, a `!` in front
    expiry-time="TIME"       YYYYMMDD[HHMM[SS]], in the local time zone or with a Z in UTC: from then on it's over
    no-port-forwarding, no-agent-forwarding, no-pty, restrict, port-forwarding, agent-forwarding, pty,
    no-X11-forwarding, no-user-rc                as sshd has them

A line that isn't understood to its end lets nobody in, for what wasn't understood may have been a limit."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
import re
import stat
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from dockshell.errors import DockshellError, printable
from dockshell.model import noun, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["NOBODY", "Entry", "Reader", "admits", "complaints", "parse"]

_LARGEST = 1 << 20  # bytes of the file
_LEAST_RSA = 2048  # bits
_MOST_RSA = 16384  # bits, as OpenSSH has it: a larger one would only cost time
_CURVES = {"nistp256": 32, "nistp384": 48, "nistp521": 66}  # the bytes of a coordinate
_KINDS = (
    "ssh-ed25519",
    "ssh-rsa",
    *(f"ecdsa-sha2-{curve}" for curve in _CURVES),
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_OTHER_KINDS = re.compile(r"ssh-dss|ssh-ed448|.*-cert-v0[01]@openssh\.com|(sk-)?(ssh|ecdsa)-\S*")
# A quote within a value has a backslash before it, which means nothing before anything else; so sshd reads it too.
_OPTION = re.compile(rb'([A-Za-z0-9-]+)(?:="((?:\\"|[^"])*+)")?')
_GLOB = re.compile(r"!?[\w.*?-]+", re.ASCII)
_ADDRESSES = re.compile(r"[0-9a-f.:*?]+")
_USER = re.compile(r"\w[\w.-]*\$?(?::\w[\w.-]*\$?)?", re.ASCII)
_TIME = re.compile(r"([0-9]{8})([0-9]{4}(?:[0-9]{2})?)?(Z?)")
_IGNORED = ("no-x11-forwarding", "no-user-rc")  # for there is neither
_REASONS = {
    "container": 'takes globs of names, with at least one that isn\'t left out: container="web,api-*"',
    "user": 'takes a NAME or UID, and :GROUP if need be: user="app"',
    "command": "takes a line to run, and not an empty one",
    "from": 'takes addresses, networks and globs of addresses, no names: from="10.0.0.0/8"',
    "expiry-time": "takes YYYYMMDD[HHMM[SS]][Z]",
}


class _NotUnderstood(Exception):
    """Why a line lets nobody in."""


@noun(frozen=True)
class Entry:
    """A line of the file. kind and blob: the key (RFC 4253, 6.6). containers: globs, empty for any; user: as -u has it,
    empty for the container's own; command: the only one, None for any. forwarding: ports and Unix sockets. sources:
    patterns of the client's address, empty for any. expires: seconds since 1970, None for never. comment: what the file
    says of whose key it is. line: its number in the file."""

    kind: str
    blob: bytes
    containers: tuple[str, ...] = ()
    user: str = ""
    command: bytes | None = None
    forwarding: bool = True
    agent: bool = True
    pty: bool = True
    sources: tuple[str, ...] = ()
    expires: float | None = None
    comment: str = ""
    line: int = 0

    def admits(self, container_name: str) -> bool:
        """May its holder enter the container of that name?"""
        return admits(self.containers, container_name)

    def comes_from(self, address: str) -> bool:
        """May its holder come from that address? One that isn't written as an address is none to come from, unless any
        will do."""
        if not self.sources:
            return True
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])  # what follows is the interface: RFC 4007, 11
        except ValueError:
            return False
        known = getattr(parsed, "ipv4_mapped", None) or parsed
        return _chosen(str(known), self.sources, _is_source)

    def valid(self, address: str, now: float) -> bool:
        """Does it let its holder in from that address, at that time (seconds since 1970)?"""
        return self.comes_from(address) and (self.expires is None or now < self.expires)


NOBODY = Entry("", b"")


def admits(containers: tuple[str, ...], name: str) -> bool:
    """Do the globs, none of them for any container, let anybody into the one of that name?"""
    return not containers or _chosen(name, containers, fnmatchcase)


class Reader:
    """A file of keys, read anew each time; its lines are taken apart where they have changed since."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._content = b""
        self._entries: list[Entry] = []

    def entries(self) -> list[Entry]:
        """The lines that are understood. Raises DockshellError where the file can't be read, or others than root and us
        could write it (what sshd calls StrictModes)."""
        content = _content(self._path)
        if content != self._content:
            self._content, self._entries = content, parse(content)[0]
        return self._entries


def complaints(path: str) -> list[str]:
    """A sentence about each line of the file that isn't understood. Raises as Reader does."""
    return [
        f"{printable(path)}, line {number}: {reason}; this line lets nobody in"
        for number, reason in parse(_content(path))[1]
    ]


def parse(content: bytes) -> tuple[list[Entry], list[tuple[int, str]]]:
    """The file's content → its entries in order, and (line number, why) for each line that isn't understood."""
    entries, reasons = [], []
    for number, raw in enumerate(content.split(b"\n"), 1):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        try:
            entries.append(replace(_entry(line), line=number))
        except _NotUnderstood as why:
            reasons.append((number, str(why)))
    return entries, reasons


def _entry(line: bytes) -> Entry:
    if b"\0" in line:
        raise _NotUnderstood("it holds a NUL")
    first = line.split(None, 1)[0].decode("latin-1")
    options: dict[str, bytes | None] = {}
    if first not in _KINDS:
        if _OTHER_KINDS.fullmatch(first):
            raise _NotUnderstood(f"{printable(first)} is no kind of key that is taken: {', '.join(_KINDS)} are")
        options, line = _options(line)
    fields = line.split(None, 2)
    if len(fields) < 2:
        raise _NotUnderstood("there is no key in it: TYPE BASE64 is what follows the options")
    kind = fields[0].decode("latin-1")
    if kind not in _KINDS:
        raise _NotUnderstood(f"{printable(kind)} is no kind of key that is taken: {', '.join(_KINDS)} are")
    comment = fields[2].decode("utf-8", "replace") if len(fields) > 2 else ""
    return replace(_restricted(options), kind=kind, blob=_blob(kind, fields[1]), comment=comment)


def _options(line: bytes) -> tuple[dict[str, bytes | None], bytes]:
    """A line that begins with options → them, by their names in small letters and in order, and the rest."""
    found: dict[str, bytes | None] = {}
    at = 0
    while True:
        match = _OPTION.match(line, at)
        if match is None:
            raise _NotUnderstood(f"no option can be made of {printable(line[at:][:40].decode('latin-1'))!r}")
        name, value = match[1].decode("ascii").lower(), match[2]
        if name in found:
            raise _NotUnderstood(f"{name} is there twice")
        found[name] = None if value is None else value.replace(b'\\"', b'"')
        at = match.end()
        following = line[at : at + 1]
        if following in (b" ", b"\t"):
            return found, line[at:].lstrip(b" \t")
        if following != b",":
            raise _NotUnderstood(f"there is neither a comma nor a blank behind the option {name}")
        at += 1


def _restricted(options: dict[str, bytes | None]) -> Entry:
    """An entry, yet without a key, with what the options say."""
    entry = NOBODY
    barred: set[str] = set()
    for name, value in options.items():
        if name in _REASONS:
            try:
                entry = _valued(entry, name, value)
            except (ValueError, OverflowError, OSError):
                raise _NotUnderstood(f"{name} {_REASONS[name]}") from None
            continue
        if value is not None:
            raise _NotUnderstood(f"{name} is no option that takes a value")
        if name in _IGNORED:
            continue
        fields = _SWITCHES.get(name)
        if fields is None:
            raise _NotUnderstood(f"{name} is no option that is known")
        on = name in _LIFTING
        if not on and name != "restrict":
            barred.update(fields)
        # What is barred stays so, whatever stands behind it; `restrict` can be lifted in part (sshd(8)).
        switched: dict[str, Any] = {field: on for field in fields if not (on and field in barred)}
        entry = replace(entry, **switched)
    return entry


_LIFTING = {"port-forwarding", "agent-forwarding", "pty"}
_SWITCHES = {
    "restrict": ("forwarding", "agent", "pty"),
    "no-forwarding": ("forwarding", "agent"),
    "no-port-forwarding": ("forwarding",),
    "port-forwarding": ("forwarding",),
    "no-agent-forwarding": ("agent",),
    "agent-forwarding": ("agent",),
    "no-pty": ("pty",),
    "pty": ("pty",),
}


def _valued(entry: Entry, name: str, value: bytes | None) -> Entry:
    """Raises ValueError, OverflowError, OSError for a value that makes no sense."""
    if not value:
        raise ValueError
    if name == "command":
        return replace(entry, command=value)
    text = value.decode("ascii")
    if name == "container":
        return replace(entry, containers=_patterns(text, _GLOB))
    if name == "user":
        if not _USER.fullmatch(text):
            raise ValueError
        return replace(entry, user=text)
    if name == "from":
        return replace(entry, sources=tuple(_source(each) for each in _patterns(text.lower())))
    return replace(entry, expires=_moment(text))


def _patterns(text: str, form: re.Pattern[str] = re.compile(r"!?[^!\s]+")) -> tuple[str, ...]:
    """Patterns with commas between. A list in which each is left out would mean nobody, which nobody would write down.
    Raises ValueError."""
    patterns = tuple(each.strip(" ") for each in text.split(","))
    if not all(form.fullmatch(each) for each in patterns) or all(each.startswith("!") for each in patterns):
        raise ValueError
    return patterns


def _source(pattern: str) -> str:
    """An address or network in its usual spelling, a glob as it is. Raises ValueError for anything else: a name would
    have to be looked up, by whoever answers for it."""
    before, what = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
    if "/" in what:
        return before + str(ipaddress.ip_network(what))  # a network with bits beyond its mask is refused, as by sshd
    if "*" in what or "?" in what:
        if not _ADDRESSES.fullmatch(what):
            raise ValueError
        return before + what
    return before + str(ipaddress.ip_address(what))


def _is_source(address: str, pattern: str) -> bool:
    if "/" in pattern:
        return ipaddress.ip_address(address) in ipaddress.ip_network(pattern)
    return fnmatchcase(address, pattern)


def _chosen(word: str, patterns: tuple[str, ...], fits: Callable[[str, str], bool]) -> bool:
    """Does a pattern fit, and none of those with a `!`?"""
    if any(each.startswith("!") and fits(word, each[1:]) for each in patterns):
        return False
    return any(not each.startswith("!") and fits(word, each) for each in patterns)


def _moment(text: str) -> float:
    match = _TIME.fullmatch(text)
    if not match:
        raise ValueError
    digits = match[1] + (match[2] or "").ljust(6, "0")
    moment = datetime.strptime(digits, "%Y%m%d%H%M%S")
    return (moment.replace(tzinfo=UTC) if match[3] else moment).timestamp()


def _blob(kind: str, encoded: bytes) -> bytes:
    """The key itself, looked at as closely as can be without calculating."""
    try:
        blob = base64.b64decode(encoded, validate=True)
        parts = list(_strings(blob))
    except (binascii.Error, ValueError):
        raise _NotUnderstood(f"the {kind} key is damaged") from None
    if len(parts) < 2 or parts[0] != kind.encode() or not _fits(kind, parts[1:]):
        raise _NotUnderstood(f"the {kind} key is damaged, or of another kind")
    if kind == "ssh-rsa":
        bits = int.from_bytes(parts[2], "big").bit_length()
        if not _LEAST_RSA <= bits <= _MOST_RSA:
            raise _NotUnderstood(f"an ssh-rsa key of {bits} bits is not taken: {_LEAST_RSA} are the least")
    return blob


def _strings(blob: bytes) -> Iterator[bytes]:
    """The strings of which a key consists (RFC 4251, 5). Raises ValueError where the last is cut."""
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            raise ValueError
        yield blob[4 : 4 + length]
        blob = blob[4 + length :]


def _fits(kind: str, parts: list[bytes]) -> bool:
    """RFC 8709, 4; RFC 5656, 3.1; RFC 4253, 6.6; openssh's PROTOCOL.u2f."""
    lengths = [len(part) for part in parts]
    if kind == "ssh-rsa":
        return len(parts) == 2 and all(_positive(part) for part in parts)
    if kind == "ssh-ed25519":
        return lengths == [32]
    if kind == "sk-ssh-ed25519@openssh.com":
        return len(parts) == 2 and lengths[0] == 32
    curve = parts[0].decode("latin-1")
    if curve not in _CURVES or f"ecdsa-sha2-{curve}" != kind.removeprefix("sk-").removesuffix("@openssh.com"):
        return False
    count = 3 if kind.startswith("sk-") else 2
    return len(parts) == count and lengths[1] == 1 + 2 * _CURVES[curve] and parts[1][0] == 4


def _positive(number: bytes) -> bool:
    """Is it an mpint above 0 in its shortest form (RFC 4251, 5)? In another, the same key would be another blob."""
    return bool(number.lstrip(b"\0")) and number[0] < 0x80 and not (number[0] == 0 and number[1] < 0x80)


def _content(path: str) -> bytes:
    shown = printable(path)
    try:
        # Not to wait where it is a FIFO.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise DockshellError(f"{shown} is no file: give one with public keys with --authorized-keys")
            if _others_write(facts):
                raise DockshellError(f"others could write {shown}: `chmod go-w` it, and see that it is yours or root's")
            if above := _open_above(path):
                raise DockshellError(f"others could put another {shown} in its place: `chmod go-w {printable(above)}`")
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise DockshellError(
            f"{shown}, who may come in, can't be read ({error.strerror}): name another with --authorized-keys"
        ) from None
    if len(content) > _LARGEST:
        raise DockshellError(f"{shown} is larger than {_LARGEST >> 20} MiB: is it a file of public keys?")
    return content


def _open_above(path: str) -> str:
    """The first directory on the way to the file, with and without links on it, in which others could exchange what is
    there; empty for none."""
    for way in dict.fromkeys((os.path.abspath(path), os.path.realpath(path))):
        while way != "/":
            way = os.path.dirname(way)
            facts = os.stat(way)
            # In a directory like /tmp only a thing's owner can take it away: inode(7), sticky.
            if _others_write(facts) and not facts.st_mode & stat.S_ISVTX:
                return way
    return ""


def _others_write(facts: os.stat_result) -> bool:
    return facts.st_uid not in (0, os.geteuid()) or bool(stat.S_IMODE(facts.st_mode) & 0o022)
