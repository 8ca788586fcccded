"""How paramiko is imported: late, and without what it would load and never use here."""

from __future__ import annotations

import logging
import sys
from types import ModuleType

__all__ = ["load"]

_INVOKE, _METADATA = "invoke", "importlib.metadata"


def load() -> ModuleType:
    """The paramiko package.

    It imports `invoke`, half of its import's time, for one keyword of ssh_config that nothing here reads, and says
    itself that it can do without (paramiko/config.py catches the ImportError); so that import is made to fail for the
    moment. It imports importlib.metadata, a third of what is left, to look up its own version for the greeting, which a
    stranger's sshd needn't know; so something stands in for that. Its log is silenced: it would put a server's words on
    stderr as they are.
    """
    if "paramiko" not in sys.modules:
        nameless = ModuleType(_METADATA)
        nameless.version = lambda name: ""  # type: ignore[attr-defined]
        # None makes an import raise ImportError.
        spared = {
            name: stand_in for name, stand_in in ((_INVOKE, None), (_METADATA, nameless)) if name not in sys.modules
        }
        sys.modules.update(spared)  # type: ignore[arg-type]
        try:
            import paramiko
        finally:
            for name in spared:
                del sys.modules[name]
        failure = getattr(paramiko.config, "invoke_import_error", None)
        if failure is not None:
            failure.with_traceback(None)  # paramiko keeps it, and with it every frame that led here
        logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
    import paramiko

    return paramiko
