"""Who may come in by `dockshell serve`, decided by a process that nobody outside speaks with.

    ──▶ reception ──fork──▶ server, one for each connection ──asks──▶ admission (one for all) ──▶ steward

The servers read what the network sends before anybody has logged in, so they have no rights (linux/confinement.py):
neither the host key, nor the file of keys, nor a way to the steward. All of them the admission has: it signs the key
exchange, looks at the signature of a login by itself, and only then has the steward make a channel for what that key's
line allows, which it gives to the server. So a server that somebody has taken over gets no further than the network
does. (sshd does the same, by its monitor.)

What a server asks, each a message of JSON whose bytes are characters:

    ["sign", HASH]                 a key exchange's hash, the first of which is the session's id → [SIGNATURE]
    ["knows", KEY]                 may its holder come in → [true] or [false]
    ["in", REQUEST, SIGNATURE]     a login → what it may do, with a descriptor; or [false]
    ["refused", NAME, WHY], ["began", KIND], ["ended", KIND, CODE], ["exhausted", KIND, WHY], ["fault", TEXT]
                                   for the journal, without a reply"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import asyncssh
from asyncssh.public_key import decode_ssh_public_key

from dockshell.bridge import authorized
from dockshell.bridge.allowance import Allowance
from dockshell.bridge.channel import SIGNATURES
from dockshell.bridge.errand import Allowed, pack, unpack
from dockshell.bridge.journal import Bounded, Journal
from dockshell.bridge.steward import Steward
from dockshell.engines.json import decode, encode
from dockshell.errors import DockshellError, Fault, printable
from dockshell.linux import open_files, passing
from dockshell.linux.descriptors import let_go
from dockshell.ssh.keys import fingerprint

__all__ = ["Admission", "Asking", "Visitor"]

_MOST_TRIES = 20  # of keys, each shown and proved
_MOST_EXCHANGES = 4  # before a login
_HASHES = (32, 48, 64)  # bytes of a key exchange's hash: SHA-256 to SHA-512
_MOST_LINES, _LINES = 2000, 20.0  # of the journal that one connection may have at once, and each second
_PATIENCE = 60.0  # seconds for a reply
_USERAUTH_REQUEST = 50  # RFC 4252


class Admission:
    """The admission's process, seen from the reception. public: the host key."""

    def __init__(self, channel: socket.socket, pid: int, public: bytes) -> None:
        self._channel, self._pid, self.public = channel, pid, public
        channel.setblocking(False)

    @classmethod
    def start(cls, keys: str, host_key: Callable[[], str], steward: Steward, journal: Journal, most: int) -> Admission:
        """Forks it. keys: the path of the file of keys; host_key: gives the path of the private host key, and is called
        there; most: how many connections one key may have. The steward is its own from then on. Raises DockshellError
        where it doesn't begin."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                _begin(theirs, keys, host_key, steward, journal, most)
            except Exception as error:
                os.write(2, f"dockshell: {Fault.of(error)}\n".encode())
            finally:
                os._exit(0)
        theirs.close()
        steward.close()
        told = ours.recv(passing.LARGEST)
        if not told:
            raise DockshellError("what decides who comes in ended before it began")
        public, why = decode(told)
        if why:
            raise DockshellError(why)
        return cls(ours, pid, public.encode("latin-1"))

    def fileno(self) -> int:
        """Can be read where there is something in events()."""
        return self._channel.fileno()

    def another(self, number: int, address: str, port: int) -> socket.socket:
        """The channel by which the server of a connection asks; number: of the connection, as in events(). Raises
        OSError where the admission is gone."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            passing.send(self._channel, encode([number, address, port]), [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def dropped(self, number: int, why: str) -> None:
        """That connection is about to be ended, for a reason that its server can't tell."""
        try:
            self._channel.send(encode([number, why]))
        except OSError:
            pass  # then it is told as any other that failed

    def events(self) -> list[tuple[int, str]]:
        """The connections that somebody has logged in by since, each with the key's fingerprint, and those by which
        nobody did until they ended, with an empty one. Raises OSError where the admission is gone."""
        found: list[tuple[int, str]] = []
        while True:
            try:
                told = self._channel.recv(1 << 10)
            except BlockingIOError:
                return found
            if not told:
                raise OSError("what decides who comes in is gone")
            number, key = decode(told)
            found.append((number, key))

    def close(self) -> None:
        """Lets go of it; it ends with the last connection."""
        self._channel.close()

    def wait(self, seconds: float) -> None:
        """Waits so long for its end, after close()."""
        pidfd = os.pidfd_open(self._pid)
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        if poller.poll(seconds * 1000):
            os.waitpid(self._pid, 0)
        os.close(pidfd)


