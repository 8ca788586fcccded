"""What is measured. A row is a Pair (two commands that take turns) or a Peak (of memory), and an entry in ROWS."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks import bridge, copying, forward, memory
from benchmarks.stage import Stage
from benchmarks.timing import Bounds, Line, compare

__all__ = ["ROWS", "Effort", "Outcome", "Pair", "Peak", "Row"]

_ZEROS = ("dd", "if=/dev/zero", "bs=1048576")
_SINK = ("dd", "of=/dev/null", "bs=1048576")


@dataclass(frozen=True)
class Effort:
    """many: when to stop with most rows; few: with the heavy ones; sessions: how many times memory is looked at."""

    many: Bounds
    few: Bounds
    sessions: int


@dataclass(frozen=True)
class Outcome:
    """ours, peer: what one would type, and the median seconds of each where time is what was measured. figure: what the
    row's limit is for; half of the single ones lie between low and high."""

    ours: str
    seconds: float | None
    peer: str
    peers_seconds: float | None
    times: int
    figure: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    """Two commands. lines: makes the containers that they take → ours and the peer's; limit: the ratio not to exceed,
    None where it is only told; heavy: takes seconds a time, so that fewer pairs must do."""

    lines: Callable[[Stage], tuple[Line, Line]]
    limit: float | None = None
    heavy: bool = False
    unit = ""

    def measure(self, stage: Stage, effort: Effort) -> Outcome:
        """Raises Broken, Unavailable."""
        ours, peer = self.lines(stage)
        if stage.against:
            peer = replace(self.lines(stage.earlier)[0], shown="the earlier dockshell")
        taken = compare(ours, peer, stage.env, effort.few if self.heavy else effort.many)
        seconds, peers = statistics.median(taken.ours), statistics.median(taken.peers)
        return Outcome(ours.shown, seconds, peer.shown, peers, len(taken.ratios), *_middle(taken.ratios))

    def spelled(self, figure: float) -> str:
        return f"{figure:.2f}"


@dataclass(frozen=True)
class Peak:
    """The memory of a session by one route that moves 100 MB, in turn through pipes and at a terminal. limit: MiB."""

    via: str
    limit: float
    unit = " MiB"

    def measure(self, stage: Stage, effort: Effort) -> Outcome:
        """Raises Broken, Unavailable."""
        if self.via == "nsenter":
            stage.world.need_root()
        words = ("exec", "--via", self.via, "-i", stage.web, *memory.moving(100_000_000))
        argv = (stage.ours("dockshell"), *words)
        figures = [memory.peak(argv, stage.env, terminal=bool(turn % 2)) for turn in range(2 * effort.sessions)]
        shown = f"dockshell exec --via {self.via} web, 100 MB"
        return Outcome(shown, None, "", None, len(figures), *_middle(figures, max(figures)))

    def spelled(self, figure: float) -> str:
        return f"{figure:.1f}"


Row = Pair | Peak


def _middle(figures: Sequence[float], figure: float | None = None) -> tuple[float, float, float]:
    """The figure that counts, the median where none is given, and between which two half of them lie."""
    low, median, high = statistics.quantiles(figures, n=4)
    return median if figure is None else figure, low, high


def _exec(via: str) -> Callable[[Stage], tuple[Line, Line]]:
    def lines(stage: Stage) -> tuple[Line, Line]:
        if via == "nsenter":
            stage.world.need_root()
        container = stage.sshd if via == "ssh" else stage.web
        key = ("--key", stage.key) if via == "ssh" else ()
        ours = (stage.ours("dockshell"), "exec", "--via", via, *key, container, "true")
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


def _rootless(stage: Stage) -> tuple[Line, Line]:
    """Both as a person without root whom the engine's socket lets in."""
    person = stage.person
    return (
        Line((*person.become, person.dockshell, "exec", stage.web, "true"), "dockshell exec web true", env=person.env),
        Line(
            (*person.become, stage.program("docker"), "exec", stage.web, "true"), "docker exec web true", env=person.env
        ),
    )


def _crowd(stage: Stage) -> tuple[Line, Line]:
    words = (stage.ours("dockshell"), "pid")
    few = len(stage.docker.ask("ps", "-aq").split())
    return (
        Line((*words, stage.in_crowd), "dockshell pid web, among 1,000", env={"DOCKER_HOST": stage.crowd.url}),
        Line((*words, stage.web), f"dockshell pid web, among {few}"),
    )


def _listing(stage: Stage) -> tuple[Line, Line]:
    env = {"DOCKER_HOST": stage.all_run.url}
    return (
        Line((stage.ours("dockshell"), "ls"), "dockshell ls, 500 run", env=env),
        Line((stage.program("docker"), "ps"), "docker ps, 500 run", env=env),
    )


def _fifty(stage: Stage) -> tuple[Line, Line]:
    names = " ".join(stage.several)
    shell = stage.program("sh")
    loop = "for name in {}; do {} exec $name true || exit; done"
    return (
        Line((shell, "-c", loop.format(names, stage.ours("dockshell"))), "dockshell exec $name true, 50 names"),
        Line((shell, "-c", loop.format(names, stage.program("docker"))), "docker exec $name true, 50 names"),
    )


