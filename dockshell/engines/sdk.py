"""Docker's API through Docker's SDK: engines elsewhere, images, and whatever else isn't worth a few dozen lines of our
own.

The SDK brings the API's methods and the negotiation of its version. Its connections are made by dial.py, all of one
kind, for its own have wounds: its paramiko knows little of ~/.ssh/config, its ssh subprocess can't be polled or
half-closed, and the socket that it hands out for an exec lacks whatever its buffered reader read along with the
answer's head. Proxies and .netrc, which are the web's, are left out of it.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import urlsplit

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException
from docker.transport.basehttpadapter import BaseHTTPAdapter

from dockshell.engines.dial import Connection, dial, host_and_port
from dockshell.engines.local import parse_head, quote, request_head
from dockshell.engines.where import Tls, additions, configuration
from dockshell.errors import EngineError, printable
from dockshell.linux.trusted import foreign
from dockshell.model import Size

__all__ = ["SdkApi"]

_CONNECTING = 10.0  # seconds
_ANSWERING = 60.0
_LARGEST_HEAD = 64 << 10
_LARGEST_FAILURE = 64 << 10


class SdkApi:
    """The `Api` of an engine at any address: unix://, tcp:// (with Tls: see where.py) or ssh://. It connects when it is
    first used.

    patience: seconds that the engine may take to answer a request, 0 for the usual ones; a session's stream may be idle
    for ever. podman: see Address in where.py. Raises EngineError for what additions() refuses.
    """

    def __init__(self, address: str, tls: Tls | None = None, patience: float = 0.0, podman: str | None = None) -> None:
        self.address = address
        self.local = address.startswith("unix:")
        self._patience = patience or _ANSWERING
        self._tls = tls
        self._podman = podman
        # What is said of Docker's engine is nothing for Podman's.
        self._prefix, self._headers = additions() if podman is None else ("", ())
        self._adapter = _Adapter(address, tls, self._headers, podman)
        self._client: _Client | None = None

    @property
    def owner(self) -> int:
        try:
            return os.stat(self.address.removeprefix("unix://")).st_uid if self.local else 0
        except OSError:
            return _NOBODY

    @property
    def client(self) -> docker.APIClient:
        """The SDK's own client, connected. Its methods raise its own errors; use `translated()` around them."""
        if self._client is None:
            with self.translated():
                self._client = _Client(
                    self._adapter, _base(self.address), self._patience, self._prefix.removeprefix("/v") or "auto"
                )
        return self._client

    def anew(self, patience: float = 0) -> SdkApi:
        return SdkApi(self.address, self._tls, patience or self._patience, self._podman)

    def server(self) -> str:
        with self.translated():
            if not self._adapter.software:
                self.client.ping()  # where its version was named, nothing was asked yet
        return "podman" if self._adapter.software.startswith("Libpod") else "docker"

    def containers(
        self, *, everything: bool = False, limit: int = 0, filters: Mapping[str, list[str]] | None = None
    ) -> list[dict[str, Any]]:
        with self.translated():
            rows = self.client.containers(all=everything, limit=limit or -1, filters=dict(filters or {}))
            return list(rows)

    def inspect(self, name: str) -> dict[str, Any]:
        with self.translated():
            return _object(self.client.inspect_container(name))

    def exec_create(self, container: str, body: Mapping[str, Any]) -> str:
        # The SDK's own exec_create knows only some of the fields, and adds one from config.json.
        url = self._url(f"/containers/{quote(container)}/exec")
        with self.translated(), self.client.post(url, json=dict(body), timeout=self._patience) as answer:
            if answer.status_code >= 400:
                raise self._failure(answer.status_code, answer.content)
            return str(_object(answer.json()).get("Id", ""))

    def exec_start(self, exec_id: str, *, terminal: bool) -> Connection:
        return self._taken_over(f"/exec/{quote(exec_id)}/start", {"Detach": False, "Tty": terminal})

    def attach(self, container: str) -> Connection:
        return self._taken_over(f"/containers/{quote(container)}/attach?stream=1&stdin=1&stdout=1")

    def _taken_over(self, path: str, body: Mapping[str, Any] | None = None) -> Connection:
        """A POST whose connection turns into a raw stream."""
        url = urlsplit(self._url(path))
        content = json.dumps(dict(body)).encode() if body else b""
        asked = f"{url.path}?{url.query}" if url.query else url.path
        lines = [f"POST {asked} HTTP/1.1", f"Host: {url.netloc}", "Content-Type: application/json"]
        lines += [f"Content-Length: {len(content)}", "Connection: Upgrade", "Upgrade: tcp"]
        connection = self._adapter.dial()
        try:
            connection.settimeout(self._patience)
            connection.sendall(request_head(lines, self._headers) + content)
            self._accepted(connection)
        except OSError as error:
            reason = connection.why() or error.strerror or str(error)
            connection.close()
            raise self._silent(reason) from error
        except EngineError:
            connection.close()
            raise
        connection.setblocking(False)
        return connection

    def exec_detached(self, exec_id: str) -> None:
        with self.translated():
            self.client.exec_start(exec_id, detach=True)

    def exec_inspect(self, exec_id: str) -> dict[str, Any]:
        with self.translated():
            return _object(self.client.exec_inspect(exec_id))

    def exec_resize(self, exec_id: str, size: Size) -> None:
        with self.translated():
            self.client.exec_resize(exec_id, height=size.rows, width=size.columns)

    def path_stat(self, container: str, path: str) -> str:
        url = self._url(f"/containers/{quote(container)}/archive")
        with self.translated(), self.client.head(url, timeout=self._patience, params={"path": path}) as answer:
            if answer.status_code == 404:
                return ""
            if answer.status_code >= 400:
                raise self._failure(answer.status_code, answer.content)
            return str(answer.headers.get("X-Docker-Container-Path-Stat", ""))

    def archive(self, container: str, path: str, limit: int) -> bytes | None:
        chunks: list[bytes] = []
        left = limit
        url = self._url(f"/containers/{quote(container)}/archive")
        asked: dict[str, Any] = {"params": {"path": path}, "headers": {"Accept-Encoding": "identity"}, "stream": True}
        with self.translated(), self.client.get(url, timeout=self._patience, **asked) as answer:
            if answer.status_code == 404:
                return None
            if answer.status_code >= 400:
                raise self._failure(answer.status_code, answer.content)
            for chunk in answer.iter_content(1 << 16):
                chunks.append(chunk[:left])
                left -= len(chunks[-1])
                if not left:
                    break
        return b"".join(chunks)

    def download(self, container: str, path: str) -> SdkDownload | None:
        url = self._url(f"/containers/{quote(container)}/archive")
        asked: dict[str, Any] = {"params": {"path": path}, "headers": {"Accept-Encoding": "identity"}, "stream": True}
        with self.translated():
            answer = self.client.get(url, timeout=self._patience, **asked)
            if answer.status_code < 400:
                return SdkDownload(self, answer)
            with answer:
                if answer.status_code == 404:
                    return None
                raise self._failure(answer.status_code, answer.content)

    def upload(self, container: str, path: str, tar: Iterable[bytes], size: int) -> None:
        url = self._url(f"/containers/{quote(container)}/archive")
        asked: dict[str, Any] = {
            "params": {"path": path, "noOverwriteDirNonDir": "1"},
            "headers": {"Content-Type": "application/x-tar"},
            "data": _Body(tar, size) if size >= 0 else iter(tar),
        }
        with self.translated(), self.client.put(url, timeout=self._patience, **asked) as answer:
            if answer.status_code >= 400:
                raise self._failure(answer.status_code, answer.content)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        content: dict[str, Any] = {} if body is None else {"json": dict(body)}
        url = self._url(path)
        with self.translated(), self.client.request(method, url, timeout=self._patience, **content) as answer:
            if answer.status_code >= 400:
                raise self._failure(answer.status_code, answer.content)
            return answer.json() if answer.content.strip() else None

    def import_image(self, tar: str | IO[bytes], tag: str, changes: list[str] | None = None) -> None:
        """A directory's tar, by its path or as an open file → an image of that name (NAME or NAME:TAG). changes:
        Dockerfile lines, as `CMD ["sh"]`. Raises EngineError."""
        name, _, version = tag.partition(":")
        with self.translated():
            if isinstance(tar, str):
                self.client.import_image_from_file(tar, repository=name, tag=version or None, changes=changes)
            else:
                self.client.import_image_from_data(tar, repository=name, tag=version or None, changes=changes)

    def close(self) -> None:
        """Closes the connections that are kept for the next request."""
        self._adapter.close()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """What the SDK and its guests raise within becomes EngineError, by type."""
        try:
            yield
        except (
            DockerException,
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,
            KeyError,
        ) as error:
            raise self._translation(error) from error

    def _translation(self, error: BaseException) -> EngineError:
        if isinstance(error, EngineError):
            return error
        if isinstance(error, APIError):
            said = error.explanation if isinstance(error.explanation, str) else ""
            return EngineError(
                f"the engine at {printable(self.address)} refused: {printable(said.strip())}", error.status_code or 0
            )
        if isinstance(error, DockerException) and error.__cause__ is not None:
            return self._translation(error.__cause__)
        if isinstance(error, requests.Timeout | TimeoutError):
            return self._silent(f"nothing came for {self._patience:.0f} seconds")
        if isinstance(error, requests.JSONDecodeError | KeyError | ValueError) and not isinstance(
            error, requests.ConnectionError
        ):
            return EngineError(
                f"what answers at {printable(self.address)} does not speak Docker's API: is it a container engine?"
            )
        if isinstance(error, DockerException):
            return EngineError(f"the engine at {printable(self.address)} can't be used: {printable(str(error))}")
        return self._silent(self._adapter.why() or "the connection broke")

    def _silent(self, reason: str) -> EngineError:
        return EngineError(
            f"the engine at {printable(self.address)} does not answer ({reason}): "
            "see that it runs, or name another with -H"
        )

    def _failure(self, status: int, content: bytes) -> EngineError:
        try:
            said = str(json.loads(content)["message"])
        except (ValueError, KeyError, TypeError):
            said = content[:200].decode("utf-8", "replace").strip() or f"HTTP status {status}"
        return EngineError(f"the engine at {printable(self.address)} refused: {printable(said)}", status)

    def _url(self, path: str) -> str:
        return f"{self.client.base_url}/v{self.client.api_version}{path}"

    def _accepted(self, connection: Connection) -> None:
        """Reads the answer's head and not a byte more: what follows is the command's."""
        head = b""
        while (end := head.find(b"\r\n\r\n")) < 0:
            piece = connection.recv(_LARGEST_HEAD, socket.MSG_PEEK)
            if not piece or len(head) > _LARGEST_HEAD:
                raise ConnectionAbortedError("it closed the connection")
            whole = (head + piece).find(b"\r\n\r\n")
            head += connection.recv(len(piece) if whole < 0 else whole + 4 - len(head))
        status, fields = parse_head(head[:end])
        if status not in (101, 200):
            length = fields.get("content-length", "")
            left = min(int(length), _LARGEST_FAILURE) if length.isascii() and length.isdigit() else 0
            content = b""
            while left > len(content) and (piece := connection.recv(left - len(content))):
                content += piece
            raise self._failure(status, content)


