"""The way in by the container's own sshd: the fullest login, where one runs and takes a key of ours."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack

from dockshell.environment import DEFAULT_PATH, by_login_shell, configured, files_environment, login_shell
from dockshell.errors import DockshellError, EngineError, HostKeyError, LoginError, UserError, printable
from dockshell.identity import Identity, resolve
from dockshell.routes import ssh_ways
from dockshell.ssh import authorized, hostkeys, keys, listening

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from paramiko import Transport

    from dockshell.engines import Files
    from dockshell.model import Command, Container
    from dockshell.routes import Login, Route
    from dockshell.routes.ssh_admission import Admission
    from dockshell.session import Session
    from dockshell.ssh.forwarding import Forwarding
    from dockshell.ssh.keys import Key
    from dockshell.ssh.listening import Way

__all__ = ["route"]

_LARGE = 16 << 20
_LIMIT = 2.0  # seconds for a connection to one address
_MOMENT = 1.0  # seconds by which an engine may learn later than we do that a container ended
# What a login sets by itself, for whoever logs in: the image's own words about it are about somebody else.
_PERSONAL = frozenset({"HOME", "USER", "LOGNAME", "SHELL", "MAIL"})
_NO_LOGIN = ("false", "nologin")


def route(login: Login) -> Route:
    """The ssh route, for a person who may have named a key and a port."""
    return SshRoute(login)


class SshRoute:
    def __init__(self, login: Login) -> None:
        self._login = login
        self._found: _Visit | None = None

    def refuses(self, container: Container, command: Command, *, asked: bool) -> str | None:
        """See Route. Raises UsageError for a --key that can't be used."""
        if container.state != "running":
            return f"the container is {printable(container.state)}: start or unpause it first"
        if command.detach:
            return "a command can't be left in the background (-d) by ssh: take --via exec"
        if command.privileged:
            return "an sshd gives nobody more rights (--privileged) than its container has: take --via exec"
        try:
            visit = _Visit(container, command, self._login, asked)
            reason = visit.unreachable() or (None if asked else visit.unwelcome())
        except UserError as error:
            return str(error)
        self._found = visit
        return reason

    def open(self, container: Container, command: Command) -> Session:
        """See Route. Raises LoginError, HostKeyError, UserError, UsageError."""
        found, self._found = self._found, None
        if found and found.fits(container, command):
            return found.enter()
        # Nobody has said that it was asked for, so nothing is written.
        visit = _Visit(container, command, self._login, asked=False)
        visit.unreachable()
        return visit.enter()


