"""dockshell: a shell or a command in any container, by the best way in.

For programs there is `connect` (dockshell.library). It is imported when it is asked for: the command does without."""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.library import Connection as Connection
    from dockshell.library import Result as Result
    from dockshell.library import connect as connect

__all__ = ["Connection", "Result", "connect"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'dockshell' has no attribute {name!r}")
    from dockshell import library

    return getattr(library, name)