class SdkDownload:
    """The `Download` of an answer of requests'."""

    def __init__(self, api: SdkApi, answer: requests.Response) -> None:
        self._api = api
        self._answer = answer
        self._pieces: Iterator[bytes] = answer.iter_content(1 << 16)
        self._left = b""

    def read(self, size: int, /) -> bytes:
        if not self._left:
            with self._api.translated():
                self._left = next(self._pieces, b"")
        piece, self._left = self._left[:size], self._left[size:]
        return piece

    def close(self) -> None:
        self._answer.close()


class _Body:
    """What requests sends with a length ahead, in pieces: it asks such an object for its length, and reads it."""

    def __init__(self, pieces: Iterable[bytes], size: int) -> None:
        self._pieces = iter(pieces)
        self._size = size
        self._left = b""

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def read(self, size: int) -> bytes:
        self._left = self._left or next(self._pieces, b"")
        piece, self._left = self._left[:size], self._left[size:]
        return piece


def _base(address: str) -> str:
    """The address as the base of http URLs: a TCP host's name goes into the Host field, a path before all others (a
    reverse proxy's)."""
    if not address.startswith("tcp:"):
        return "http://docker:80"
    host, port = host_and_port(address, 2375)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{urlsplit(address).path.rstrip('/')}"


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ValueError("no JSON object")
    return answer


