"""What is done in a container, each in a process of its own that the steward forked: a command, files, a socket.

By its control socket an errand hears of sizes and signals, and tells its end, or its failure, as JSON. The end of that
socket means that whoever asked is gone: then the errand ends too, and whatever it runs; at any moment, while a name is
looked up or an engine doesn't answer as well. Until something runs there is a deadline besides."""

from __future__ import annotations

import os
from _socket import MSG_DONTWAIT, MSG_PEEK

from dockshell.engines.json import decode, encode
from dockshell.entering import Way, run
from dockshell.errors import DockshellError, Fault, NoRoute, printable
from dockshell.linux import open_files, passing
from dockshell.linux.signals import signal
from dockshell.model import Command, Size
from dockshell.resolve import resolve_running
from dockshell.routes import Login
from dockshell.target import parse
from dockshell.voice import Voice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from dockshell.bridge.errand import Errand
    from dockshell.bridge.steward import Setting
    from dockshell.bridge.tree import Tree
    from dockshell.environment import Start
    from dockshell.identity import Identity
    from dockshell.linux.rootfs import RootFiles
    from dockshell.model import Container
    from dockshell.routes.nsenter import Nsenter
    from dockshell.session import Session

__all__ = ["carry_out", "get_ready"]

_NET_BIND_SERVICE = 10  # capability.h


_GIVEN = {"command": 3, "files": 3, "connect": 1, "connect-path": 1}  # descriptors that come along, else 0
# Seconds until a socket is there (names.py and sockets.py give up before), and until anything else runs.
_SOCKET, _ELSE = 60, 180


class _Gone(DockshellError):
    """Whoever asked is gone."""


class _Full(DockshellError):
    """There is no room for more."""


def get_ready(many: bool) -> None:
    """Imports what nearly every errand takes, once for all of them. many: there will be, so that what some of them take
    is worth it too: each would have it in memory of its own."""
    import fcntl

    from dockshell import relay
    from dockshell.engines import docker, local
    from dockshell.routes import nsenter, nsenter_facts, nsenter_session

    _ = (fcntl, relay, docker, local, nsenter, nsenter_facts, nsenter_session)
    if many:
        from dockshell.bridge import authorized, names, scp, sftp, sockets
        from dockshell.linux import memory

        _ = (authorized, names, scp, sftp, sockets, memory)
        decode(b"{}")  # which imports


def carry_out(wanted: Callable[[], Errand], control: socket, given: list[int], setting: Setting) -> NoReturn:
    """Does what is wanted, and ends the process. wanted: raises DockshellError where that isn't allowed, ValueError
    where it makes no sense. given: descriptors that came along, as each kind of errand has them."""
    log = 2
    try:
        log = os.dup(2)  # which a command's own takes the place of
        try:
            errand = wanted()
        except ValueError:
            raise DockshellError("that makes no sense") from None
        _check(errand, given)
        if setting.desk:
            _minded(setting.desk)
        _watch(control, _ELSE if errand.what in ("command", "files") else _SOCKET)
        _KINDS[errand.what](errand, control, given, setting)
        os._exit(0)
    except _Gone:
        os._exit(0)
    except Fault as fault:
        _own_up(fault, control, log, setting)
    except DockshellError as error:
        _tell(control, {"error": str(error), "code": error.exit_code, "exhausted": isinstance(error, _Full)})
    except OSError as error:
        short = open_files.shortage(error)
        _tell(control, {"error": short or str(error), "code": 125, "exhausted": bool(short)})
    except Exception as error:
        _own_up(Fault.of(error), control, log, setting)
    os._exit(125)


def _check(errand: Errand, given: list[int]) -> None:
    """As many as that kind takes: in the place of one that is missing would be one of ours. Raises DockshellError."""
    if len(given) != _GIVEN.get(errand.what, 0):
        raise DockshellError("that makes no sense")


def _watch(control: socket, seconds: int) -> None:
    """Ends the process once whoever asked is gone, or the time is over: by signals, which reach it wherever it waits.
    fcntl(2), O_ASYNC; alarm(2)."""
    from fcntl import F_GETFL, F_SETFL, F_SETOWN, fcntl

    def heard(number: int, frame: object) -> None:
        try:
            if control.recv(1, MSG_PEEK | MSG_DONTWAIT):
                return  # what was said is for relay() to read
        except BlockingIOError:
            return
        except OSError:
            pass
        os._exit(0)

    def late(number: int, frame: object) -> None:
        _tell(control, {"error": "it took too long", "code": 125})
        os._exit(125)

    signal.signal(signal.SIGIO, heard)
    signal.signal(signal.SIGALRM, late)
    fcntl(control, F_SETOWN, os.getpid())
    fcntl(control, F_SETFL, fcntl(control, F_GETFL) | os.O_ASYNC)
    heard(0, None)  # it may be gone already
    signal.alarm(seconds)


