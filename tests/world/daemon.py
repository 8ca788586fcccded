"""Starting an engine as a child that ends with this process, and waiting until it answers."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping

_PR_SET_PDEATHSIG = 1


class Daemon:
    """A running engine: its process, its socket, its log."""

    def __init__(self, argv: list[str], directory: str, env: Mapping[str, str] | None = None) -> None:
        """Starts argv, which is to listen at DIRECTORY/engine.sock, and waits for it. Raises RuntimeError with its
        log's tail if it ends or does not answer within 30 s."""
        self.url = f"unix://{directory}/engine.sock"
        self._log = os.path.join(directory, "log")
        libc = ctypes.CDLL(None)

        def die_with_parent() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env and {**os.environ, **env},
                start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip
        until = time.monotonic() + 30
        while not answers(f"{directory}/engine.sock"):
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"{argv[0]} did not start; its log ends:\n{self.log_tail()}")
            time.sleep(0.05)

    def log_tail(self) -> str:
        with open(self._log, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-15:])

    def stop(self) -> None:
        """TERM, and KILL after ten seconds."""
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def answers(path: str) -> bool:
    """Does an engine that speaks Docker's API answer at this socket?"""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(path)
        connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
        return b" 200 " in connection.recv(64)
    return False
