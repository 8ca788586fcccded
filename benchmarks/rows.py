"""What is compared with what. A row is a function from the Stage to two Lines, and an entry in ROWS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.stage import Stage
from benchmarks.timing import Line

__all__ = ["ROWS", "Row"]

_ZEROS = ("dd", "if=/dev/zero", "bs=65536")
_SINK = ("sh", "-c", "cat >/dev/null")


@dataclass(frozen=True)
class Row:
    """lines: makes the containers that it takes → our line and the peer's; limit: the ratio not to exceed, None where
    it is only told; heavy: takes seconds a time, so that fewer pairs must do."""

    lines: Callable[[Stage], tuple[Line, Line]]
    limit: float | None = None
    heavy: bool = False


def _exec(via: str) -> Callable[[Stage], tuple[Line, Line]]:
    def lines(stage: Stage) -> tuple[Line, Line]:
        if via == "nsenter":
            stage.world.need_root()
        container = stage.docker.shared("baseimage") if via == "ssh" else stage.web
        ours = (stage.ours("dockshell"), "exec", "--via", via, container, "true")
        return (
            Line(ours, f"dockshell exec --via {via} web true"),
            Line((stage.program("docker"), "exec", container, "true"), "docker exec web true"),
        )

    return lines


def _latest(stage: Stage) -> tuple[Line, Line]:
    stage.docker.run("busybox")  # the newest: what rows after this one start comes after
    typed = "docker exec $(docker ps -lq) true"
    return (
        Line((stage.ours("dockshell"), "exec", "-l", "--", "true"), "dockshell exec -l -- true"),
        Line((stage.program("sh"), "-c", typed), typed),
    )


def _openssh(stage: Stage) -> tuple[Line, Line]:
    container = stage.docker.shared("baseimage")
    return (
        Line((stage.ours("dockshell"), "exec", "--via", "ssh", container, "true"), "dockshell exec --via ssh web true"),
        Line((*stage.ssh(container), "true"), "ssh root@web true"),
    )


def _docker_bash(stage: Stage) -> tuple[Line, Line]:
    stage.world.need_root()
    stage.program("nsenter")
    look = f"docker inspect -f {{{{.State.Pid}}}} {stage.web}"
    return (
        Line((stage.ours("docker-bash"), stage.web, "true"), "docker-bash web true"),
        Line(
            (stage.program("sh"), "-c", f"nsenter -t $({look}) -m -u -i -n -p true"),
            "nsenter -t $(docker inspect …) … true",
        ),
    )


def _nsenter(stage: Stage) -> tuple[Line, Line]:
    stage.world.need_root()
    return (
        Line((stage.ours("docker-bash"), stage.web, "true"), "docker-bash web true"),
        Line((*_entering(stage), "true"), "nsenter -t PID … true"),
    )


def _entering(stage: Stage) -> tuple[str, ...]:
    return (stage.program("nsenter"), "-t", str(stage.pid), "-m", "-u", "-i", "-n", "-p")


def _completion(stage: Stage) -> tuple[Line, Line]:
    begun = stage.web[:3]
    return (
        Line((stage.ours("dockshell"), "__complete", "--", "dockshell", "exec", begun), f"dockshell exec {begun}<TAB>"),
        Line((stage.program("docker"), "ps", "-q"), "docker ps -q"),
    )


def _through(via: str, peer: str, direction: str) -> Callable[[Stage], tuple[Line, Line]]:
    """A lot of bytes through a pipe, out of the container or into it."""

    def lines(stage: Stage) -> tuple[Line, Line]:
        if "nsenter" in (via, peer):
            stage.world.need_root()
        ours = (stage.ours("dockshell"), "exec", "--via", via, stage.web)
        docker = (stage.program("docker"), "exec", "-i", stage.web)
        theirs = docker if peer == "docker" else _entering(stage)
        spoken = "docker exec -i web" if peer == "docker" else "nsenter -t PID …"
        command = (*_ZEROS, f"count={stage.size >> 16}") if direction == "out" else _SINK
        bytes_moved = stage.size >> 16 << 16
        out, into = (bytes_moved, 0) if direction == "out" else (0, bytes_moved)
        shape = "{} dd | …" if direction == "out" else "… | {} cat"
        return (
            Line((*ours, *command), shape.format(f"dockshell exec --via {via} web"), out, into),
            Line((*theirs, *command), shape.format(spoken), out, into),
        )

    return lines


ROWS: Mapping[str, Row] = {
    "nsenter": Row(_exec("nsenter"), 0.7),
    "exec": Row(_exec("exec"), 1.2),
    "ssh": Row(_exec("ssh")),
    "openssh": Row(_openssh, 1.3),
    "latest": Row(_latest),
    "completion": Row(_completion, 3.0),
    "docker-bash": Row(_docker_bash),
    "bare-nsenter": Row(_nsenter),
    **{
        f"{direction}-{via}-{peer}": Row(_through(via, peer, direction), heavy=True)
        for via, peer in (("nsenter", "nsenter"), ("nsenter", "docker"), ("exec", "docker"))
        for direction in ("out", "in")
    },
}
