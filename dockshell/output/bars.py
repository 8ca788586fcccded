"""How far something is that takes long."""

from __future__ import annotations

import sys

__all__ = ["Bar"]


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
