"""A forward beside the container's own address: the same client, the same server, what lies between is all."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.stage import Stage
from benchmarks.timing import Line

__all__ = ["bytes_through"]

_PORTS = {"out": 9000, "in": 9001}
# Reads to the end, or writes so many bytes and then reads to the end; fails where not as many came as should.
_CLIENT = """
import socket, sys

host, port, direction, size = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
piece = bytearray(1 << 20)
with socket.create_connection((host, port)) as connection:
    if direction == "in":
        for _ in range(size >> 20):
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
    got = 0
    while more := connection.recv_into(piece):
        got += more
sys.exit(got != (size if direction == "out" else 0))
"""


def bytes_through(direction: str) -> Callable[[Stage], tuple[Line, Line]]:
    """A lot of bytes `out` of the container, or `in`."""

    def lines(stage: Stage) -> tuple[Line, Line]:
        port, size = _PORTS[direction], stage.size >> 20 << 20
        served = ("if=/dev/zero", f"count={size >> 20}") if direction == "out" else ("of=/dev/null",)
        stage.docker.sh("exec", "-d", stage.web, "nc", "-ll", "-p", str(port), "-e", "dd", "bs=1048576", *served)
        networks = stage.docker.inspect(stage.web)["NetworkSettings"]["Networks"].values()
        address = next(network["IPAddress"] for network in networks if network["IPAddress"])
        place = stage.beside(stage.ours("dockshell"), "forward", stage.web, f":{port}").partition(" -> ")[0]
        client = (sys.executable, "-S", "-c", _CLIENT)
        spelled = "reads from" if direction == "out" else "writes to"
        return (
            Line((*client, *place.split(":"), direction, str(size)), f"{spelled} `dockshell forward web :{port}`"),
            Line((*client, address, str(port), direction, str(size)), f"{spelled} IP:{port}"),
        )

    return lines