class _Visit:
    """One login that may come: what was found out about it, so that nothing is asked twice."""

    def __init__(self, container: Container, command: Command, login: Login, asked: bool) -> None:
        """Raises UserError."""
        self._container = container
        self._command = command
        self._login = login
        self._asked = asked
        self._files: Files = container.engine.files(container)
        self._standing: Key | None = None
        self._connection: tuple[Way, socket.socket] | None = None
        self._lack = ""
        self._identity = _identity(command.user, self._files)
        listeners = listening.listeners(container)
        self._port = login.port or (22 if listeners and 22 in listeners else listening.configured_port(self._files))
        self._ways: list[Way] = []
        self._known = listeners is not None
        self._listening = (listeners or {}).get(self._port, set())

    def fits(self, container: Container, command: Command) -> bool:
        return container is self._container and command is self._command

    def unreachable(self) -> str | None:
        """Why no connection can come about, without trying one."""
        if self._known and not self._listening:
            return f"no sshd listens inside on port {self._port}: start one, or name its port with --port"
        self._ways = ssh_ways.ways(self._container, self._port, self._listening if self._known else None, self._asked)
        if self._ways:
            return None
        sudo = ", or use sudo, with which it is reached from inside" if self._container.local and os.geteuid() else ""
        if self._known and not self._listening & {"0.0.0.0", "::"}:
            places = ", ".join(sorted(self._listening))
            return (
                f"the sshd inside listens on {places} only, out of reach from here: "
                f"have it listen on every address{sudo}"
            )
        return (
            f"no address of the container leads to port {self._port} from here: "
            f"publish it, connect the container to a network{sudo}"
        )

    def unwelcome(self) -> str | None:
        """Why a login would fail or not be what was meant, found out without one: no sshd is to see us turned away."""
        user, mine = self._identity.name, self._container.user
        if not self._command.user and mine not in ("", "0", "root", "0:0", "root:root"):
            return f"the container's own user is {printable(mine)}, and this would be root: ask for that with --via ssh"
        if os.path.basename(self._identity.shell) in _NO_LOGIN or not self._files.executable(
            self._identity.shell or "/bin/sh"
        ):
            return f"the login shell of {printable(user)} inside turns logins away: change it there with chsh"
        key = self._stands()
        if key is None:
            return (
                f"no key of ours stands in the authorized_keys of {printable(user)} inside: "
                "add one there, name its private half with --key, or have one put there with --via ssh"
            )
        if not hostkeys.read(self._files):
            return _NO_HOST_KEYS
        self._standing = key
        if not self._known:
            try:
                self._connection = listening.dial(self._ways, _LIMIT, greeted=True)
            except OSError:
                return f"no sshd answers on port {self._port}: start one, or name its port with --port"
        return None

    def enter(self) -> Session:
        """The login, and the command begun. Raises HostKeyError, LoginError, UserError, DockshellError."""
        expected = hostkeys.read(self._files)
        if not expected:
            raise HostKeyError(_NO_HOST_KEYS)
        line = _line(self._container, self._command, self._identity, self._files)
        with ExitStack() as undo:
            forwarding = self._forwarding(undo)
            # Connected before paramiko is imported: meanwhile the sshd forks and gets ready.
            connection = self._connected()
            undo.callback(connection.close)
            standing = self._standing or self._stands()
            admission = self._admission(standing, connection, undo)
            from dockshell.ssh import channel, connect

            transport = connect.connect(connection, expected, self._container.name)
            undo.callback(connect.hang_up, transport)
            ours = admission.key if admission and self._admitted(admission) else standing
            taken = self._logged_in(transport, ours)
            if admission:
                admission.withdraw()
            # What another key than that may run, the sshd alone knows.
            session = channel.start(transport, line, self._command, self._watched(), taken is ours, forwarding)
            session.afterwards = undo.pop_all().close
        return session

    def _stands(self) -> Key | None:
        return keys.standing(self._login.key, authorized.keys(self._files, self._identity.home))

    def _watched(self) -> int:
        return self._container.pid if self._container.local else 0

    def _forwarding(self, undo: ExitStack) -> Forwarding | None:
        """What is to listen here listens before anything else happens."""
        login = self._login
        if not login.forwards and not login.agent:
            return None
        from dockshell.ssh.forwarding import Forwarding

        forwarding = Forwarding(login.forwards, login.agent, login.voice)
        undo.callback(forwarding.close)
        return forwarding

    def _connected(self) -> socket.socket:
        if self._connection:
            return self._connection[1]
        try:
            return listening.dial(self._ways, _LIMIT, greeted=not self._known)[1]
        except OSError as error:
            tried = ", ".join(map(str, self._ways)) or "no address"
            raise LoginError(
                f"no sshd of {printable(self._container.name)} answers at {printable(tried)} "
                f"({error.strerror or error}): "
                "start one inside, name its port with --port, or take another way with --via exec"
            ) from None

    def _admission(self, standing: Key | None, connection: socket.socket, undo: ExitStack) -> Admission | None:
        """Begins to let a key of our own in, where that was asked for and no other will do."""
        other = standing is not None and standing.blob != keys.INSECURE_BLOB
        if not self._asked or self._login.key or other:
            return None
        api = self._container.engine.api
        try:
            if api is None:
                raise DockshellError("there is no engine that would do it")
            key = keys.own()
        except DockshellError as error:
            self._not_admitted(str(error))
            return None
        from dockshell.routes.ssh_admission import Admission

        greeting = listening.greeting(connection, _LIMIT)
        admission = Admission(self._container, api, self._identity, key, greeting)
        undo.callback(self._leave, admission)
        return admission

    def _admitted(self, admission: Admission) -> bool:
        reason = admission.admitted()
        if reason:
            self._not_admitted(reason)
        return not reason

    def _not_admitted(self, reason: str) -> None:
        self._lack = (
            f"dockshell's own key can't be put into the authorized_keys of {printable(self._identity.name)}: {reason}"
        )
        self._login.voice.tell(f"ssh: {self._lack}")

    def _leave(self, admission: Admission) -> None:
        reason = admission.close()
        if reason:
            # Of one that stopped meanwhile more has to be said than that.
            told = self._login.voice.tell if self._stopped() else self._login.voice.say
            told(
                f"dockshell's own key may still stand in the authorized_keys of {printable(self._identity.name)} "
                f"inside ({reason}): the next login with --via ssh takes it out"
            )

    def _stopped(self) -> bool:
        """Has the container ended? An engine may learn of it a moment later than its processes do."""
        until = time.monotonic() + _MOMENT
        try:
            while self._container.engine.running(self._container):
                if time.monotonic() > until:
                    return False
                time.sleep(0.02)
        except EngineError:
            return False
        return True

    def _logged_in(self, transport: Transport, first: Key | None) -> Key:
        """The key that the sshd took."""
        from dockshell.ssh import connect

        name = self._container.name
        try:
            taken = connect.log_in(transport, self._identity.name, self._likely(first), name)
        except LoginError as error:
            raise LoginError(f"{error} ({self._lack})" if self._lack else str(error)) from None
        if taken.blob == keys.INSECURE_BLOB:
            self._login.voice.say(
                f"the insecure key logged us in, which everybody has: who reaches that sshd is "
                f"{printable(self._identity.name)} in {printable(name)}; take it out of authorized_keys there"
            )
        return taken

    def _likely(self, first: Key | None) -> Iterator[Key]:
        """The one that stands in the user's file comes first, for an sshd hangs up after a few that it doesn't know."""
        if first:
            yield first
        if not self._standing:
            yield from (key for key in keys.candidates(self._login.key) if not first or key.blob != first.blob)


