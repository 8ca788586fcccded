"""A session in a container that is paused: it goes on for as long, and is paused again whatever ends the session."""

from __future__ import annotations

from dockshell.engines import containers
from dockshell.entering import enter, run, suited
from dockshell.errors import EngineError, NotFound, printable
from dockshell.model import Target, replace
from dockshell.resolve import resolve
from dockshell.standin.deputy import Deputy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.engines import Api
    from dockshell.entering import Way
    from dockshell.model import Command

__all__ = ["enter_paused"]

_GO_ON = 1


def enter_paused(target: Target, command: Command, way: Way) -> int:
    """Runs the command in the container that the target names, which goes on for that if it is paused → its exit code.
    Raises DockshellError."""
    container = resolve(target, way.place, way.voice)
    api = container.engine.api
    if container.state != "paused" or api is None:
        return enter(target, command, way)
    with Deputy(_Pause(api, container.id)) as deputy:
        name = printable(container.name)
        deputy.do(_GO_ON, lambda: way.voice.say(f"waiting for {container.engine.name} to let {name} go on ..."))
        way.voice.say(f"{name} goes on, and is paused again when this session ends")
        found = container.engine.find(Target("name", container.id))  # its state is another now
        if not found:
            raise NotFound(f"{name} was removed just now: see `{container.engine.name} ps -a`")
        command, way = suited(found[0], command, way)
        return run(found[0], command, replace(way, detach_key=b""))[0]  # it is paused when we go


class _Pause:
    """The deputy's `Errand`."""

    def __init__(self, api: Api, container: str) -> None:
        self._shared_api = api
        self._container = container
        self._began = ""  # when it was started, as the engine spells it

    def do(self, number: int) -> str:
        self._api = self._shared_api.anew()
        began = self._state()[1]
        containers.unpause(self._api, self._container)
        self._began = began
        return ""

    def end(self) -> None:
        try:
            # Stopped, or started anew, or paused by somebody: then it is theirs.
            if self._began and self._state() == ("running", self._began):
                containers.pause(self._api, self._container)
        except EngineError:
            pass  # gone

    def _state(self) -> tuple[str, str]:
        state = self._api.inspect(self._container).get("State") or {}
        return ("paused" if state.get("Paused") else str(state.get("Status")), str(state.get("StartedAt")))