_NOBODY = -1  # nobody's number


class _Client(docker.APIClient):
    """The SDK's client, with every request by one adapter."""

    def __init__(self, adapter: _Adapter, base: str, patience: float, version: str) -> None:
        self._only = adapter
        super().__init__(base_url=base, version=version, timeout=patience)  # type: ignore[arg-type]  # seconds, whole or not

    def get_adapter(self, url: str | bytes) -> _Adapter:  # requests' own seam; a redirect can't lead elsewhere either
        return self._only

    # What a person has there of headers goes with every request, by the adapter: the SDK sends it with some.
    _general_configs = property(
        lambda self: self.__dict__["_configured"],
        lambda self, value: self.__dict__.update(
            # Where there is nothing, the SDK looks for itself.
            _configured={"auths": {}}
            if foreign(os.path.join(configuration(), "config.json"))
            else {name: each for name, each in value.items() if name != "HttpHeaders"}
        ),
    )
    # Else requests sends the web's passwords in ~/.netrc to engines, and asks the web's proxies.
    trust_env = property(lambda self: False, lambda self, value: None)


class _Adapter(BaseHTTPAdapter):
    """Requests' way to an engine: a pool of connections made by dial.py. software: what the engine calls itself, once
    it has answered. headers: what each request has besides."""

    def __init__(
        self, address: str, tls: Tls | None, headers: tuple[tuple[str, bytes], ...], podman: str | None
    ) -> None:
        self._address = address
        self._podman = podman
        self._tls = tls
        self._headers = headers
        self._last: Connection | None = None
        self._pool = urllib3.HTTPConnectionPool("docker", dialer=self.dial)
        self._pool.ConnectionCls = _HTTPConnection
        self.software = ""
        super().__init__()

    def dial(self) -> Connection:
        """A new connection. Raises EngineError."""
        self._last = dial(self._address, self._tls, _CONNECTING, self._podman)
        return self._last

    def why(self) -> str:
        """Why the last connection ended, where it can tell; else empty."""
        return self._last.why() if self._last is not None else ""

    def get_connection(self, url: Any, proxies: Any = None) -> urllib3.HTTPConnectionPool:
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        return request.path_url

    def send(self, request: requests.PreparedRequest, *args: Any, **named: Any) -> requests.Response:
        for name, value in self._headers:
            request.headers[name] = value  # type: ignore[assignment]  # http.client takes bytes too
        response = super().send(request, *args, **named)
        self.software = self.software or response.headers.get("Server", "")
        return response

    def close(self) -> None:
        self._pool.close()
        super().close()


class _HTTPConnection(urllib3.connection.HTTPConnection):
    """urllib3's connection over a socket of ours."""

    def __init__(self, *args: Any, dialer: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._dialer = dialer

    def connect(self) -> None:
        self.sock = self._dialer()
