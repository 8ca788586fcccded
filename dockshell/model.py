"""The nouns that cross the walls between rooms. They hold facts, never do I/O, and don't change once made.

A session is the fourth noun; it runs, so it is a protocol and has a file of its own (session.py).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import dataclass as noun
    from dataclasses import replace

    from dockshell.engines import Engine
else:
    # Standing in for dataclasses, which the hot path can't afford: its import alone takes as long as the interpreter's
    # start.
    def noun(*, frozen):
        return _frozen

    def _frozen(cls):
        names = tuple(cls.__annotations__)
        defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}

        def __init__(self, *args, **fields):
            if len(args) > len(names):
                raise TypeError(f"{cls.__name__} takes {len(names)} fields")
            values = {**defaults, **dict(zip(names, args, strict=False)), **fields}
            if values.keys() != set(names):
                raise TypeError(f"{cls.__name__}: fields {sorted(values.keys() ^ set(names))}")
            self.__dict__.update(values)

        def __setattr__(self, name, value):
            raise AttributeError(f"{cls.__name__} does not change: make another with replace()")

        def __eq__(self, other):
            return type(other) is cls and self.__dict__ == other.__dict__

        def __repr__(self):
            return f"{cls.__name__}({', '.join(f'{name}={self.__dict__[name]!r}' for name in names)})"

        for method in (__init__, __setattr__, __eq__, __repr__):
            setattr(cls, method.__name__, method)
        cls.__hash__ = lambda self: hash(tuple(repr(value) for value in self.__dict__.values()))
        return cls

    def replace(it, **changes):
        return type(it)(**{**it.__dict__, **changes})


__all__ = ["Command", "Container", "Port", "Size", "Target", "noun", "replace"]


@noun(frozen=True)
class Target:
    """What was asked for. target.py makes it from words.

    kind: `latest`, `name`, `service` (a name that can only be one of Compose's), `label` or `pid`; value: the name (or
    id prefix, `project/service`, …), `key` or `key=value`, or the number; engine: the engine's name when a `docker://`,
    `podman://` or `kernel://` pinned it, else empty; replica: the number after `service:`, 0 for none."""

    kind: str
    value: str = ""
    engine: str = ""
    replica: int = 0

    def __str__(self) -> str:
        text = {"latest": "@latest", "name": self.value, "service": self.value}.get(
            self.kind, f"{self.kind}:{self.value}"
        )
        return (f"{self.engine}://" if self.engine else "") + text + (f":{self.replica}" if self.replica else "")


@noun(frozen=True)
class Size:
    """A terminal's size in characters, as TIOCGWINSZ gives it."""

    columns: int
    rows: int


@noun(frozen=True)
class Port:
    """A TCP port of the container (inside) that the engine published at an address of its host (address, outside)."""

    inside: int
    address: str
    outside: int


@noun(frozen=True)
class Container:
    """Facts about one container, as its engine told them. Names, labels and all other text in here are untrusted.

    state is the engine's word (`running`, `exited`, `paused`, …), status its sentence (`Up 3 hours (healthy)`), which a
    listing alone has. pid is the host's number of the container's first
    process, 0 where none runs or another kernel runs it. created, started and ended (when it last did) are seconds
    since 1970. user, env (`K=V` texts), directory and hostname are as configured. addresses are (network, IP) pairs;
    groups are the supplementary ones that were configured on top (`--group-add`), for whatever user; user_groups those
    that `user` alone has, where it is a number and nobody configured it. local says that the engine runs on this
    machine's own kernel as far as its address tells, owner the number of the user who runs it there; runtime is the
    engine's name of the OCI runtime, empty where it didn't say."""

    id: str
    name: str
    engine: Engine
    image: str = ""
    state: str = "running"
    status: str = ""
    pid: int = 0
    created: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    user: str = ""
    env: tuple[str, ...] = ()
    directory: str = ""
    hostname: str = ""
    labels: Mapping[str, str] = {}
    addresses: tuple[tuple[str, str], ...] = ()
    ports: tuple[Port, ...] = ()
    groups: tuple[str, ...] = ()
    user_groups: tuple[str, ...] = ()
    umask: int = 0o022
    runtime: str = ""
    local: bool = False
    owner: int = 0

    @property
    def short(self) -> str:
        """The first twelve characters of the id, as people know it from `docker ps`."""
        return self.id[:12]

    @property
    def short_image(self) -> str:
        """The image as `docker ps` has it: an id, which is all that is left where the name is gone, in twelve digits,
        and no digest behind a tag."""
        digits = self.image.removeprefix("sha256:")
        if len(digits) == 64 and not digits.strip("0123456789abcdef"):
            return digits[:12]
        name, _, _ = self.image.partition("@")
        return name if ":" in name.rpartition("/")[2] else self.image


@noun(frozen=True)
class Command:
    """What is to run inside.

    argv: the words as bytes, empty for a login shell. line: in their place, what the user's own shell is to read, as an
    sshd has it (RFC 4254, 6.5). shell: the login shell to take if it is there, whatever the user's own is; not_shells:
    those that were found not to start. user: as given by -u, empty for the container's own. env: what -e, --env-file
    and the caller's terminal add, in order. languages: LANG and LC_* of the caller, for a login shell in a container
    that sets none. directory: as given by -w, empty for the default. terminal: the size of the terminal to make, None
    for none. input: False where the command gets an empty input. environment_from: `config` or `init`. capabilities: a
    bit mask of those to have besides the container's, capabilities(7). tools: what --tools named. preserved:
    descriptors of this process that the command is to have, too. share: a route may go by what this
    process's own stdin, stdout and stderr are, and move bytes between them and the command itself."""

    argv: tuple[bytes, ...] = ()
    line: bytes = b""
    shell: str = ""
    by_login: bool = False
    user: str = ""
    env: tuple[tuple[str, str], ...] = ()
    languages: tuple[tuple[str, str], ...] = ()
    environment_from: str = "config"
    directory: str = ""
    terminal: Size | None = None
    input: bool = True
    detach: bool = False
    privileged: bool = False
    capabilities: int = 0
    tools: str = ""
    preserved: tuple[int, ...] = ()
    share: bool = False
    not_shells: tuple[str, ...] = ()

    @property
    def login(self) -> bool:
        """Is it a login shell?"""
        return not self.argv and not self.line