class Asking:
    """The `Gate` of a server, which has everything decided by the admission. channel: from Admission.another()."""

    def __init__(self, channel: socket.socket, public: bytes) -> None:
        channel.settimeout(_PATIENCE)
        self._channel = channel
        self.host_key: asyncssh.SSHKeyPair = _HostKey(public, self._sign)

    def open_to(self, name: str) -> None:
        return None

    def knows(self, key: bytes) -> bool:
        return bool(self._ask("knows", key)[0] == b"[true]")

    def lets_in(self, request: bytes, signature: bytes) -> tuple[Allowed, Steward] | None:
        content, descriptors = self._ask("in", request, signature)
        return (unpack(content, Allowed), Steward.held(descriptors[0])) if descriptors else None

    def refused(self, name: str, why: str) -> None:
        self._tell("refused", name, why)

    def began(self, kind: str) -> None:
        self._tell("began", kind)

    def ended(self, kind: str, code: int | None) -> None:
        self._tell("ended", kind, code)

    def exhausted(self, kind: str, why: str) -> None:
        self._tell("exhausted", kind, why)

    def fault(self, text: str) -> None:
        """Something went wrong here that should not have."""
        self._tell("fault", text[: 4 << 10])

    def _sign(self, data: bytes) -> bytes:
        signature: str = decode(self._ask("sign", data)[0])[0]
        return signature.encode("latin-1")

    def _ask(self, *words: str | bytes) -> tuple[bytes, list[int]]:
        try:
            self._tell(*words)
            content, descriptors = passing.receive(self._channel)
        except OSError:
            content, descriptors = b"", []
        if not content:
            raise asyncssh.ConnectionLost("what decides who comes in is gone")
        return content, descriptors

    def _tell(self, *words: str | bytes | int | None) -> None:
        try:
            self._channel.send(encode([each.decode("latin-1") if isinstance(each, bytes) else each for each in words]))
        except OSError:
            pass  # it is gone, and what waits for a reply sees it


class _HostKey(asyncssh.SSHKeyPair):
    """Our host key, of which somebody else has the private half."""

    _key_type = "asked for"

    def __init__(self, public: bytes, sign: Callable[[bytes], bytes]) -> None:
        kinds = (b"ssh-ed25519",)
        super().__init__(kinds[0], kinds[0], kinds, kinds, public, None)
        self._sign = sign

    def sign(self, data: bytes) -> bytes:
        return self._sign(data)


class Visitor:
    """A connection, as the admission sees it: what its server says is whatever somebody who has taken it over would
    say. sign: the host key's; entries: gives the lines of the file of keys, and raises DockshellError."""

    def __init__(self, address: str, sign: Callable[[bytes], bytes], entries: Callable[[], list[authorized.Entry]]):
        self._address = address
        self._sign = sign
        self._entries = entries
        self._session_id = b""
        self._exchanges = self._tries = 0
        self.entry: authorized.Entry | None = None  # by which they are in

    def sign(self, data: bytes) -> bytes | None:
        """A key exchange's hash → its signature by the host key; None for what is none, or one too many."""
        self._exchanges += 1
        if len(data) not in _HASHES or (self.entry is None and self._exchanges > _MOST_EXCHANGES):
            return None
        self._session_id = self._session_id or data  # RFC 4253, 7.2
        return self._sign(data)

    def knows(self, key: bytes) -> bool:
        """Is that public key one by which they may come in?"""
        return self._entry(key) is not None

    def lets_in(self, request: bytes, signature: bytes) -> Allowed | None:
        """What whoever signed that request may do (RFC 4252, 7), None for nothing. Once they are in they can't be let
        in again."""
        if self.entry is not None or not self._session_id:
            return None
        try:
            name, algorithm, key = _login(request)
            (signed_by,) = _strings(signature, 1)
        except ValueError:
            return None
        entry = self._entry(key)
        if entry is None or algorithm not in SIGNATURES or signed_by.decode("latin-1") != algorithm:
            return None
        try:
            public = decode_ssh_public_key(key)
            public.set_touch_required(True)  # what a security key signed without it is none of ours
            session_id = len(self._session_id).to_bytes(4, "big") + self._session_id
            if not public.verify(session_id + request, signature):
                return None
        except (asyncssh.Error, ValueError):
            return None
        self.entry = entry
        return Allowed(
            target=name,
            user=entry.user,
            admitted=entry.containers,
            line=entry.command,
            forwarding=entry.forwarding,
            agent=entry.agent,
            terminals=entry.pty,
            key=fingerprint(key),
        )

    def _entry(self, key: bytes) -> authorized.Entry | None:
        self._tries += 1
        if self._tries > _MOST_TRIES:
            return None
        now = time.time()
        return next((each for each in self._entries() if each.blob == key and each.valid(self._address, now)), None)


