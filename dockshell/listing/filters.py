"""--filter's words, which are Docker's: https://docs.docker.com/reference/cli/docker/container/ls/#filter"""

from __future__ import annotations

from dockshell.errors import UsageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KEYS", "filters"]

KEYS = (
    "id", "name", "label", "status", "health", "exited", "ancestor", "before", "since", "network", "volume", "publish",
    "expose",
)  # fmt: skip


def filters(words: Sequence[str]) -> dict[str, list[str]]:
    """KEY=VALUE each → those that an engine's listing takes. Raises UsageError."""
    asked: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        key = key.strip().lower()
        if not equals or key not in KEYS:
            raise UsageError(f"--filter takes KEY=VALUE, and KEY is one of {', '.join(KEYS)}; not {printable(word)!r}")
        asked.setdefault(key, []).append(value.strip())
    return asked
