"""The ways in. A route is one class with two methods, in a file of its own, and one line in ROUTES."""

from __future__ import annotations

from dockshell.errors import NoRoute, UsageError
from dockshell.voice import Voice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from dockshell.model import Command, Container
    from dockshell.session import Session
    from dockshell.ssh.forwards import Forward
else:
    Protocol = object

__all__ = ["ORDERS", "ROUTES", "UNSEEN", "Refusal", "Route", "choose", "order"]

# Each is imported only when it is asked: paramiko's import alone takes longer than a whole nsenter session.
ROUTES = {
    "ssh": "dockshell.routes.ssh",
    "nsenter": "dockshell.routes.nsenter",
    "exec": "dockshell.routes.exec",
    "toolbox": "dockshell.routes.toolbox",
}

# An sshd that takes our key gives the fullest login; a command is not a login. The toolbox is also taken where another
# route finds, once it is taken, that there is nothing inside (entering.py).
ORDERS = {"shell": ("ssh", "nsenter", "exec", "toolbox"), "exec": ("nsenter", "exec", "toolbox")}

# In a refusal's place: nobody has looked (glances.py).
UNSEEN = "not looked at"

_FORWARDING = "forwarding is for ssh: take --via ssh, or `ssh` itself through `dockshell ssh-config`"
_CAPABILITIES = "it gives no single capability: use sudo, or --privileged where the engine allows it"
_DESCRIPTORS = (
    "no descriptor of yours can go that way: take --via nsenter, which needs root on the engine's own machine"
)


class Route(Protocol):
    """A way in. Each module in ROUTES has a function `route(login: Login) -> Route`."""

    def refuses(self, container: Container, command: Command, *, asked: bool) -> str | None:
        """Why this way can't serve this command in this container, with the remedy; None if it can. asked: it was named
        by --via, so it may try what `auto` holds back from (a login that a stranger's sshd would see fail)."""

    def open(self, container: Container, command: Command) -> Session:
        """Starts the command. Raises DockshellError where that fails."""


class Refusal(Exception):
    """What a route raises within itself where it finds that it can't serve."""


class Login:
    """What a person may say about logging in by SSH. key: a file, from --key; port: inside the container, 0 to find
    it; forwards: what -L, -R and -D say; agent: the socket of the agent that -A passes on, empty for none. voice: what
    tells them what they should know of the login."""

    def __init__(
        self,
        key: str = "",
        port: int = 0,
        forwards: Sequence[Forward] = (),
        agent: str = "",
        voice: Voice | None = None,
    ) -> None:
        self.key = key
        self.port = port
        self.forwards = forwards
        self.agent = agent
        self.voice = voice or Voice()


def order(via: str, verb: str, said: str = "--via") -> tuple[str, ...]:
    """The routes to try: empty or `auto`: the verb's own (ORDERS); else those that it names, with commas between. said:
    who says so, for the UsageError that this raises for a word that is no route."""
    if via in ("", "auto"):
        return ORDERS[verb]
    names = tuple(via.split(","))
    for name in names:
        if name not in ROUTES:
            raise UsageError(
                f"{said} takes auto, {', '.join(ROUTES)}, or several to try in order (nsenter,exec); not {name!r}"
            )
    return names


def choose(
    via: str, verb: str, login: Login, container: Container, command: Command, tell: Callable[[str], None]
) -> tuple[str, Route]:
    """The first route of order() that doesn't refuse, with its name; a single one that was named is asked for. tell
    gets a line for each refusal and for the choice (what -v shows). Raises NoRoute, holding every refusal."""
    refusals = []
    names = order(via, verb)
    for name in names:
        route: Route = __import__(ROUTES[name], fromlist=("route",)).route(login)
        forwards = bool(login.forwards or login.agent) and name != "ssh"
        reason = (
            _FORWARDING
            if forwards
            else _CAPABILITIES
            if command.capabilities and name in ("ssh", "exec")
            else _DESCRIPTORS
            if command.preserved and name != "nsenter"
            else route.refuses(container, command, asked=names == (via,))
        )
        if reason is None:
            tell(f"{name}: taken")
            return name, route
        tell(f"{name}: {reason}")
        refusals.append((name, reason))
    raise NoRoute(container.name, refusals)
