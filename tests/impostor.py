"""An engine that tells what a test wants it to tell: Docker's listing over HTTP on a unix socket, with any names,
labels and images in it."""

from __future__ import annotations

import hashlib
import json
import os
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

__all__ = ["Impostor", "listed"]


def listed(
    name: str,
    *,
    image: str = "image",
    labels: Mapping[str, str] | None = None,
    state: str = "running",
    id: str = "",
    addresses: Mapping[str, str] | None = None,
    age: int = 0,
) -> dict[str, Any]:
    """A row of a listing. id: its beginning, filled up with f; addresses: per network; age: in seconds."""
    networks = {network: {"IPAddress": address} for network, address in (addresses or {}).items()}
    return {
        "Id": (id or hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()).ljust(64, "f"),
        "Names": ["/" + name],
        "Image": image,
        "State": state,
        "Created": int(time.time()) - age,
        "Labels": dict(labels or {}),
        "NetworkSettings": {"Networks": networks},
    }


class Impostor:
    """`with Impostor(rows).serving() as it:` url: its address; requests: the paths that it was asked for; server: what
    it says it is, as `Libpod/4.3`; silent: it never answers; inspected: what it tells of any container, once `told` is
    set; headers: those of each request."""

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        server: str = "Docker/0",
        silent: bool = False,
        inspected: Mapping[str, Any] | None = None,
    ) -> None:
        self.rows = list(rows)
        self.inspected = inspected
        self.server = server
        self.silent = silent
        self.told = threading.Event()
        self.told.set()
        self.requests: list[str] = []
        self.headers: list[Message] = []
        self.url = ""

    @contextmanager
    def serving(self, path: str = "") -> Iterator[Impostor]:
        """Answers until the block ends, on a socket at that path, or at a path of its own."""
        with tempfile.TemporaryDirectory() as folder:
            path = path or os.path.join(folder, "engine.sock")
            self.url = f"unix://{path}"
            ended = threading.Event()
            with _Server(path, _handler(self, ended)) as server:
                thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
                thread.start()
                try:
                    yield self
                finally:
                    ended.set()
                    self.told.set()
                    server.shutdown()
                    thread.join()


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = False


def _handler(impostor: Impostor, ended: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            impostor.requests.append(self.path)
            impostor.headers.append(self.headers)
            if impostor.silent:
                ended.wait()
                return
            path, _, query = self.path.partition("?")
            states = json.loads(parse_qs(query).get("filters", ["{}"])[0]).get("status")
            rows = [
                row
                for row in impostor.rows
                if (row["State"] in states if states else "all=1" in query or row["State"] != "exited")
            ]
            single = impostor.inspected is not None and not path.endswith("/containers/json")
            answer = impostor.inspected if single else rows
            if path == "/version":
                answer = {"ApiVersion": "1.41", **(impostor.inspected or {})}
            if answer is impostor.inspected and path != "/_ping":
                impostor.told.wait()
            body = b"OK" if path == "/_ping" else json.dumps(answer).encode()
            self.send_response_only(200)
            self.send_header("Server", impostor.server)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
