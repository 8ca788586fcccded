"""Docker's API on a local unix socket, spoken directly.

Why not the SDK: its import takes 230 ms, a whole `docker exec` 70. Asked by HTTP/1.0, an engine answers once,
unchunked, and closes; so the part of the API that dockshell needs is this one file. `_socket` is the C half of
`socket`, whose other half (enum, selectors) the hot path does without."""

from __future__ import annotations

import errno
import os
import sys
from _socket import AF_UNIX, MSG_PEEK, SOCK_STREAM, SOL_SOCKET, socket

from dockshell.engines.json import decode, encode
from dockshell.engines.where import additions
from dockshell.errors import EngineError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from dockshell.model import Size

__all__ = ["LocalApi", "parse_head", "quote", "request_head"]

_TIMEOUT = 60.0  # seconds for an engine that is alive but stuck to answer a request
_LARGEST_HEAD = 64 << 10
_LARGEST_ANSWER = 256 << 20


class LocalApi:
    """The `Api` of the engine that listens on a unix socket. path: the socket's. patience: seconds that the engine may
    take to answer a request, 0 for the usual ones. Raises EngineError for what additions() refuses."""

    local = True
    owner = 0

    def __init__(self, path: str, patience: float = 0) -> None:
        self.path = path
        self._patience = patience
        self.address = f"unix://{path}"
        self._server = ""
        self._prefix, self._headers = additions()

    def anew(self, patience: float = 0) -> LocalApi:
        return LocalApi(self.path, patience) if patience else self  # each request has a connection of its own

    def server(self) -> str:
        if not self._server:
            self._answer("GET", "/_ping")
        return self._server

    def containers(
        self, *, everything: bool = False, limit: int = 0, filters: Mapping[str, list[str]] | None = None
    ) -> list[dict[str, Any]]:
        query = f"/containers/json?all={int(everything)}"
        if limit:
            query += f"&limit={limit}"
        if filters:
            query += "&filters=" + quote(encode(filters).decode())
        listing = self.ask("GET", query)
        if not isinstance(listing, list):
            raise self._nonsense("no list")
        return listing

    def inspect(self, name: str) -> dict[str, Any]:
        return self._object("GET", f"/containers/{quote(name)}/json")

    def exec_create(self, container: str, body: Mapping[str, Any]) -> str:
        made = self._object("POST", f"/containers/{quote(container)}/exec", body).get("Id")
        if not isinstance(made, str):
            raise self._nonsense("no id")
        return made

    def exec_start(self, exec_id: str, *, terminal: bool) -> socket:
        return self._taken_over(f"/exec/{quote(exec_id)}/start", {"Detach": False, "Tty": terminal})

    def attach(self, container: str) -> socket:
        return self._taken_over(f"/containers/{quote(container)}/attach?stream=1&stdin=1&stdout=1")

    def _taken_over(self, path: str, body: Mapping[str, Any] | None = None) -> socket:
        """A POST whose connection turns into a raw stream."""
        connection = self._request("POST", path, body, upgrade=True)
        try:
            status, fields = self._head(connection)
            if status not in (101, 200):
                # Asked by HTTP/1.1, an engine that refuses tells how long its answer is, and keeps the connection open.
                length = fields.get("content-length", "")
                limit = min(int(length), _LARGEST_HEAD) if length.isascii() and length.isdigit() else 0
                raise self._failure(status, _rest(connection, limit))
            connection.setblocking(False)
        except OSError as error:
            connection.close()
            raise EngineError(unreachable(self.path, error)) from error
        except EngineError:
            connection.close()
            raise
        return connection

    def exec_detached(self, exec_id: str) -> None:
        self._answer("POST", f"/exec/{quote(exec_id)}/start", {"Detach": True, "Tty": False})

    def exec_inspect(self, exec_id: str) -> dict[str, Any]:
        return self._object("GET", f"/exec/{quote(exec_id)}/json")

    def exec_resize(self, exec_id: str, size: Size) -> None:
        self._answer("POST", f"/exec/{quote(exec_id)}/resize?h={size.rows}&w={size.columns}")

    def path_stat(self, container: str, path: str) -> str:
        try:
            fields, _ = self._exchange("HEAD", f"/containers/{quote(container)}/archive?path={quote(path)}")
        except EngineError as error:
            if error.status == 404:
                return ""
            raise
        return fields.get("x-docker-container-path-stat", "")

    def archive(self, container: str, path: str, limit: int) -> bytes | None:
        try:
            return self._answer("GET", f"/containers/{quote(container)}/archive?path={quote(path)}", limit=limit)
        except EngineError as error:
            if error.status == 404:
                return None
            raise

    def download(self, container: str, path: str) -> LocalDownload | None:
        connection = self._request("GET", f"/containers/{quote(container)}/archive?path={quote(path)}")
        try:
            status, _ = self._head(connection)
            if status < 400:
                return LocalDownload(connection, self.address)
            content = _rest(connection, _LARGEST_HEAD)
        except OSError as error:
            connection.close()
            raise _stopped(self.address, error) from error
        except EngineError:
            connection.close()
            raise
        connection.close()
        if status == 404:
            return None
        raise self._failure(status, content)

    def upload(self, container: str, path: str, tar: Iterable[bytes], size: int) -> None:
        query = f"/containers/{quote(container)}/archive?noOverwriteDirNonDir=1&path={quote(path)}"
        connection = self._request("PUT", query, tar=size)
        try:
            try:
                for piece in tar:
                    if size < 0:
                        connection.sendall(b"%x\r\n" % len(piece))
                    connection.sendall(piece)
                    if size < 0:
                        connection.sendall(b"\r\n")
                if size < 0:
                    connection.sendall(b"0\r\n\r\n")
            except ConnectionError:
                pass  # it has refused before it had read all; its answer says why
            status, _ = self._head(connection)
            try:
                content = _rest(connection, _LARGEST_HEAD)
            except ConnectionResetError:
                content = b""  # that is what is left of an answer by who leaves the tar's rest unread
        except OSError as error:
            raise _stopped(self.address, error) from error
        finally:
            connection.close()
        if status >= 400:
            raise self._failure(status, content)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._answer(method, path, body)
            return decode(answer) if answer.strip() else None
        except ValueError as error:
            raise self._nonsense(f"no JSON ({error})") from None

    def _object(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        answer = self.ask(method, path, body)
        if not isinstance(answer, dict):
            raise self._nonsense("no object")
        return answer

    def _nonsense(self, sent: str) -> EngineError:
        return EngineError(f"the engine at {self.address} sent {sent}: is it a container engine?")

    def _answer(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, limit: int = _LARGEST_ANSWER
    ) -> bytes:
        """The body of the answer, cut after `limit` bytes; EngineError for a status of 400 and above."""
        return self._exchange(method, path, body, limit)[1]

    def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, limit: int = _LARGEST_ANSWER
    ) -> tuple[dict[str, str], bytes]:
        """The fields of the answer's head too."""
        connection = self._request(method, path, body)
        try:
            status, fields = self._head(connection)
            content = _rest(connection, limit)
        except OSError as error:
            raise _stopped(self.address, error) from error
        finally:
            connection.close()
        if status >= 400:
            raise self._failure(status, content)
        return fields, content

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, upgrade: bool = False, tar: int = 0
    ) -> socket:
        """Sends a request; for one with a tar of that many bytes, all but the tar, which comes in chunks (RFC 9112,
        7.1) where its size is -1."""
        content = b"" if body is None else encode(body)
        prefix = "" if path == "/_ping" else self._prefix
        lines = [f"{method} {prefix}{path} HTTP/1.{int(upgrade or tar < 0)}", "Host: docker"]
        length = f"Content-Length: {tar or len(content)}"
        lines += ["Transfer-Encoding: chunked", "Connection: close"] if tar < 0 else [length]
        if body is not None or tar:
            lines.append(f"Content-Type: application/{'x-tar' if tar else 'json'}")
        if upgrade:
            lines += ["Connection: Upgrade", "Upgrade: tcp"]
        connection = socket(AF_UNIX, SOCK_STREAM)
        try:
            connection.settimeout(self._patience or _TIMEOUT)
            connection.connect(self.path)
            if sys.platform == "linux":  # elsewhere containers run on another kernel
                from _socket import SO_PEERCRED

                # struct ucred of who called listen(2): pid, uid, gid; socket(7).
                self.owner = int.from_bytes(connection.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)[4:8], sys.byteorder)
            connection.sendall(request_head(lines, self._headers) + content)
        except OSError as error:
            connection.close()
            raise EngineError(unreachable(self.path, error)) from error
        return connection

    def _head(self, connection: socket) -> tuple[int, dict[str, str]]:
        """Reads the answer's head and not a byte more: what follows belongs to whoever reads next."""
        head = b""
        while (end := head.find(b"\r\n\r\n")) < 0:
            piece = connection.recv(_LARGEST_HEAD, MSG_PEEK)
            if not piece or len(head) > _LARGEST_HEAD:
                raise EngineError(f"the engine at {self.address} did not answer in HTTP: is it a container engine?")
            whole = (head + piece).find(b"\r\n\r\n")
            head += connection.recv(len(piece) if whole < 0 else whole + 4 - len(head))
        status, fields = parse_head(head[:end])
        if status == 0:
            raise EngineError(f"the engine at {self.address} did not answer in HTTP: is it a container engine?")
        self._server = self._server or ("podman" if fields.get("server", "").startswith("Libpod") else "docker")
        return status, fields

    def _failure(self, status: int, content: bytes) -> EngineError:
        try:
            text = str(decode(content)["message"])
        except (ValueError, KeyError, TypeError):
            text = content[:200].decode("utf-8", "replace").strip() or f"HTTP status {status}"
        return EngineError(f"the engine at {self.address} refused: {printable(text)}", status)


