"""`dockshell ssh`: the sshd that an image brings along, switched on, off, or looked at."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dockshell.commands.looking import place, target, voice
from dockshell.commands.waiting import told_of
from dockshell.engines.aside import aside
from dockshell.errors import DockshellError, UsageError, printable
from dockshell.resolve import resolve_running
from dockshell.routes.obstacles import require_none
from dockshell.ssh import listening
from dockshell.ssh.exposure import from_elsewhere, insecure_key
from dockshell.ssh.keys import fingerprint
from dockshell.ssh.service import Facts, Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dockshell.engines import Files
    from dockshell.model import Container
    from dockshell.options import Arguments
    from dockshell.voice import Voice

__all__ = ["run"]

_NOT_LISTENING = 3  # as systemctl status has it for what isn't running: LSB, exit codes of the status action
_PATIENCE = 60.0  # seconds for one step inside; host keys take a few
_BEGINS_WITHIN = 3.0  # seconds after the container was started
_LISTENS_WITHIN = 20.0  # seconds after the service was started
_MUCH = 1 << 20  # bytes that a step may say


def run(arguments: Arguments) -> int:
    """Does it to TARGET → 0; for `status` 3 where no sshd listens. Raises UsageError and DockshellError."""
    action = arguments.words[0]
    if action not in _ACTIONS:
        raise UsageError(f"ssh takes enable, disable or status, not {printable(action)!r}: `dockshell ssh status web`")
    container = resolve_running(target(arguments, 1), place(arguments), voice(arguments))
    return _ACTIONS[action](_Sshd(container), voice(arguments))


class _Sshd:
    """A container and the sshd in it, for people."""

    def __init__(self, container: Container) -> None:
        """Raises DockshellError for a container without an engine that could act inside."""
        self.container = container
        self.name = printable(container.name)
        api = container.engine.api
        if api is None:
            raise DockshellError(
                f"{self.name} has no engine that could act inside: name a container of Docker's or Podman's"
            )

        def inside(argv: Sequence[str]) -> tuple[int, bytes, bytes]:
            require_none(container)
            done = aside(api, container.id, argv, limit=_MUCH, patience=_PATIENCE)
            if done[0]:
                require_none(container, failed=True)
            return done

        self.files: Files = container.engine.files(container)
        self.service = Service(container, self.files, inside)

    def needed(self, facts: Facts) -> None:
        """Raises DockshellError where the container isn't one whose sshd can be switched."""
        if lacking := self.service.lacks(facts):
            raise DockshellError(
                f"{self.name} is not laid out like baseimage-docker, for it lacks {' and '.join(lacking)}: "
                f"`dockshell ssh-config --install`, then `ssh {self.name}.dockshell`, works with any container"
            )

    def ports(self, facts: Facts) -> list[int]:
        """Those at which it listens, or would."""
        return sorted({port for port, _ in facts.listening}) or [listening.configured_port(self.files)]

    def show(self, facts: Facts, voice: Voice) -> None:
        """Prints a line for each fact, and warns of what is dangerous."""
        for line in (*self._reach(facts), *self._keys()):
            print(line)
        self._warn(facts, voice)

    def _reach(self, facts: Facts) -> Iterator[str]:
        own = {address for _, address in self.container.addresses}
        ways = []
        for port in self.ports(facts):
            at = {address for listened, address in facts.listening if listened == port}
            ways += listening.reachable(listening.endpoints(self.container, port), at, own)
        places = [listening.Endpoint(address, port) for port, address in facts.listening]
        yield f"listening: {', '.join(map(str, places)) or 'no'}"
        if places:
            yield f"reached at: {printable(', '.join(map(str, ways))) or 'no address that is known'}"

    def _keys(self) -> Iterator[str]:
        found = self.service.host_keys()
        yield from (f"host key: {fingerprint(blob)} ({kind})" for kind, blob in found)
        if not found:
            yield "host key: none"

    def _warn(self, facts: Facts, voice: Voice) -> None:
        path = insecure_key(self.files)
        if not path:
            return
        remedy = f"take the line out of {printable(path)} inside"
        exposed = from_elsewhere(self.container.ports, self.ports(facts))
        if exposed:
            places = ", ".join(f"{printable(each.address) or '0.0.0.0'}:{each.outside}" for each in exposed)
            voice.say(
                f"DANGER: everybody who can reach {places}, which is more than this machine, can become root in "
                f"{self.name}, for the insecure key is public: {remedy} now, or publish the port at 127.0.0.1 only"
            )
        else:
            voice.say(
                f"warning: whoever can reach the sshd in {self.name} can become root there, for the insecure key is "
                f"public: {remedy} once you have a key of your own in there"
            )


def _enable(sshd: _Sshd, voice: Voice) -> int:
    facts = _begun(sshd)
    sshd.needed(facts)
    if facts.state == "run" and facts.listening and not facts.disabled:
        by = "" if facts.recorded else ", and not by dockshell, so `disable` will leave it on"
        voice.say(f"the sshd in {sshd.name} is on already{by}")
    else:
        with told_of(f"starting the sshd in {sshd.name}", voice):
            sshd.service.enable()
            facts = _listening(sshd)
        voice.say(f"the sshd in {sshd.name} is on: `dockshell ssh disable {sshd.name}` undoes it")
    sshd.show(facts, voice)
    return 0


def _begun(sshd: _Sshd) -> Facts:
    """The facts. A container that has just started gets a moment to start its services."""
    until = min(sshd.container.started, time.time()) + _BEGINS_WITHIN
    while True:
        facts = sshd.service.look()
        if not sshd.service.lacks(facts) or time.time() > until:
            return facts
        time.sleep(0.1)


def _listening(sshd: _Sshd) -> Facts:
    """The facts, once it listens. Raises DockshellError where it doesn't in time."""
    until = time.monotonic() + _LISTENS_WITHIN
    while True:
        facts = sshd.service.look()
        if facts.listening:
            return facts
        if time.monotonic() > until:
            program = sshd.container.engine.name
            raise DockshellError(
                f"the sshd in {sshd.name} was started but does not listen: `{program} logs {sshd.name}` may tell why, "
                f"`dockshell ssh disable {sshd.name}` undoes it"
            )
        time.sleep(0.1)


def _disable(sshd: _Sshd, voice: Voice) -> int:
    facts = sshd.service.look()
    if facts.recorded:
        with told_of(f"stopping the sshd in {sshd.name}", voice):
            sshd.service.disable()
        voice.say(f"the sshd in {sshd.name} is as it was before it was enabled")
    elif facts.listening:
        voice.say(f"the sshd in {sshd.name} was not enabled by dockshell: it is left on")
    else:
        sshd.needed(facts)
        voice.say(f"the sshd in {sshd.name} is off already")
    return 0


def _status(sshd: _Sshd, voice: Voice) -> int:
    facts = sshd.service.look()
    print(f"service: {_described(facts)}")
    sshd.show(facts, voice)
    print(f"insecure key: {'root takes it' if insecure_key(sshd.files) else 'not taken by root'}")
    return 0 if facts.listening else _NOT_LISTENING


_ACTIONS = {"enable": _enable, "disable": _disable, "status": _status}


def _described(facts: Facts) -> str:
    words = {"run": f"up (pid {facts.pid})", "down": "down", "": "none that runit looks after"}[facts.state]
    return words + (", disabled" if facts.disabled else "") + (", enabled by dockshell" if facts.recorded else "")