_NO_HOST_KEYS = (
    "the container's host keys (/etc/ssh/ssh_host_*_key.pub) can't be read, so nothing would prove who answers: "
    "make them with `ssh-keygen -A` inside"
)


def _identity(words: str, files: Files) -> Identity:
    """The user to log in as. Raises UserError where -u says what a login can't do."""
    if ":" in words:
        raise UserError(
            "a login by ssh takes the groups that passwd gives: leave out the one after the colon, or take --via exec"
        )
    identity = resolve(words or "root", files.read("/etc/passwd", _LARGE) or b"", b"")
    if not identity.name:
        raise UserError(f"no user inside has the number {printable(words)}, and a login needs a name: take --via exec")
    return identity


def _line(container: Container, command: Command, identity: Identity, files: Files) -> bytes | None:
    """What sshd is to run; None for the login shell that it starts by itself, where that comes out the same."""
    from dockshell.ssh import words

    environment = _environment(container, command, files)
    if command.login:
        shell = login_shell(identity, files, command.shell)
        if shell == identity.shell and not environment and not command.directory:
            return None
        argv = (os.fsencode(shell), b"-l")
        languages = () if any(name == "LANG" or name.startswith("LC_") for name in environment) else command.languages
        return words.compose(argv, command.directory, (*languages, *environment.items()))
    if command.by_login:
        by_shell = by_login_shell(login_shell(identity, files, command.shell), command.argv, files)
        return words.compose(by_shell, command.directory, environment.items())
    return words.compose(command.argv, command.directory or container.directory or "/", environment.items())


def _environment(container: Container, command: Command, files: Files) -> dict[str, str]:
    """What the session needs on top of what sshd gives it."""
    if command.environment_from == "init":
        initial = files.read("/proc/1/environ")
        if initial is None:
            raise UserError(
                "the environment of process 1 can't be read from here: leave out --env-from init, or take --via exec"
            )
        pairs = (text.partition("=") for text in initial.decode("utf-8", "surrogateescape").split("\0"))
        environment = {name: value for name, equals, value in pairs if equals and name}
    else:
        environment = configured(container)
    environment = {name: value for name, value in environment.items() if name not in _PERSONAL}
    if command.login or command.by_login:
        environment.update(files_environment(files))
        # A login makes these itself: the path from the system's own files, the name from the kernel.
        if environment.get("PATH") == DEFAULT_PATH:
            del environment["PATH"]
        environment.pop("HOSTNAME", None)
    environment.update(command.env)
    if command.terminal is not None:
        environment.pop("TERM", None)  # goes with the request for the terminal
    return environment
