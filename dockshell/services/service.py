"""What is known of a service, and the seam to those who supervise one."""

from __future__ import annotations

from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

__all__ = ["CONTAINER", "Service", "State", "Supervisor", "number"]

CONTAINER = "container"  # where a service's words go that are in the container's own log
ABSENT = "absent"  # the state of what nobody can tell anything of


@noun(frozen=True)
class State:
    """name: `running`, `down`, `starting`, `stopping`, `restarting` (it ends by itself, again and again), `failed` (it
    is given up), `paused` or `absent`. pid: the container's own number of its process, 0 for none. seconds: for how
    long it has been so, None where nobody can tell. why: what its supervisor has to say of it besides."""

    name: str = ABSENT
    pid: int = 0
    seconds: int | None = None
    why: str = ""


@noun(frozen=True)
class Service:
    """name: as people know it; supervisor: the name of its kind; owner: the container's own number of that process;
    where: how its supervisor knows it, a directory as a rule. logs: the files that hold its words; words: where they go
    if there are none: `container`, `nowhere`, `elsewhere`, or `logger`: to one that keeps no file inside. last: what it
    last wrote. user: as whom its supervisor is asked, as -u has it. All other text is the container's to say."""

    name: str
    supervisor: str
    owner: int
    where: str
    state: State = State()
    logs: tuple[str, ...] = ()
    words: str = ""
    last: str = ""
    user: str = "0"

    @property
    def key(self) -> tuple[str, int, str]:
        """What makes it the same one at another look."""
        return self.supervisor, self.owner, self.where


class Supervisor(Protocol):
    """A kind of them; each has a file of its own, and a line in finding.py.

    processes: the names of its process, as patterns of the shell. script: two functions for the shell inside.
    `NAME_look PID` says what that process looks after: a line `service NAME PID WHERE` for each, one `status TEXT`, and
    those of `words` (finding.py). `NAME_act ACTION PID WHERE` asks it for `up`, `down` or `restart`, as a rule without
    waiting. patience: seconds until what was asked of it should have come about. steady: does it call a
    service running before that has shown that it stays so?"""

    name: str
    processes: str
    script: str
    patience: float
    steady: bool

    def understood(self, where: str, status: str) -> State:
        """What the TEXT of a status means. Pure; never raises."""


def number(text: str) -> int:
    """A number as the kernel and supervisors write it, 0 for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0
