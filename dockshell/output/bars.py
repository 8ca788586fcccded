"""How far something is that takes long."""

from __future__ import annotations

import sys

from dockshell.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Bar", "Count"]

# What Count's names leave for the rest of its line, and for a ^C: a terminal that shows that on a full line goes on to
# the next one, and the bar stays.
_BESIDE = 48


class Bar:
    """How far a copy is, on stderr, which is a terminal: in one line, which close() takes away again."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        from dockshell.output.console import drawing_on

        self._console = drawing_on(sys.stderr)
        columns = (
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TextColumn("{task.description}"),
        )
        self._progress = Progress(*columns, console=self._console, transient=True, auto_refresh=False)
        self._task = self._progress.add_task("", total=None)
        self._progress.start()
        self._console.show_cursor(True)  # rich hides it, and who is killed can't put it back

    def show(self, moved: int, total: int, files: int) -> None:
        """Draws it anew. moved: bytes so far; total: of all, 0 where nobody knows; files: that are done."""
        told = f"{files} done" if files else ""
        self._progress.update(self._task, completed=moved, total=total or None, description=told)
        self._progress.refresh()

    def close(self) -> None:
        """Takes it away."""
        self._progress.stop()


class Count:
    """How many of so many are done, on stderr, which is a terminal: in one line, which hide() takes away again."""

    def __init__(self, total: int, since: float) -> None:
        """since: when it began, as time.monotonic() has it."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        from dockshell.output.console import drawing_on

        self._console = drawing_on(sys.stderr)
        # Nothing of it may run by itself: who forks must have one thread.
        self._progress = Progress(
            BarColumn(20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=total)
        self._progress.tasks[0].start_time = since

    def show(self, done: int, names: Sequence[str]) -> None:
        """Draws it anew. names: of what is being done, untrusted."""
        from rich.text import Text

        told = Text(" ".join(map(printable, names)))
        told.truncate(max(self._console.width - _BESIDE, 1), overflow="ellipsis")
        self._progress.update(self._task, completed=done, description=told.plain)
        self._progress.start()
        self._console.show_cursor(True)
        self._progress.refresh()

    def hide(self) -> None:
        """Takes it away, until it is shown again."""
        self._progress.stop()
