"""What keeps everything from being started in a container, whichever the way in: it is frozen, or its pids limit is
reached. Neither the engine's exec nor a shell inside says so in words that a person could act on."""

from __future__ import annotations

import os
import shlex

from dockshell.errors import DockshellError, EngineError, printable
from dockshell.linux.cgroup_limits import freezer, full
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.model import Container

__all__ = ["Obstacle", "obstacle", "require_none"]

_SCRIPT = 8  # processes that a script of ours has at once inside, generously


@noun(frozen=True)
class Obstacle:
    """what: a sentence; remedy: the command that takes it away, empty where none is known."""

    what: str
    remedy: str


def require_none(container: Container, *, failed: bool = False) -> None:
    """Raises DockshellError, with the remedy, where there is an obstacle(). failed: as there."""
    found = obstacle(container, failed=failed)
    if found:
        remedy = f"`{found.remedy}`" if found.remedy else "end something in it, or create it anew with a higher limit"
        raise DockshellError(f"{found.what}: {remedy}")


def obstacle(container: Container, *, failed: bool = False) -> Obstacle | None:
    """Why nothing can be started in that container now; None where nothing is known to be in the way. failed: a script
    of ours has just failed inside: then a limit that left it too little room counts as reached, and the engine is asked
    where the container's kernel isn't this one."""
    name = printable(container.name)
    file, value = freezer(container.pid) if container.local and container.pid else ("", "")
    if file:
        return Obstacle(f"{name} is frozen by its cgroup, so nothing can be started in it", _write(value, file))
    spare = _SCRIPT if failed else 0
    limit, file = _limit(container, spare, ask=failed)
    if not limit:
        return None
    what = f"the pids limit of {name} ({limit}) is reached, so nothing more can be started in it"
    more = str(2 * limit + _SCRIPT)
    if container.engine.name == "docker":
        return Obstacle(what, f"docker update --pids-limit {more} {shlex.quote(name)}")
    return Obstacle(what, _write(more, file) if file else "")


def _limit(container: Container, spare: int, *, ask: bool) -> tuple[int, str]:
    """As full() has it."""
    if container.local and container.pid:
        return full(container.pid, spare)
    api = container.engine.api
    if not ask or api is None:
        return 0, ""
    try:
        told = api.ask("GET", f"/containers/{container.id}/stats?stream=false&one-shot=true")
    except EngineError:
        return 0, ""
    counts = told.get("pids_stats") if isinstance(told, dict) else None
    current, limit = (counts.get(key) for key in ("current", "limit")) if isinstance(counts, dict) else (0, 0)
    if isinstance(current, int) and isinstance(limit, int) and 0 < limit <= current + spare:
        return limit, ""
    return 0, ""


def _write(value: str, file: str) -> str:
    """The command that has root write it there."""
    command = f"echo {value} >{shlex.quote(printable(file))}"
    return command if os.geteuid() == 0 else f"sudo sh -c {shlex.quote(command)}"