def _fleet(stage: Stage) -> tuple[Line, Line]:
    names = "\\n".join(stage.several)
    stage.program("xargs")
    typed = f"printf '{names}\\n' | xargs -P8 -I{{}} {stage.program('docker')} exec {{}} true"
    return (
        Line(
            (stage.ours("dockshell"), "exec", "--label", "fifty", "--", "true"), "dockshell exec --label fifty -- true"
        ),
        Line((stage.program("sh"), "-c", typed), "… | xargs -P8 -I{} docker exec {} true, 50 names"),
    )


def _openssh(stage: Stage) -> tuple[Line, Line]:
    container, key = stage.sshd, stage.key
    return (
        Line(
            (stage.ours("dockshell"), "exec", "--via", "ssh", "--key", key, container, "true"),
            "dockshell exec --via ssh --key FILE web true",
        ),
        Line((*stage.ssh(container), "true"), "ssh -i FILE root@web true"),
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


def _paths(stage: Stage) -> tuple[Line, Line]:
    return (
        Line((stage.ours("dockshell"), *_asked_for_paths(stage)), "dockshell cp web:/et<TAB>"),
        Line((stage.program("docker"), "ps", "-q"), "docker ps -q"),
    )


def _paths_rootless(stage: Stage) -> tuple[Line, Line]:
    """As a person without root, whom the container's shell has to tell."""
    person = stage.person
    ours = (*person.become, person.dockshell, *_asked_for_paths(stage))
    peer = (*person.become, stage.program("docker"), "exec", stage.web, "true")
    return (
        Line(ours, "dockshell cp web:/et<TAB>", env=person.env),
        Line(peer, "docker exec web true", env=person.env),
    )


def _asked_for_paths(stage: Stage) -> tuple[str, ...]:
    return "__complete", "--", "dockshell", "cp", f"{stage.web}:/et"


def _through(via: str, peer: str, direction: str) -> Callable[[Stage], tuple[Line, Line]]:
    """A lot of bytes through a pipe, out of the container or into it."""

    def lines(stage: Stage) -> tuple[Line, Line]:
        if "nsenter" in (via, peer):
            stage.world.need_root()
        ours = (stage.ours("dockshell"), "exec", "--via", via, stage.web)
        docker = (stage.program("docker"), "exec", "-i", stage.web)
        theirs = docker if peer == "docker" else _entering(stage)
        spoken = "docker exec -i web" if peer == "docker" else "nsenter -t PID …"
        command = (*_ZEROS, f"count={stage.size >> 20}") if direction == "out" else _SINK
        bytes_moved = stage.size >> 20 << 20
        out, into = (bytes_moved, 0) if direction == "out" else (0, bytes_moved)
        shape = "{} dd | …" if direction == "out" else "… | {} dd"
        return (
            Line((*ours, *command), shape.format(f"dockshell exec --via {via} web"), out, into),
            Line((*theirs, *command), shape.format(spoken), out, into),
        )

    return lines


ROWS: Mapping[str, Row] = {
    "nsenter": Pair(_exec("nsenter"), 0.6),
    "exec": Pair(_exec("exec"), 1.2),
    "ssh": Pair(_exec("ssh")),
    "without-root": Pair(_rootless, 1.1),
    "openssh": Pair(_openssh, 1.1),
    "latest": Pair(_latest, 0.5),
    "among-1000": Pair(_crowd, 1.1),
    "ls": Pair(_listing, 2.0),
    "completion": Pair(_completion, 3.0),
    "paths": Pair(_paths, 3.0),
    "paths-without-root": Pair(_paths_rootless, 1.5),
    "docker-bash": Pair(_docker_bash),
    "bare-nsenter": Pair(_nsenter),
    **{
        f"{direction}-{via}-{peer}": Pair(_through(via, peer, direction), limit, heavy=True)
        for via, peer, limit in (("nsenter", "nsenter", 1.1), ("nsenter", "docker", None), ("exec", "docker", 1.0))
        for direction in ("out", "in")
    },
    "bridge": Pair(bridge.command, 1.0),
    **{
        f"bridge-{protocol}-{direction}": Pair(bridge.files(protocol, direction), 1.11, heavy=True)
        for protocol in ("scp", "sftp")
        for direction in ("up", "down")
    },
    "forward": Pair(forward.bytes_through("out"), 2.0, heavy=True),
    "forward-in": Pair(forward.bytes_through("in"), 2.0, heavy=True),
    **{
        f"cp-{shape}{way}": Pair(copying.copies(shape, by_root=not way), limit, heavy=True)
        for way, limit in (("", 0.5), ("-api", 1.0))
        for shape in copying.SHAPES
    },
    "memory-nsenter": Peak("nsenter", 20),
    "memory-exec": Peak("exec", 25),
    "fifty": Pair(_fifty, 0.5, heavy=True),
    "fleet": Pair(_fleet, 0.25, heavy=True),
}