class LocalDownload:
    """The `Download` of a connection whose answer's head was read."""

    def __init__(self, connection: socket, address: str) -> None:
        self._connection = connection
        self._address = address

    def read(self, size: int, /) -> bytes:
        try:
            return self._connection.recv(size)
        except OSError as error:
            raise _stopped(self._address, error) from error

    def close(self) -> None:
        self._connection.close()


def request_head(lines: list[str], fields: Iterable[tuple[str, bytes]]) -> bytes:
    """The head of a request: its lines, and these fields besides."""
    more = b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in fields)
    return "\r\n".join([*lines, ""]).encode() + more + b"\r\n"


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """An HTTP answer's head → its status and fields, with names in lower case (RFC 9112). Status 0: not HTTP."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not (rest[:3].isascii() and rest[:3].isdigit()):
        return 0, {}
    fields = (line.partition(":") for line in lines)
    return int(rest[:3]), {name.strip().lower(): value.strip() for name, colon, value in fields if colon}


def quote(text: str) -> str:
    """Percent-encodes all that has a meaning in a URL's path or query (RFC 3986); urllib.parse is too dear here."""
    return "".join(
        chr(b) if (chr(b).isalnum() and b < 128) or b in b"-._~" else f"%{b:02X}"
        for b in text.encode("utf-8", "surrogateescape")
    )


def unreachable(path: str, error: OSError) -> str:
    """Why nothing answers on that socket, with what to do."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"no permission to use the engine at unix://{path}: join the socket's group, or use sudo"
    if not os.path.exists(path):
        return f"no engine at unix://{path}: there is no such socket; start the engine, or name another with -H"
    return f"no engine answers at unix://{path} ({error.strerror or 'timed out'}): start it, or name another with -H"


def _stopped(address: str, error: OSError) -> EngineError:
    return EngineError(f"the engine at {address} stopped answering: {error.strerror or 'timed out'}")


def _rest(connection: socket, limit: int = _LARGEST_ANSWER) -> bytes:
    chunks: list[bytes] = []
    while limit > 0 and (chunk := connection.recv(min(limit, 1 << 16))):
        chunks.append(chunk)
        limit -= len(chunk)
    return b"".join(chunks)
