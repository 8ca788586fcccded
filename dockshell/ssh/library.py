"""How paramiko is imported: late, and without what it would load and never use here."""

from __future__ import annotations

import logging
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["load"]


def load() -> ModuleType:
    """The paramiko package.

    It imports `invoke`, half of its import's time, for one keyword of ssh_config that nothing here reads, and says
    itself that it can do without (paramiko/config.py catches the ImportError); so that import is made to fail for the
    moment. Its log is silenced: it would put a server's words on stderr as they are.
    """
    if "paramiko" not in sys.modules:
        spared = "invoke" not in sys.modules
        if spared:
            sys.modules["invoke"] = None  # type: ignore[assignment]  # makes `import invoke` raise ImportError
        try:
            import paramiko
        finally:
            if spared:
                del sys.modules["invoke"]
        failure = getattr(paramiko.config, "invoke_import_error", None)
        if failure is not None:
            failure.with_traceback(None)  # paramiko keeps it, and with it every frame that led here
        logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
    import paramiko

    return paramiko
