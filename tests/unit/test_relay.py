"""The relay: what the real routes can't show at will."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dockshell import relay
from dockshell.model import Size
from dockshell.routes.exec_session import ExecSession

_SIZES = [Size(100, 30), Size(101, 30), Size(102, 30)]


class _Slow:
    """An engine while whose requests the caller's terminal changes its size again."""

    def __init__(self) -> None:
        self.now = _SIZES[0]
        self.arrived: list[Size] = []

    def exec_resize(self, exec_id: str, size: Size) -> None:
        if size == self.now:
            self.now = _SIZES[min(_SIZES.index(size) + 1, len(_SIZES) - 1)]
            os.kill(os.getpid(), signal.SIGWINCH)
        self.arrived.append(size)

    def server(self) -> str:
        return "docker"


class _Session(ExecSession):
    """One that goes on until the last size has arrived."""

    def __init__(self, engine: _Slow, descriptor: int) -> None:
        attempt = SimpleNamespace(api=engine, command=SimpleNamespace(terminal=True, input=False))
        socket = SimpleNamespace(fileno=lambda: descriptor)
        super().__init__(cast(Any, attempt), "id", cast(Any, socket), cast(Any, SimpleNamespace(control=socket)))
        self._engine = engine
        self._changed = False

    @property
    def ready(self) -> tuple[int, ...]:
        if not self._changed:
            self._changed = True
            os.kill(os.getpid(), signal.SIGWINCH)
        return () if _SIZES[-1] in self._engine.arrived else self._ready

    def wait(self) -> int:
        return 0


def test_of_sizes_that_change_while_one_is_under_way_the_last_arrives_last(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _Slow()
    monkeypatch.setattr(relay.terminals, "size", lambda descriptor: engine.now)
    reading, writing = os.pipe()
    try:
        relay.relay(_Session(engine, reading), terminal=True, input=False)
    finally:
        os.close(reading)
        os.close(writing)
    assert engine.arrived == _SIZES