def _begun() -> None:
    """Something runs: from here on relay() hears by the control socket, or whatever runs does."""
    signal.alarm(0)
    signal.signal(signal.SIGIO, lambda number, frame: None)  # not SIG_IGN, which execve(2) would pass on


def _own_up(fault: Fault, control: socket, log: int, setting: Setting) -> None:
    os.write(log, setting.line(fault))
    why = f"something went wrong that should not have ({fault.kind}): see what `dockshell --debug` says there"
    _tell(control, {"error": why, "code": 125})


def _command(errand: Errand, control: socket, given: list[int], setting: Setting) -> None:
    """given: its stdin, stdout and stderr, pipes all of them. Ends with its code, and the signal that ended it."""
    _take(given)
    command = Command(
        line=errand.line,
        user=errand.user,
        env=tuple(pair for pair in errand.env if not _language(pair[0])),
        languages=tuple(pair for pair in errand.env if _language(pair[0])),
        terminal=Size(*errand.terminal) if errand.terminal else None,
        share=True,
    )
    way = Way(setting.place, setting.via, "exec", Login(), setting.voice)
    code, signal = run(_container(errand, setting), command, way, lambda session: _heard(control, session))
    _tell(control, {"code": code, "signal": signal})


def _files(errand: Errand, control: socket, given: list[int], setting: Setting) -> None:
    """given: as for a command. An sftp or scp server, at which nothing inside has a part."""
    from dockshell.bridge import scp, sftp
    from dockshell.bridge.tree import LocalTree
    from dockshell.linux.own_label import NO_LABEL, UNLABELLED

    _take(given)
    container = _container(errand, setting)
    command = Command(argv=(b"sftp",), user=errand.user, share=True)

    def serve(tree: Tree) -> int:
        return scp.serve(tree, errand.words, 0, 1) if errand.words else sftp.serve(tree, 0, 1)

    def act(start: Start, files: RootFiles) -> Callable[[], int]:
        tree = LocalTree(os.fsencode(start.identity.home), *_names(files))
        return lambda: serve(tree)

    nsenter = _nsenter(container, command, setting)
    code = UNLABELLED
    if not isinstance(nsenter, str):
        code = _driven(nsenter.act(container, command, act), control)
        nsenter = NO_LABEL
    if code == UNLABELLED:
        tree = _by_the_engine(container, errand, nsenter)
        _begun()
        code = serve(tree)
    _tell(control, {"code": code, "signal": 0})


def _connect(errand: Errand, control: socket, given: list[int], setting: Setting) -> None:
    """given: one end of a stream, for where a program inside has to carry it. Ends with a connected socket, or once
    that program ends."""
    from dockshell.bridge import sockets
    from dockshell.bridge.names import Names
    from dockshell.forward.within import unreachable

    container = _container(errand, setting)
    if reason := unreachable(container):
        _carried(container, errand, given[0], setting, reason, control)
    else:
        names = Names(container)
        sockets.join(container)
        made = sockets.connected(errand.host, errand.port, names)
        passing.send(control, encode({"socket": True}), [made.fileno()])


def _carried(container: Container, errand: Errand, stream: int, setting: Setting, reason: str, control: socket) -> None:
    """By a program of the container's own, where it has one."""
    from dockshell.bridge import sockets

    argv = sockets.carrier(errand.host, errand.port)
    _tell(control, {"carried": reason})
    nothing = os.open(os.devnull, os.O_WRONLY)
    _take([stream, stream, nothing])
    way = Way(setting.place, "exec", "exec", Login(), Voice())
    run(container, Command(argv=argv, user=errand.user), way, lambda session: _heard(control, session))


def _listen(errand: Errand, control: socket, given: list[int], setting: Setting) -> None:
    """Ends with a socket that listens inside, on the container's own loopback or where its client says."""
    from dockshell.bridge import sockets
    from dockshell.forward.within import unreachable

    container = _container(errand, setting)
    if reason := unreachable(container):
        raise NoRoute(container.name, [("listening inside", reason)])
    low = _takes_low_ports(container, errand)
    sockets.join(container)
    made = sockets.listening(errand.host, errand.port, privileged=low)
    passing.send(control, encode({"socket": True, "port": made.getsockname()[1]}), [made.fileno()])


def _path(errand: Errand, control: socket, given: list[int], setting: Setting) -> None:
    """A Unix socket inside, as the user: connected, listening, or for an agent, in a new directory. One that listens is
    removed when whoever asked is gone."""
    from dockshell.bridge import sockets
    from dockshell.linux.own_label import NO_LABEL, UNLABELLED

    container = _container(errand, setting)
    command = Command(argv=(b"socket",), user=errand.user, input=False)
    nsenter = _nsenter(container, command, setting)
    if isinstance(nsenter, str):
        raise NoRoute(container.name, [("a Unix socket inside", nsenter)])
    do = {"connect-path": sockets.connect_path, "listen-path": sockets.listen_path, "agent": sockets.listen_agent}
    act = do[errand.what]
    held = (control.fileno(),)
    session = nsenter.act(container, command, lambda start, files: lambda: act(control, errand.path), held)
    if _driven(session, None) == UNLABELLED:
        raise NoRoute(container.name, [("a Unix socket inside", NO_LABEL)])