def _login(request: bytes) -> tuple[str, str, bytes]:
    """An SSH_MSG_USERAUTH_REQUEST with a signature, but without that (RFC 4252, 7) → the name, the signature's
    algorithm, the key. Raises ValueError for anything else."""
    name, service, method = _strings(request[1:], 3)
    at = 1 + sum(4 + len(each) for each in (name, service, method))
    algorithm, key = _strings(request[at + 1 :], 2)
    whole = bytes([_USERAUTH_REQUEST])
    whole += b"".join(map(_string, (name, b"ssh-connection", b"publickey"))) + b"\1"
    if request != whole + _string(algorithm) + _string(key):
        raise ValueError("no request to log in by a key")
    return name.decode("utf-8"), algorithm.decode("latin-1"), key


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _strings(content: bytes, count: int) -> list[bytes]:
    """The first strings (RFC 4251, 5). Raises ValueError where there are fewer."""
    found = []
    for _ in range(count):
        length = int.from_bytes(content[:4], "big")
        if len(content) < 4 + length:
            raise ValueError("it is cut")
        found.append(content[4 : 4 + length])
        content = content[4 + length :]
    return found


def _begin(
    channel: socket.socket, keys: str, host_key: Callable[[], str], steward: Steward, journal: Journal, most: int
) -> None:
    """In the admission's process."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with the last of the others
    let_go({2, channel.fileno(), steward.fileno(), journal.descriptor})
    open_files.raise_limit()
    try:
        key = asyncssh.read_private_key(host_key())
    except (DockshellError, OSError, asyncssh.KeyImportError) as error:
        channel.send(encode(["", str(error)]))
        return
    channel.send(encode([key.public_data.decode("latin-1"), ""]))
    _Office(channel, key, authorized.Reader(keys), steward, journal, most).run()


class _Office:
    """The admission's own process."""

    def __init__(
        self,
        channel: socket.socket,
        key: asyncssh.SSHKey,
        keys: authorized.Reader,
        steward: Steward,
        journal: Journal,
        most: int,
    ) -> None:
        self._channel, self._key, self._keys = channel, key, keys
        self._steward, self._journal, self._most = steward, journal, most
        self._counters: dict[int, _Counter] = {}
        self._poller = select.poll()

    def run(self) -> None:
        """Until the reception is gone, and the last connection; or the steward."""
        for each in (self._channel, self._steward):
            self._poller.register(each.fileno(), select.POLLIN)
        while self._channel.fileno() >= 0 or self._counters:
            for number, _ in self._poller.poll():
                if number == self._channel.fileno():
                    self._welcome()
                elif number == self._steward.fileno():
                    return  # nobody can get in any more: whoever runs us is to start anew
                elif number in self._counters:
                    self._serve(number, self._counters[number])

    def _welcome(self) -> None:
        try:
            content, descriptors = passing.receive(self._channel)
        except OSError as error:
            if error.errno in open_files.EXHAUSTED:
                return  # the server sees the end of its channel
            content, descriptors = b"", []
        if not content:
            self._poller.unregister(self._channel)
            self._channel.close()
        elif not descriptors:
            dropped, why = decode(content)
            for each in self._counters.values():
                if each.number == dropped:
                    each.why = why
        else:
            number, address, port = decode(content)
            channel = socket.socket(fileno=descriptors[0])
            channel.setblocking(False)
            visitor = Visitor(address, lambda data: self._key.sign(data, self._key.algorithm), self._keys.entries)
            journal = self._journal.about(connection=number, peer=f"{address}:{port}")
            self._counters[channel.fileno()] = _Counter(number, channel, visitor, journal)
            self._poller.register(channel.fileno(), select.POLLIN)

    def _serve(self, descriptor: int, counter: _Counter) -> None:
        try:
            content, given = passing.receive(counter.channel)
        except BlockingIOError:
            return
        except OSError:
            content, given = b"", []
        for each in given:
            os.close(each)
        try:
            words = decode(content) if content else []
            handled = bool(words) and self._answer(counter, words)
        except Exception as error:  # whatever was made of what it sent: it is that one's alone
            known = isinstance(error, DockshellError)
            counter.why = counter.why or (str(error) if known else "its server sent what makes no sense")
            handled = False
        if not handled:
            self._leave(descriptor, counter)

    def _answer(self, counter: _Counter, words: list[Any]) -> bool:
        """→ was that anything that is asked? Raises what the caller catches."""
        kind, *rest = words
        visitor = counter.visitor
        if kind == "sign":
            signature = visitor.sign(rest[0].encode("latin-1"))
            if signature is None:
                return False
            counter.channel.send(encode([signature.decode("latin-1")]))
        elif kind == "knows":
            counter.channel.send(encode([visitor.knows(rest[0].encode("latin-1"))]))
        elif kind == "in":
            self._admit(counter, *(each.encode("latin-1") for each in rest))
        elif visitor.entry is None:
            if kind != "refused":
                return False
            counter.name, counter.why = (str(each) for each in rest)
        elif kind == "began":
            counter.lines.tell(counter.journal, "session", kind=str(rest[0]))
        elif kind == "ended":
            code = None if rest[1] is None else int(rest[1])
            counter.lines.tell(counter.journal, "end", kind=str(rest[0]), code=code)
        elif kind == "exhausted":
            counter.lines.tell(counter.journal, "refusal", kind=str(rest[0]), why=str(rest[1]))
        elif kind == "fault" and counter.faults.take():
            os.write(2, f"dockshell: {printable(str(rest[0]))[: 4 << 10]}\n".encode())
        return True

    def _admit(self, counter: _Counter, request: bytes, signature: bytes) -> None:
        allowed = counter.visitor.lets_in(request, signature)
        if allowed is None:
            counter.channel.send(encode([False]))
            return
        entry = counter.visitor.entry
        assert entry
        if sum(each.key == allowed.key for each in self._counters.values()) >= self._most:
            counter.visitor.entry = None
            raise DockshellError(f"{self._most} connections with one key are enough")
        counter.key = allowed.key
        handle = self._steward.another(allowed)
        passing.send(counter.channel, pack(allowed), [handle.fileno()])
        handle.close()
        counter.journal = counter.journal.about(target=allowed.target)
        counter.journal.tell("login", key=allowed.key, comment=entry.comment)
        self._report(counter.number, allowed.key)

    def _leave(self, descriptor: int, counter: _Counter) -> None:
        self._poller.unregister(descriptor)
        del self._counters[descriptor]
        counter.channel.close()
        if counter.visitor.entry is None:
            why = counter.why or "it hung up"
            counter.journal.tell("refusal", target=counter.name or None, why=why)
            self._report(counter.number, "")
        elif counter.why:
            counter.journal.tell("refusal", why=counter.why)
        counter.journal.tell("disconnect")

    def _report(self, number: int, key: str) -> None:
        try:
            self._channel.send(encode([number, key]))
        except OSError:
            pass  # the reception is gone


class _Counter:
    """A connection's place in the office. key: the fingerprint of the key by which they are in; name, why: whom and
    why it isn't; lines, faults: what may be written of it in the journal and on stderr."""

    def __init__(self, number: int, channel: socket.socket, visitor: Visitor, journal: Journal) -> None:
        self.number, self.channel, self.visitor, self.journal = number, channel, visitor, journal
        self.lines, self.faults = Bounded(_MOST_LINES, _LINES), Allowance(10, 0.1)
        self.key = self.name = self.why = ""