_KINDS = {
    "command": _command,
    "files": _files,
    "connect": _connect,
    "listen": _listen,
    "connect-path": _path,
    "listen-path": _path,
    "agent": _path,
}


def _container(errand: Errand, setting: Setting) -> Container:
    """The one that is meant, found anew for each errand: it may have been started anew in the meantime. Raises
    DockshellError; to somebody who may not enter it, it is as if it weren't there."""
    container = _found(errand, setting)
    if setting.desk:
        try:
            setting.desk.send(container.id.encode("utf-8", "replace")[:1024])
            if setting.desk.recv(1) == b"n":
                raise _Full(f"there are too many sessions and forwards in {printable(container.name)}: end some")
        except OSError:
            pass  # the steward is gone, and with it all that it could count
    return container


def _minded(desk: socket) -> None:
    """This process is the keeper of its command, and the steward ends that where it can't any more."""
    from dockshell.linux.keeper import minded

    def tell(command: int, pidfd: int) -> None:
        try:
            passing.send(desk, b"%d" % command, [pidfd] if command else [])
        except OSError:
            pass  # the steward is gone, and soon we are

    minded(tell)


def _found(errand: Errand, setting: Setting) -> Container:
    if errand.admitted is None:
        return resolve_running(parse(errand.target), setting.place, setting.voice)
    from dockshell.bridge import authorized
    from dockshell.errors import NotFound

    refusal = NotFound(f"no container {printable(errand.target)} that your key lets you into: ask whoever runs this")
    try:
        container = resolve_running(parse(errand.target), setting.place, Voice())
    except DockshellError:
        raise refusal from None
    # Without an engine its name is whatever its first process calls itself.
    if container.engine.api is None or not authorized.admits(errand.admitted, container.name):
        raise refusal
    return container


def _nsenter(container: Container, command: Command, setting: Setting) -> Nsenter | str:
    """The way in for what is ours to do inside, or why it is none."""
    from dockshell.routes.nsenter import Nsenter

    if setting.via not in ("auto", "nsenter"):
        return f"--via {setting.via} was asked for"
    nsenter = Nsenter()
    reason = nsenter.refuses(container, command, asked=False)
    setting.voice.tell(f"nsenter: {reason or 'taken'}")
    return reason or nsenter


def _by_the_engine(container: Container, errand: Errand, reason: str) -> Tree:
    """Its files by the engine's API, for who can't enter."""
    from dockshell.bridge.engine_tree import engine_tree

    if container.engine.api is None:
        raise NoRoute(container.name, [("nsenter", reason)])
    return engine_tree(container.engine.api, container, _identity(container, errand))


def _identity(container: Container, errand: Errand) -> Identity:
    from dockshell.environment import identity_of

    return identity_of(container, Command(user=errand.user), container.engine.files(container))


def _takes_low_ports(container: Container, errand: Errand) -> bool:
    """Could a command of that user bind(2) a port that the kernel keeps for CAP_NET_BIND_SERVICE: capabilities(7)?"""
    from dockshell.linux.credentials import Capabilities
    from dockshell.linux.namespaces import governs_network
    from dockshell.linux.process import Process

    uid = _identity(container, errand).uid
    process = Process(container.pid)
    capabilities = Capabilities.of(process.status()).executed(uid)
    return bool(capabilities >> _NET_BIND_SERVICE & 1) and governs_network(container.pid) and process.alive()


def _names(files: RootFiles) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """The names of users and groups by number, for listings."""
    from dockshell.identity import names

    return names(files.read("/etc/passwd") or b""), names(files.read("/etc/group") or b"")


def _take(given: list[int]) -> None:
    """Makes these descriptors stdin, stdout and stderr."""
    for number, descriptor in enumerate(given):
        os.dup2(descriptor, number)
    for descriptor in set(given):
        os.close(descriptor)


def _driven(session: Session, control: socket | None) -> int:
    """Waits for what acts inside → its exit code."""
    from dockshell.relay import relay

    _begun()
    try:
        others = _heard(control, session) if control else {}
        return relay(session, terminal=False, input=False, others=others)
    finally:
        session.close()


def _heard(control: socket, session: Session) -> Mapping[int, Callable[[], None]]:
    """What comes by the control socket, for relay()."""
    _begun()

    def hear() -> None:
        told = control.recv(1 << 10)
        if not told:
            raise _Gone
        word = decode(told)
        if "size" in word:
            session.resize(Size(*word["size"]))
        else:
            session.signal(int(word["signal"]))

    return {control.fileno(): hear}


def _tell(control: socket, word: Mapping[str, object]) -> None:
    try:
        control.send(encode(word))
    except OSError:
        pass  # gone, which is why it fails


def _language(name: str) -> bool:
    return name == "LANG" or name.startswith("LC_")
